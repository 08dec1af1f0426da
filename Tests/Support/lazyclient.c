// lazyclient FOLDER SCENARIO PAGES PROCESSES SEED: plays CRIU's side of a lazy restore, then the restored processes.
//
// Each process maps PAGES pages at BASE(process), hands a userfaultfd to lazy-pages.socket, and after FIN runs the
// scenario against what it expects: page p is zero if p % 7 == 3, unknown to the store (so zero) if p % 11 == 5, else
// stamped: word w of the page at address A is (A + 8w) * GOLDEN. Prints "ready", then "ok" or what is wrong.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <time.h>

#define GOLDEN 0x9E3779B97F4A7C15ull
#define BASE(process) (0x100000000000ull + (uint64_t)(process) * 0x1000000000ull)
#define PAGE 4096ull
static long pages;
static uint64_t base, state;

static uint64_t rnd(void) { state ^= state << 13; state ^= state >> 7; state ^= state << 17; return state; }
static void die(const char *what) { printf("failed: %s: %s\n", what, strerror(errno)); fflush(stdout); _exit(3); }
static int dense; // DENSE=1 in the environment: every page has content
static int is_zero(long p) { return !dense && (p % 7 == 3 || p % 11 == 5); }

// Value of a word of an image page; of an own page: salt != 0.
static uint64_t word(uint64_t address, uint64_t salt, int w) { return (address + 8ull * w) * GOLDEN ^ salt; }
static int check_words(const uint64_t *at, int zero, uint64_t origin, uint64_t salt) {
    for (int w = 0; w < 512; w += 73) if (at[w] != (zero ? 0 : word(origin, salt, w))) return w + 1;
    return 0;
}
static void bad(const char *what, uint64_t at, long p, uint64_t found, uint64_t wanted) {
    printf("bad: %s pid %d at %llx page %ld: found %llx wanted %llx\n", what, getpid(), (unsigned long long)at, p, (unsigned long long)found, (unsigned long long)wanted);
    fflush(stdout);
    _exit(4);
}
static void check_page(const char *what, long p) {
    uint64_t at = base + p * PAGE;
    int w = check_words((uint64_t *)at, is_zero(p), at, 0);
    if (w) bad(what, at, p, ((uint64_t *)at)[w - 1], is_zero(p) ? 0 : word(at, 0, w - 1));
}

// ---- CRIU's side ----
static int connect_to(const char *folder) {
    if (chdir(folder)) die("chdir");
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "lazy-pages.socket"};
    if (connect(s, (void *)&a, sizeof a)) die("connect");
    return s;
}
static void hand_over(int s, int pid) {
    int u = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    if (u < 0) die("userfaultfd");
    struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP};
    if (ioctl(u, UFFDIO_API, &api)) die("UFFDIO_API");
    struct uffdio_register r = {.range = {base, pages * PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    if (ioctl(u, UFFDIO_REGISTER, &r)) die("UFFDIO_REGISTER");
    if (send(s, &pid, 4, 0) != 4) die("send pid");
    char byte = 0, control[CMSG_SPACE(4)] = {0};
    struct iovec v = {&byte, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET; h->cmsg_type = SCM_RIGHTS; h->cmsg_len = CMSG_LEN(4);
    memcpy(CMSG_DATA(h), &u, 4);
    if (sendmsg(s, &m, 0) != 1) die("send userfaultfd");
    close(u);
}

// ---- scenarios ----
static void *reader(void *seed) {
    uint64_t own = (uint64_t)seed * GOLDEN | 1;
    for (long n = 0; n < pages; n++) {
        own ^= own << 13; own ^= own >> 7; own ^= own << 17;
        check_page("reader", own % pages);
    }
    return 0;
}
static void plain(void) {
    pthread_t t[2];
    for (int i = 0; i < 2; i++) pthread_create(&t[i], 0, reader, (void *)(state + i));
    for (int i = 0; i < 2; i++) pthread_join(t[i], 0);
    for (long p = 0; p < pages; p++) check_page("sweep", p);
}
static void wait_child(int pid) {
    int status = 0;
    if (pid < 0) die("fork");
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status)) { printf("child status %x\n", status); fflush(stdout); _exit(5); }
}
static void forks(void) {
    int child[12];
    for (int i = 0; i < 12; i++) {
        for (int n = 0; n < 200; n++) check_page("between forks", rnd() % pages);
        if (!(child[i] = fork())) {
            state ^= GOLDEN * (i + 1);
            for (int n = 0; n < 1000; n++) check_page("child", rnd() % pages);
            if (i % 4 == 0) { int g = fork(); if (!g) { for (long p = 0; p < pages; p++) check_page("grandchild", p); _exit(0); } wait_child(g); }
            for (long p = 0; p < pages; p++) check_page("child sweep", p);
            _exit(0);
        }
    }
    for (int i = 0; i < 12; i++) wait_child(child[i]);
    for (long p = 0; p < pages; p++) check_page("parent sweep", p);
}

// A model of two regions of `pages` pages each: the image at base, and behind it room to move to.
enum { NONE, IMAGE, ZERO, OWN };
struct model { unsigned char kind; uint64_t origin; };
static struct model *model;
static void check_model(const char *what, long q) {
    struct model m = model[q];
    uint64_t at = base + q * PAGE;
    if (m.kind == NONE) return;
    int zero = m.kind == ZERO || (m.kind == IMAGE && is_zero((long)((m.origin - base) / PAGE)));
    uint64_t salt = m.kind == OWN ? 0x5555 : 0;
    int w = check_words((uint64_t *)at, zero, m.origin, salt);
    if (w) bad(what, at, q, ((uint64_t *)at)[w - 1], zero ? 0 : word(m.origin, salt, w - 1));
}
// Pages from `at` on that belong to one area, at most n; 0 if nothing is mapped there. mremap over several areas moves
// the first ones and then fails (Linux 6.17), without an event: no program can rely on that.
static long in_one_area(uint64_t at, long n) {
    FILE *f = fopen("/proc/self/maps", "r");
    char line[512];
    unsigned long long start, end;
    long found = 0;
    if (!f) die("maps");
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%llx-%llx", &start, &end) == 2 && start <= at && at < end) found = (long)((end - at) / PAGE);
    fclose(f);
    return found < n ? found : n;
}
static void layout(int with_forks) {
    long room = 2 * pages;
    model = malloc(sizeof *model * room);
    for (long q = 0; q < room; q++) model[q] = (struct model){q < pages ? IMAGE : NONE, base + q * PAGE};
    for (int op = 0; op < 1500; op++) {
        long q = rnd() % room, n = 1 + rnd() % 200;
        if (q + n > room) n = room - q;
        uint64_t at = base + q * PAGE;
        switch (rnd() % (with_forks ? 9 : 8)) {
        case 0: case 1: // what isn't mapped in it makes madvise answer ENOMEM, but the rest is dropped
            if (madvise((void *)at, n * PAGE, MADV_DONTNEED) && errno != ENOMEM) die("madvise");
            for (long i = 0; i < n; i++) if (model[q + i].kind != NONE) model[q + i].kind = ZERO;
            break;
        case 2:
            if (n > 20) n = 20;
            if (munmap((void *)at, n * PAGE)) die("munmap");
            for (long i = 0; i < n; i++) model[q + i].kind = NONE;
            break;
        case 3: case 4: {
            n = in_one_area(at, n);
            if (!n) break;
            long to = rnd() % (room - n);
            if (to < q + n && q < to + n) break;
            uint64_t target = base + to * PAGE;
            void *r = mremap((void *)at, n * PAGE, n * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED | (op % 5 == 0 ? 4 /* DONTUNMAP */ : 0), (void *)target);
            if (r == MAP_FAILED) die("mremap");
            for (long i = 0; i < n; i++) { model[to + i] = model[q + i]; model[q + i].kind = op % 5 == 0 ? ZERO : NONE; }
            break;
        }
        case 5: // splits the area in two and more: a push over both is refused
            mprotect((void *)at, n * PAGE, PROT_READ);
            check_model("read only", q);
            mprotect((void *)at, n * PAGE, PROT_READ | PROT_WRITE);
            break;
        case 6:
            for (long i = 0; i < n && i < 30; i++) {
                if (model[q + i].kind == NONE) continue;
                model[q + i] = (struct model){OWN, base + (q + i) * PAGE};
                for (int w = 0; w < 512; w++) ((uint64_t *)(at + i * PAGE))[w] = word(model[q + i].origin, 0x5555, w);
            }
            break;
        case 7: for (long i = 0; i < n; i++) check_model("look", q + i); break;
        case 8: if (op % 4 == 0) {
            int c = fork();
            if (!c) { for (long i = 0; i < room; i++) check_model("child", i); _exit(0); }
            wait_child(c);
        }
        }
    }
    for (long q = 0; q < room; q++) check_model("end", q);
}
static volatile int churning = 1;
static void *churner(void *arg) { // removes and reads a part that nobody else touches, as fast as it can
    uint64_t part = (uint64_t)arg;
    for (long n = 0; churning; n++) {
        long i = n % 64;
        uint64_t *at = (uint64_t *)(part + i * PAGE);
        madvise(at, PAGE, MADV_DONTNEED);
        if (at[n % 512]) bad("churn", (uint64_t)at, i, at[n % 512], 0);
        at[5] = n;
    }
    return arg;
}
static void churn(void) {
    pthread_t t;
    long all = pages;
    pthread_create(&t, 0, churner, (void *)(base + (pages - 64) * PAGE));
    pages -= 64;
    plain();
    churning = 0;
    pthread_join(t, 0);
    pages = all;
}

int main(int argc, char **argv) {
    if (argc < 6) return 2;
    dense = getenv("DENSE") != 0;
    const char *scenario = argv[2];
    pages = atol(argv[3]);
    int processes = atoi(argv[4]), s = connect_to(argv[1]), go[2], said[2];
    uint64_t seed = strtoull(argv[5], 0, 10);
    if (pipe(go) || pipe(said)) die("pipe");
    int child[processes];
    for (int i = 0; i < processes; i++) {
        if ((child[i] = fork())) { if (child[i] < 0) die("fork"); char c; if (read(said[0], &c, 1) != 1) die("child"); continue; }
        prctl(PR_SET_PDEATHSIG, SIGKILL); // nothing outlives a test that gives up
        base = BASE(i);
        state = (seed + i + 1) * GOLDEN;
        // room behind the area, so that nothing else is put there
        void *m = mmap((void *)base, 2 * pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (m != (void *)base) die("mmap");
        munmap((void *)(base + pages * PAGE), pages * PAGE);
        mprotect(m, pages * PAGE, PROT_READ | PROT_WRITE);
        hand_over(s, i + 1);
        char c = 1;
        if (write(said[1], &c, 1) != 1) die("write");
        if (read(go[0], &c, 1) != 1) _exit(6);
        if (!strcmp(scenario, "plain")) plain();
        else if (!strcmp(scenario, "fork")) forks();
        else if (!strcmp(scenario, "layout")) layout(0);
        else if (!strcmp(scenario, "torture")) layout(1);
        else if (!strcmp(scenario, "churn")) churn();
        else if (!strcmp(scenario, "early")) _exit(0);
        else if (!strcmp(scenario, "idle")) usleep(3000000); // for measuring the fill alone
        else _exit(2);
        _exit(0);
    }
    int zombie = -(processes + 1);
    if (send(s, &zombie, 4, 0) != 4) die("zombie");
    uint32_t fin = 0x52535446;
    if (send(s, &fin, 4, 0) != 4) die("FIN");
    close(s);
    printf("ready\n");
    fflush(stdout);
    char line[16];
    if (!fgets(line, sizeof line, stdin)) return 7; // "go"
    for (int i = 0; i < processes; i++) if (write(go[1], line, 1) != 1) die("go");
    int failed = 0;
    for (int i = 0; i < processes; i++) { int st = 0; waitpid(child[i], &st, 0); if (st) { printf("process %d: status %x\n", i, st); failed = 1; } }
    printf(failed ? "failed\n" : "ok\n");
    return failed;
}
