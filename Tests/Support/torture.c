// Writes to memory in one way of many, for trackers to follow: torture MODE [SECONDS]
//
// Every page written carries its address and a version; the program remembers the version and checks the page before it
// writes again, so that a tracker which harms its target is found (exit 9). Waits for a byte on its input, says "ready",
// and runs until it is killed, or for SECONDS. Needs no privileges. TORTURE_CONFINED=seccomp, nobody or userns (the last two
// as root): gives up what a careful container gives up before it begins.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ul
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#define ANY 0xffffffffu // a page whose content isn't known (MADV_FREE)

static _Thread_local uint64_t seed = 88172645463325252ull;
static char *self;
static double ends;

static uint64_t rnd(void) { seed ^= seed << 13; seed ^= seed >> 7; seed ^= seed << 17; return seed; }
static unsigned below(unsigned n) { return (unsigned)((rnd() >> 11) % n); }
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static void pause_us(unsigned us) { struct timespec t = {0, us * 1000l}; nanosleep(&t, 0); }
static void fail(const char *what) { dprintf(2, "torture: %s (errno %d)\n", what, errno); _exit(9); }
// Between batches: leaves a processor to the others, ends in time.
static void rest(void) { pause_us(100 + below(400)); if (ends && now() > ends) _exit(0); }

static void stamp(char *p, uint32_t version) {
    uint64_t *w = (uint64_t *)p;
    w[0] = (uint64_t)p;
    w[1] = version;
    w[2 + below(500)] = rnd();
    w[511] = (uint64_t)p ^ version;
}
// version 0: never written, or given back: zeros.
static void verify(const char *p, uint32_t version) {
    const uint64_t *w = (const uint64_t *)p;
    if (version == ANY) return;
    if (version == 0) { if (w[0] | w[1] | w[511]) fail("a page that was given back isn't zero"); return; }
    if (w[0] != (uint64_t)p || w[1] != version || w[511] != ((uint64_t)p ^ version)) fail("a page lost its stamp");
}
static char *map(size_t n, int flags) {
    char *p = mmap(0, n, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (p == MAP_FAILED) fail("mmap");
    return p;
}

struct region { char *p; unsigned pages; uint32_t *version; uint32_t next; };
static struct region region(unsigned pages, int flags) {
    struct region r = {map(pages * PAGE, flags), pages, (uint32_t *)map(pages * 4ul, MAP_PRIVATE | MAP_ANONYMOUS), 1};
    return r;
}
static void touch(struct region *r, unsigned i) {
    verify(r->p + i * PAGE, r->version[i]);
    r->version[i] = r->next++;
    stamp(r->p + i * PAGE, r->version[i]);
}
static void touch_some(struct region *r, unsigned n) { while (n--) touch(r, below(r->pages)); }

static void anon(void) {
    struct region r = region(8192, MAP_PRIVATE | MAP_ANONYMOUS);
    for (unsigned i = 0; i < r.pages / 2; i++) touch(&r, i);
    for (;;) { touch_some(&r, 200); rest(); }
}

static void zero(void) { // pages that become zero again, by content
    struct region r = region(2048, MAP_PRIVATE | MAP_ANONYMOUS);
    for (;;) {
        for (int k = 0; k < 100; k++) {
            unsigned i = below(r.pages);
            if (below(2)) { verify(r.p + i * PAGE, r.version[i]); memset(r.p + i * PAGE, 0, PAGE); r.version[i] = 0; } else touch(&r, i);
        }
        rest();
    }
}

static void aba(void) { // the same few contents over and over: hashes must not be fooled
    char *p = map(64 * PAGE, MAP_PRIVATE | MAP_ANONYMOUS);
    for (;;) {
        for (int k = 0; k < 400; k++) memset(p + below(64) * PAGE, (int)below(3), PAGE);
        if (below(8) == 0) rest();
    }
}

static void dontneed(void) {
    struct region r = region(4096, MAP_PRIVATE | MAP_ANONYMOUS);
    for (;;) {
        for (int k = 0; k < 60; k++) {
            unsigned i = below(r.pages - 32), n = 1 + below(32);
            switch (below(6)) {
            case 0: if (madvise(r.p + i * PAGE, n * PAGE, MADV_DONTNEED)) fail("MADV_DONTNEED"); memset(r.version + i, 0, n * 4); break;
            case 1: if (madvise(r.p + i * PAGE, n * PAGE, MADV_FREE)) fail("MADV_FREE"); for (unsigned j = 0; j < n; j++) r.version[i + j] = ANY; break;
            case 2: for (unsigned j = 0; j < n; j++) verify(r.p + (i + j) * PAGE, r.version[i + j]); break; // reads: the page of zeros
            default: for (unsigned j = 0; j < n; j++) touch(&r, i + j);
            }
        }
        rest();
    }
}

static void churn(void) { // mmap, munmap, mremap, mprotect, holes
    enum { SLOTS = 120, MAX = 64 };
    static struct { char *p; unsigned n; uint32_t v[MAX * 2]; } s[SLOTS];
    uint32_t next = 1;
    for (;;) {
        for (int k = 0; k < 40; k++) {
            unsigned i = below(SLOTS);
            if (!s[i].p) {
                s[i].n = 1 + below(MAX);
                s[i].p = map(s[i].n * PAGE, MAP_PRIVATE | MAP_ANONYMOUS);
                memset(s[i].v, 0, sizeof s[i].v);
            }
            for (unsigned j = 0; j < s[i].n; j++)
                if (s[i].v[j] && *(uint64_t *)(s[i].p + j * PAGE) != s[i].v[j]) fail("churn: a page was lost");
            for (unsigned j = 0; j < s[i].n; j++) if (below(2)) { s[i].v[j] = next++; stamp(s[i].p + j * PAGE, 7); *(uint64_t *)(s[i].p + j * PAGE) = s[i].v[j]; }
            switch (below(7)) {
            case 0: munmap(s[i].p, s[i].n * PAGE); s[i].p = 0; break;
            case 1: { // grow or shrink, move if needed
                unsigned n = 1 + below(MAX * 2);
                char *q = mremap(s[i].p, s[i].n * PAGE, n * PAGE, MREMAP_MAYMOVE);
                if (q == MAP_FAILED) fail("mremap");
                for (unsigned j = s[i].n; j < n; j++) s[i].v[j] = 0;
                s[i].p = q; s[i].n = n; break; }
            case 2: { // move onto another mapping's place
                char *to = map(s[i].n * PAGE, MAP_PRIVATE | MAP_ANONYMOUS);
                memset(to, 0x77, s[i].n * PAGE);
                char *q = mremap(s[i].p, s[i].n * PAGE, s[i].n * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
                if (q == MAP_FAILED) fail("mremap fixed");
                s[i].p = q; break; }
            case 3: // unreadable for a while: rounds have to read it all the same
                if (mprotect(s[i].p, s[i].n * PAGE, PROT_NONE)) fail("mprotect");
                pause_us(300);
                if (mprotect(s[i].p, s[i].n * PAGE, PROT_READ | PROT_WRITE)) fail("mprotect back");
                break;
            case 4: // splits into three
                if (s[i].n > 3) { mprotect(s[i].p + PAGE, PAGE, PROT_READ); if (below(2)) mprotect(s[i].p + PAGE, PAGE, PROT_READ | PROT_WRITE); else { munmap(s[i].p, s[i].n * PAGE); s[i].p = 0; } }
                break;
            }
        }
        rest();
    }
}

static void heap(void) { // brk
    uint32_t next = 1;
    char *base = (char *)(((uintptr_t)sbrk(0) + PAGE - 1) & ~(PAGE - 1));
    if (brk(base)) fail("brk");
    unsigned pages = 0;
    static uint32_t v[2048];
    for (;;) {
        unsigned n = below(2048);
        if (brk(base + n * PAGE)) fail("brk");
        for (unsigned i = pages; i < n; i++) v[i] = 0;
        pages = n;
        for (unsigned k = 0; pages && k < 60; k++) { unsigned i = below(pages); verify(base + i * PAGE, v[i]); stamp(base + i * PAGE, v[i] = next++); }
        rest();
    }
}

static uint64_t deep(unsigned depth) {
    volatile uint64_t a[512];
    for (int i = 0; i < 512; i += 64) a[i] = depth * 1000003ull + i;
    uint64_t sum = depth ? deep(depth - 1) : (rest(), 0);
    for (int i = 0; i < 512; i += 64) if (a[i] != depth * 1000003ull + i) fail("the stack was changed");
    return sum + a[64];
}
static void stack(void) { for (;;) deep(below(800)); }

static void file(void) { // private mapping of a file
    unsigned pages = 512;
    char name[] = "/tmp/martlet-torture-XXXXXX", buffer[PAGE];
    int f = mkstemp(name);
    if (f < 0) fail("mkstemp");
    unlink(name);
    for (unsigned i = 0; i < pages; i++) { memset(buffer, 'a' + i % 26, PAGE); if (write(f, buffer, PAGE) != (ssize_t)PAGE) fail("write"); }
    char *p = mmap(0, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, f, 0);
    static uint32_t v[512];
    uint32_t next = 1;
    for (;;) {
        for (int k = 0; k < 40; k++) {
            unsigned i = below(pages);
            if (v[i]) verify(p + i * PAGE, v[i]); else if (p[i * PAGE + 9] != (char)('a' + i % 26)) fail("a page of the file is wrong");
            switch (below(4)) {
            case 0: madvise(p + i * PAGE, PAGE, MADV_DONTNEED); v[i] = 0; break;
            case 1: break;
            default: stamp(p + i * PAGE, v[i] = next++);
            }
        }
        rest();
    }
}

static void thp(void) {
    size_t size = 24ul << 20, huge = 2ul << 20;
    char *raw = map(size + huge, MAP_PRIVATE | MAP_ANONYMOUS), *p = (char *)(((uintptr_t)raw + huge - 1) & ~(huge - 1));
    madvise(p, size, MADV_HUGEPAGE);
    struct region r = {p, size / PAGE, (uint32_t *)map(size / PAGE * 4, MAP_PRIVATE | MAP_ANONYMOUS), 1};
    for (unsigned i = 0; i < r.pages; i += 3) touch(&r, i);
    for (;;) {
        touch_some(&r, 50);
        unsigned h = below(12) * 512;
        switch (below(6)) {
        case 0: if (madvise(p + h * PAGE, huge, MADV_DONTNEED)) fail("MADV_DONTNEED"); memset(r.version + h, 0, 2048); break;
        case 1: madvise(p + (h + 5) * PAGE, 7 * PAGE, MADV_DONTNEED); memset(r.version + h + 5, 0, 28); break;
        case 2: mprotect(p + (h + 9) * PAGE, 3 * PAGE, PROT_READ); mprotect(p + (h + 9) * PAGE, 3 * PAGE, PROT_READ | PROT_WRITE); break;
        case 3: for (unsigned i = h; i < h + 512; i += 2) touch(&r, i); break;
        }
        rest();
    }
}

static void guard(void) { // guard pages come and go (Linux 6.13), PROT_NONE before
    struct region r = region(1024, MAP_PRIVATE | MAP_ANONYMOUS);
    static char guarded[1024];
    int install = madvise(r.p, PAGE, MADV_GUARD_INSTALL) == 0;
    if (install) madvise(r.p, PAGE, MADV_GUARD_REMOVE);
    for (;;) {
        for (int k = 0; k < 40; k++) {
            unsigned i = below(r.pages);
            if (guarded[i]) {
                if (install) madvise(r.p + i * PAGE, PAGE, MADV_GUARD_REMOVE); else mprotect(r.p + i * PAGE, PAGE, PROT_READ | PROT_WRITE);
                guarded[i] = 0;
            } else if (below(3) == 0) {
                if (install) { madvise(r.p + i * PAGE, PAGE, MADV_GUARD_INSTALL); r.version[i] = 0; } else mprotect(r.p + i * PAGE, PAGE, PROT_NONE);
                guarded[i] = 1;
            } else touch(&r, i);
        }
        rest();
    }
}

static void *worker(void *unused) {
    (void)unused;
    seed ^= (uint64_t)pthread_self() * 2654435761u;
    volatile char local[64 * 1024];
    for (int k = 0; k < 20; k++) {
        for (unsigned i = 0; i < sizeof local; i += 512) local[i] = (char)(i ^ k);
        char *h = malloc(1 + below(200000));
        memset(h, k, 4096 < 1 ? 1 : 64);
        free(h);
        pause_us(200 + below(2000));
    }
    if (ends && now() > ends) _exit(0);
    return 0;
}
static void threads(void) {
    for (;;) {
        pthread_t t[8];
        for (int i = 0; i < 8; i++) if (pthread_create(&t[i], 0, worker, 0)) fail("pthread_create");
        for (int i = 0; i < 8; i++) pthread_join(t[i], 0);
    }
}

static void *anon_thread(void *unused) { (void)unused; seed += 77; anon(); return 0; }
static void leaderless(void) { // the first thread ends, another goes on: /proc/PID/maps of the leader is empty
    pthread_t t;
    if (pthread_create(&t, 0, anon_thread, 0)) fail("pthread_create");
    pthread_exit(0);
}

static void forks(void) {
    struct region r = region(1024, MAP_PRIVATE | MAP_ANONYMOUS);
    touch_some(&r, 2000);
    unsigned alive = 0;
    for (;;) {
        if (alive < 4) {
            pid_t c = fork();
            if (c < 0) fail("fork");
            if (c == 0) {
                seed ^= (uint64_t)getpid() << 20;
                double until = now() + 0.02 + below(300) / 1000.0;
                while (now() < until) { touch_some(&r, 30); rest(); }
                _exit(0);
            }
            alive++;
        }
        touch_some(&r, 50);
        int status;
        while (alive && waitpid(-1, &status, WNOHANG) > 0) { alive--; if (status) fail("a child failed"); }
        rest();
    }
}

static void execs(void) { // vfork + exec, and exec of itself: same pid, another memory
    struct region r = region(512, MAP_PRIVATE | MAP_ANONYMOUS);
    double until = now() + 0.15;
    char left[32];
    while (now() < until) {
        touch_some(&r, 200);
        pid_t c = vfork();
        if (c == 0) {
            pause_us(20000); // shares our memory for a while
            execl(self, self, "anon", "0.08", (char *)0);
            _exit(9);
        }
        touch_some(&r, 50);
        while (waitpid(-1, 0, WNOHANG) > 0) {}
        rest();
    }
    while (waitpid(-1, 0, 0) > 0) {}
    snprintf(left, sizeof left, "%.3f", ends ? ends - now() : 0.0);
    if (ends && now() > ends) _exit(0);
    execl(self, self, "exec", left, "again", (char *)0);
    fail("exec");
}

static struct region signalled;
static void on_alarm(int s) { (void)s; uint64_t keep = seed; seed = keep * 31 + 5; touch_some(&signalled, 3); seed = keep; }
static void signals(void) {
    signalled = region(1024, MAP_PRIVATE | MAP_ANONYMOUS);
    struct region r = region(1024, MAP_PRIVATE | MAP_ANONYMOUS);
    stack_t alternate = {.ss_sp = map(64 * 1024, MAP_PRIVATE | MAP_ANONYMOUS), .ss_size = 64 * 1024};
    sigaltstack(&alternate, 0);
    struct sigaction a = {.sa_handler = on_alarm, .sa_flags = SA_RESTART | SA_ONSTACK};
    sigaction(SIGALRM, &a, 0);
    struct itimerval t = {{0, 700}, {0, 700}};
    setitimer(ITIMER_REAL, &t, 0);
    for (;;) { touch_some(&r, 100); rest(); }
}

static void shared(void) { // memfd, shared anonymous memory and SysV, with a child that maps them too
    int f = memfd_create("torture", MFD_CLOEXEC), id = shmget(IPC_PRIVATE, 256 * PAGE, IPC_CREAT | 0600);
    if (f < 0 || ftruncate(f, 256 * PAGE) || id < 0) fail("shared memory");
    char *m[3] = {mmap(0, 256 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, f, 0), map(256 * PAGE, MAP_SHARED | MAP_ANONYMOUS), shmat(id, 0, 0)};
    shmctl(id, IPC_RMID, 0);
    if (fork() == 0) seed ^= 1234567;
    for (;;) {
        for (int k = 0; k < 40; k++) {
            char *p = m[below(3)] + below(256) * PAGE;
            if (below(8) == 0) madvise(p, PAGE, MADV_DONTNEED); else ((uint64_t *)p)[below(512)] = rnd();
            if (below(30) == 0 && pwrite(f, "written", 7, (off_t)(below(256) * PAGE)) != 7) fail("pwrite");
        }
        rest();
    }
}

static struct region raced;
static void *racer(void *mine) { // each thread has every fourth page: neighbours are written at the same moment
    unsigned first = (unsigned)(uintptr_t)mine;
    uint32_t next = 1;
    seed ^= (first + 1) * 0x9E3779B97F4A7C15ull;
    for (;;) {
        for (int k = 0; k < 60; k++) {
            unsigned i = below(raced.pages / 4) * 4 + first;
            verify(raced.p + i * PAGE, raced.version[i]);
            stamp(raced.p + i * PAGE, raced.version[i] = next++);
        }
        rest();
    }
    return 0;
}
static void racers(void) { // threads that write to one region, and one that moves other memory about under them
    raced = region(2048, MAP_PRIVATE | MAP_ANONYMOUS);
    for (uintptr_t i = 0; i < 4; i++) {
        pthread_t t;
        if (pthread_create(&t, 0, racer, (void *)i)) fail("pthread_create");
    }
    churn();
}

// What `stamp` would write at p, elsewhere: for writers that aren't the program itself.
static void image(char *to, char *p, uint32_t version) {
    uint64_t *w = (uint64_t *)to;
    for (int i = 0; i < 512; i++) w[i] = i % 7 ? 0 : rnd();
    w[0] = (uint64_t)p;
    w[1] = version;
    w[511] = (uint64_t)p ^ version;
}
static void kernel(void) { // pages written by system calls, not by the program's own instructions
    struct region r = region(1024, MAP_PRIVATE | MAP_ANONYMOUS);
    static char buffer[PAGE] __attribute__((aligned(4096)));
    char name[] = "/tmp/martlet-torture-XXXXXX";
    int p[2], s[2], plain = mkstemp(name), direct = open(name, O_RDWR | O_DIRECT | O_CLOEXEC);
    if (plain < 0 || pipe(p) || socketpair(AF_UNIX, SOCK_DGRAM, 0, s)) fail("kernel: descriptors");
    unlink(name);
    for (;;) {
        for (int k = 0; k < 30; k++) {
            unsigned i = below(r.pages);
            char *to = r.p + i * PAGE;
            verify(to, r.version[i]);
            uint32_t version = r.next++;
            image(buffer, to, version);
            struct iovec from = {buffer, PAGE}, into = {to, PAGE};
            ssize_t n = 0;
            switch (below(6)) {
            case 0: if (write(p[1], buffer, PAGE) == (ssize_t)PAGE) n = read(p[0], to, PAGE); break;
            case 1: if (send(s[1], buffer, PAGE, 0) == (ssize_t)PAGE) n = recv(s[0], to, PAGE, 0); break;
            case 2: if (pwrite(plain, buffer, PAGE, 0) == (ssize_t)PAGE) n = pread(plain, to, PAGE, 0); break;
            case 3: // the device writes by itself (or tmpfs pretends to); not every file system can
                if (direct < 0) { n = (ssize_t)PAGE; memcpy(to, buffer, PAGE); break; }
                if (pwrite(direct, buffer, PAGE, 4096) == (ssize_t)PAGE) n = pread(direct, to, PAGE, 4096);
                break;
            case 4: n = process_vm_writev(getpid(), &from, 1, &into, 1, 0); break;
            default: stamp(to, version); n = syscall(SYS_getrandom, to + 1024, 256, 0) == 256 ? (ssize_t)PAGE : 0;
            }
            if (n != (ssize_t)PAGE) fail("kernel: a write by a system call");
            r.version[i] = version;
        }
        rest();
    }
}

// Areas of every origin and with every flag that a program can ask for.
static char in_data[64 * PAGE] __attribute__((aligned(4096))) = {1}, in_bss[64 * PAGE] __attribute__((aligned(4096)));
static void kinds(void) {
    enum { COUNT = 16, PAGES = 64 };
    static struct region r[COUNT];
    static uint32_t versions[COUNT][PAGES], next = 1;
    int zeros = open("/dev/zero", O_RDWR | O_CLOEXEC), memory = memfd_create("private", MFD_CLOEXEC), count = 0;
    if (memory < 0 || ftruncate(memory, PAGES * PAGE)) fail("memfd");
    in_data[0] = 0;
    char *made[] = {
        in_data, in_bss,
        mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, zeros, 0),
        mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, memory, 0),
        map(PAGES * PAGE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE),
        map(PAGES * PAGE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN),
        map(PAGES * PAGE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_POPULATE),
        mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        map(PAGES * PAGE, MAP_PRIVATE | MAP_ANONYMOUS), // 8 to 12: madvise below
        map(PAGES * PAGE, MAP_PRIVATE | MAP_ANONYMOUS), map(PAGES * PAGE, MAP_PRIVATE | MAP_ANONYMOUS),
        map(PAGES * PAGE, MAP_PRIVATE | MAP_ANONYMOUS), map(PAGES * PAGE, MAP_PRIVATE | MAP_ANONYMOUS),
        map(PAGES * PAGE, MAP_PRIVATE | MAP_ANONYMOUS), // 13: locked
        map(PAGES * PAGE, MAP_PRIVATE | MAP_ANONYMOUS), // 14: a page here and there in an area of its own
        mmap(0, 2ul << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0), // only where reserved
    };
    // Refused here and there (KSM is not everywhere, mlock has a limit): then they are areas like any other.
    madvise(made[8], PAGES * PAGE, MADV_MERGEABLE);
    madvise(made[9], PAGES * PAGE, MADV_WIPEONFORK);
    madvise(made[10], PAGES * PAGE, MADV_DONTFORK);
    madvise(made[11], PAGES * PAGE, MADV_DONTDUMP);
    madvise(made[12], PAGES * PAGE, MADV_NOHUGEPAGE);
    if (mlock(made[13], PAGES * PAGE)) errno = 0;
    for (int i = 0; i < PAGES; i += 5) mprotect(made[14] + i * PAGE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    for (int i = 0; i < COUNT; i++)
        if (made[i] != MAP_FAILED) r[count] = (struct region){made[i], PAGES, versions[count], 0}, count++;
    for (;;) {
        for (int k = 0; k < 120; k++) {
            struct region *a = &r[below((unsigned)count)];
            unsigned i = below(PAGES);
            verify(a->p + i * PAGE, a->version[i]);
            stamp(a->p + i * PAGE, a->version[i] = next++);
            // Advice that moves pages about without changing them.
            if (below(20) == 0) madvise(a->p, PAGES * PAGE, (int[]){MADV_COLD, MADV_PAGEOUT, MADV_COLLAPSE, MADV_WILLNEED}[below(4)]);
        }
        if (below(40) == 0) { // a child that shares all of it for a moment
            pid_t c = fork();
            if (c == 0) _exit(0);
            if (c > 0) waitpid(c, 0, 0);
        }
        rest();
    }
}

static const struct { const char *name; void (*run)(void); } modes[] = {
    {"anon", anon}, {"zero", zero}, {"aba", aba}, {"dontneed", dontneed}, {"churn", churn}, {"brk", heap}, {"stack", stack},
    {"file", file}, {"thp", thp}, {"guard", guard}, {"threads", threads}, {"leaderless", leaderless}, {"fork", forks},
    {"exec", execs}, {"signals", signals}, {"shared", shared}, {"racers", racers}, {"kernel", kernel}, {"kinds", kinds},
};

static void put(const char *path, const char *text) {
    int f = open(path, O_WRONLY | O_CLOEXEC);
    if (f < 0 || write(f, text, strlen(text)) != (ssize_t)strlen(text)) fail(path);
    close(f);
}
static void only(const int *calls, unsigned count) { // every other call kills the process, userfaultfd(2) among them
    struct sock_filter f[300] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    unsigned n = 1;
    for (unsigned i = 0; i < count; i++) {
        f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], 0, 1);
        f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    struct sock_fprog program = {(unsigned short)n, f};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) fail("seccomp");
}
static void confine(const char *how) {
    static const int calls[] = {
        SYS_read, SYS_write, SYS_pread64, SYS_pwrite64, SYS_close, SYS_fstat, SYS_newfstatat, SYS_lseek, SYS_mmap, SYS_mprotect,
        SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk, SYS_mlock, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack,
        SYS_access, SYS_pipe, SYS_pipe2, SYS_socketpair, SYS_sendto, SYS_recvfrom, SYS_shmget, SYS_shmat, SYS_shmctl, SYS_nanosleep,
        SYS_clock_nanosleep, SYS_clock_gettime, SYS_setitimer, SYS_getpid, SYS_gettid, SYS_clone, SYS_clone3, SYS_fork, SYS_vfork,
        SYS_execve, SYS_exit, SYS_exit_group, SYS_wait4, SYS_uname, SYS_ftruncate, SYS_readlink, SYS_readlinkat, SYS_unlink, SYS_prctl,
        SYS_arch_prctl, SYS_futex, SYS_set_tid_address, SYS_restart_syscall, SYS_openat, SYS_open, SYS_set_robust_list, SYS_prlimit64,
        SYS_getrandom, SYS_memfd_create, SYS_process_vm_writev, SYS_sched_getaffinity, 334 /* rseq */};
    if (!strcmp(how, "seccomp")) only(calls, sizeof calls / sizeof *calls);
    else if (!strcmp(how, "nobody")) { if (setgid(65534) || setuid(65534)) fail("setuid"); }
    else if (!strcmp(how, "userns")) { // root inside, nobody in particular outside
        int p[2], status;
        if (pipe(p)) fail("pipe");
        pid_t c = fork();
        if (c == 0) { // who stays outside may write the map
            char go, path[64];
            if (read(p[0], &go, 1) != 1) _exit(1);
            snprintf(path, sizeof path, "/proc/%d/uid_map", getppid());
            put(path, "0 100000 65536");
            snprintf(path, sizeof path, "/proc/%d/gid_map", getppid());
            put(path, "0 100000 65536");
            _exit(0);
        }
        if (unshare(CLONE_NEWUSER) || write(p[1], "x", 1) != 1 || waitpid(c, &status, 0) != c || status) fail("user namespace");
        close(p[0]);
        close(p[1]);
        if (setgid(0) || setuid(0)) fail("setuid in the user namespace");
    } else fail("TORTURE_CONFINED");
}

int main(int argc, char **argv) {
    static char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    self = n > 0 ? path : argv[0];
    if (argc < 2) return 2;
    if (argc > 2 && atof(argv[2]) > 0) ends = now() + atof(argv[2]);
    seed ^= (uint64_t)getpid() * 0x9E3779B97F4A7C15ull;
    if (argc < 3) { // started by the test, not by itself
        char go;
        if (read(0, &go, 1) != 1) return 3;
        if (getenv("TORTURE_CONFINED")) confine(getenv("TORTURE_CONFINED"));
        if (write(1, "ready\n", 6) != 6) return 3;
    }
    for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++)
        if (!strcmp(argv[1], modes[i].name)) modes[i].run();
    return 2;
}
