// Stamps a version into every page of every kind of memory, remembers it elsewhere, and checks both against each other.
//
// usage: stamper PORT MEGABYTES
// Answers a line ("strictly" or another one) at the port with "ok STAMPS KINDS..." or "bad WORDS". A migration that loses, keeps or mixes up a page of any kind
// makes a stamp and its memory differ; one that goes back as a whole makes STAMPS smaller than what was answered before.
//
// Each kind has a thread of its own. It takes its pages in a scattered order; before a page is stamped anew its old stamp is checked. The
// "churn" thread maps, stamps, moves, shrinks and unmaps areas all the time; the "fork" thread has children check what they inherited.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, HUGE = 2 << 20, PASSING = 16 };

struct stamp { uint64_t kind, page, version, check; };

struct area {
    const char *name;
    uint64_t kind;
    char *memory;
    size_t pages;
    int file; // of a memfd or a file in /dev/shm, which is also written to by write(2) and punched; else -1
    uint64_t *versions; // what each page should say; 0: never stamped, so the page is as the kernel gave it
    pthread_mutex_t lock;
};

static atomic_ulong stamps;
static char problem[256];
static pthread_mutex_t problem_lock = PTHREAD_MUTEX_INITIALIZER;
static struct area areas[16];
static int area_count;
static struct area *shared;
// In /dev/shm: one with a name and one without.
static struct area *named, *nameless;
// System V segments: one with a key, one that is removed already, one that nobody has attached most of the time.
enum { KEY = 0x4d61 };
static struct area *keyed, *doomed;
static int keyed_id, doomed_id, loose_id;

static void bad(const char *format, ...)
{
    va_list list;
    pthread_mutex_lock(&problem_lock);
    if (!problem[0]) {
        va_start(list, format);
        vsnprintf(problem, sizeof problem, format, list);
        va_end(list);
    }
    pthread_mutex_unlock(&problem_lock);
}

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

// At the head and at the end of the page, so that a page made of two halves is noticed.
static void put(char *page, uint64_t kind, uint64_t number, uint64_t version)
{
    struct stamp s = { kind, number, version, mix(kind ^ number << 8 ^ version << 32) };
    memcpy(page, &s, sizeof s);
    memcpy(page + PAGE - sizeof s, &s, sizeof s);
}

static int holds(const char *page, uint64_t kind, uint64_t number, uint64_t version)
{
    struct stamp head, tail, due = { kind, number, version, mix(kind ^ number << 8 ^ version << 32) };
    if (version == 0) memset(&due, 0, sizeof due);
    memcpy(&head, page, sizeof head);
    memcpy(&tail, page + PAGE - sizeof tail, sizeof tail);
    return !memcmp(&head, &due, sizeof due) && !memcmp(&tail, &due, sizeof due);
}

static void check_page(struct area *a, size_t i)
{
    struct stamp s;
    char *page = a->memory + i * PAGE;
    if (holds(page, a->kind, i, a->versions[i])) return;
    memcpy(&s, page, sizeof s);
    bad("%s page %zu should have version %lu and says kind %lu page %lu version %lu", a->name, i,
        (unsigned long)a->versions[i], (unsigned long)s.kind, (unsigned long)s.page, (unsigned long)s.version);
}

static void stamp_page(struct area *a, size_t i, int by_file)
{
    char page[PAGE] = {0};
    if (!by_file) { put(a->memory + i * PAGE, a->kind, i, ++a->versions[i]); return; }
    put(page, a->kind, i, ++a->versions[i]);
    if (pwrite(a->file, page, PAGE, (off_t)i * PAGE) != PAGE) bad("pwrite: %s", strerror(errno));
}

static void *stamp_area(void *argument)
{
    struct area *a = argument;
    uint64_t step = 0;
    pthread_setname_np(pthread_self(), a->name);
    for (;;) {
        pthread_mutex_lock(&a->lock);
        for (int n = 0; n < 64; n++) {
            // Nine of ten stamps fall on a tenth of the pages: some pages are always dirty, some for a long time not.
            uint64_t random = mix(++step * 0x9e3779b97f4a7c15u ^ a->kind);
            size_t i = random % 10 ? (random >> 8) % (a->pages / 10 + 1) : (random >> 8) % a->pages;
            check_page(a, i);
            stamp_page(a, i, a->file >= 0 && n % 3 == 0);
            atomic_fetch_add(&stamps, 1);
        }
        // Back to zero now and then, which must travel as well as any content.
        if (step % 6400 == 0) {
            size_t i = mix(step) % a->pages;
            if (a->file < 0) memset(a->memory + i * PAGE, 0, PAGE);
            else if (fallocate(a->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)i * PAGE, PAGE)) bad("punch: %s", strerror(errno));
            a->versions[i] = 0;
        }
        pthread_mutex_unlock(&a->lock);
        usleep(500);
    }
    return NULL;
}

static struct area *add_area(const char *name, char *memory, size_t bytes)
{
    struct area *a = &areas[area_count++];
    if (memory == MAP_FAILED) {
        bad("no memory for %s: %s", name, strerror(errno));
        area_count--;
        return NULL;
    }
    a->name = name;
    a->kind = (uint64_t)area_count;
    a->memory = memory;
    a->pages = bytes / PAGE;
    a->file = -1;
    a->versions = calloc(a->pages, sizeof *a->versions);
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

static char *file_mapping(const char *path, size_t bytes, int flags)
{
    int file = open(path, O_RDWR | O_CREAT, 0600);
    char *memory;
    if (file < 0 || ftruncate(file, (off_t)bytes)) return MAP_FAILED;
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, file, 0);
    close(file);
    return memory;
}

static void make_areas(size_t bytes)
{
    char *huge;
    int memfd = memfd_create("stamps", 0);
    add_area("private", mmap(NULL, bytes / 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), bytes / 2);
    huge = aligned_alloc(HUGE, bytes / 4 / HUGE * HUGE + HUGE);
    madvise(huge, bytes / 4, MADV_HUGEPAGE);
    memset(huge, 0, bytes / 4);
    add_area("huge", huge, bytes / 4);
    shared = add_area("shared", mmap(NULL, bytes / 16, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), bytes / 16);
    if (memfd >= 0 && !ftruncate(memfd, (off_t)(bytes / 16))) {
        struct area *a = add_area("memfd", mmap(NULL, bytes / 16, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0), bytes / 16);
        if (a) a->file = memfd;
    }
    named = add_area("shm", file_mapping("/dev/shm/stamps", bytes / 16, MAP_SHARED), bytes / 16);
    if (named) named->file = open("/dev/shm/stamps", O_RDWR);
    nameless = add_area("shm-unlinked", file_mapping("/dev/shm/gone", bytes / 16, MAP_SHARED), bytes / 16);
    unlink("/dev/shm/gone");
    keyed_id = shmget(KEY, bytes / 16 - 100, IPC_CREAT | IPC_EXCL | 0640);
    keyed = add_area("sysv", shmat(keyed_id, NULL, 0), bytes / 16 - PAGE);
    doomed_id = shmget(IPC_PRIVATE, bytes / 32, 0600);
    doomed = add_area("sysv-removed", shmat(doomed_id, NULL, 0), bytes / 32);
    loose_id = shmget(IPC_PRIVATE, PASSING * PAGE, 0600);
    if (loose_id < 0 || shmctl(doomed_id, IPC_RMID, NULL)) bad("sysv: %s", strerror(errno));
    add_area("file-private", file_mapping("/tmp/private", bytes / 16, MAP_PRIVATE), bytes / 16);
    add_area("file-shared", file_mapping("/tmp/shared", bytes / 16, MAP_SHARED), bytes / 16);
}

// Maps, stamps, moves, shrinks, and checks before letting go: the same addresses come back with other content.
static void *churn(void *argument)
{
    uint64_t version = 0;
    (void)argument;
    pthread_setname_np(pthread_self(), "churn");
    for (;;) {
        size_t pages = 16 + mix(++version) % 240, kept = pages / 2 + 1;
        char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *moved;
        if (memory == MAP_FAILED) { bad("churn: mmap: %s", strerror(errno)); return NULL; }
        for (size_t i = 0; i < pages; i += 2) put(memory + i * PAGE, 100, i, version);
        usleep(2000);
        moved = mremap(memory, pages * PAGE, 2 * pages * PAGE, MREMAP_MAYMOVE);
        if (moved == MAP_FAILED) { bad("churn: mremap: %s", strerror(errno)); return NULL; }
        madvise(moved, 2 * PAGE, MADV_DONTNEED);
        munmap(moved + kept * PAGE, (2 * pages - kept) * PAGE);
        usleep(2000);
        for (size_t i = 0; i < kept; i++) {
            if (!holds(moved + i * PAGE, 100, i, i < 2 || i % 2 ? 0 : version)) bad("churn: page %zu of version %lu", i, (unsigned long)version);
        }
        munmap(moved, kept * PAGE);
    }
}

// A child has its parent's memory as it was at the fork, whatever the parent writes afterwards. Only calls that are safe in a child of a
// process with threads.
static void *fork_children(void *argument)
{
    enum { PAGES = 64 };
    char *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t version = 0;
    (void)argument;
    pthread_setname_np(pthread_self(), "fork");
    for (;;) {
        pid_t child;
        int status;
        version++;
        for (size_t i = 0; i < PAGES; i++) put(memory + i * PAGE, 200, i, version);
        child = fork();
        if (child == 0) {
            usleep(30000);
            for (size_t i = 0; i < PAGES; i++)
                if (!holds(memory + i * PAGE, 200, i, version)) _exit(1);
            _exit(0);
        }
        if (child < 0) { bad("fork: %s", strerror(errno)); return NULL; }
        version++;
        for (size_t i = 0; i < PAGES; i++) put(memory + i * PAGE, 200, i, version);
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
        if (status != 0) bad("fork: a child saw other memory than its parent's at the fork (status %d)", status);
    }
}

// Shared memory is written to by processes that come and go, which no tracker of the long-lived ones sees.
static void *short_lived(void *argument)
{
    struct area *all[] = { shared, named, keyed };
    uint64_t step = 0;
    (void)argument;
    pthread_setname_np(pthread_self(), "short-lived");
    for (;; usleep(5000)) {
        struct area *a = all[++step % 3];
        int status = 0;
        size_t i;
        pid_t child;
        if (!a) continue;
        pthread_mutex_lock(&a->lock);
        i = mix(step * 77) % a->pages;
        child = fork();
        if (child == 0) {
            put(a->memory + i * PAGE, a->kind, i, a->versions[i] + 1);
            _exit(0);
        }
        while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {}
        if (child > 0 && status == 0) a->versions[i]++;
        else bad("short-lived: %s, status %d", strerror(errno), status);
        pthread_mutex_unlock(&a->lock);
    }
    return NULL;
}

// A file in /dev/shm that nobody keeps open or mapped: a store into a mapping that is gone leaves no time behind. It is cut off, grows,
// and changes its name.
static pthread_mutex_t passing_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t passing_version;
static void check_passing(void)
{
    char path[64], page[PAGE];
    int file;
    snprintf(path, sizeof path, "/dev/shm/passing-%d", (int)(passing_version / 8 % 2));
    file = open(path, O_RDONLY);
    for (size_t i = 0; i < PASSING; i++) {
        // Version n wrote page n % PASSING; every 64th cut all off.
        uint64_t since = passing_version % 64, due = since < i ? 0 : passing_version - (since - i) % PASSING;
        if (pread(file, page, PAGE, (off_t)i * PAGE) != PAGE || !holds(page, 300, i, due))
            bad("passing: page %zu of %s is not of version %lu", i, path, (unsigned long)due);
    }
    if (file >= 0) close(file);
}

// Version n of the segment that nobody keeps attached wrote page n % PASSING.
static void pass_segment(uint64_t before, uint64_t now)
{
    char *memory = shmat(loose_id, NULL, 0);
    if (memory == (void *)-1) { bad("sysv-loose: %s", strerror(errno)); return; }
    for (size_t i = 0; i < PASSING; i++) {
        uint64_t due = before < i ? 0 : before - (before - i) % PASSING;
        if (!holds(memory + i * PAGE, 301, i, due)) bad("sysv-loose: page %zu is not of version %lu", i, (unsigned long)due);
    }
    if (now != before) put(memory + now % PASSING * PAGE, 301, now % PASSING, now);
    shmdt(memory);
}

// Numbers, key, permissions, and what becomes of a segment.
static void check_segments(int strictly)
{
    struct shmid_ds status;
    if (shmget(KEY, 0, 0) != keyed_id) bad("sysv: the key leads to another segment: %s", strerror(errno));
    if (shmctl(keyed_id, IPC_STAT, &status) || (status.shm_perm.mode & 07777) != 0640) bad("sysv: its mode is %o", status.shm_perm.mode);
    // CRIU forgets it where it carries the segments.
    if (shmctl(doomed_id, IPC_STAT, &status) || (strictly && !(status.shm_perm.mode & SHM_DEST))) bad("sysv-removed: it is not: %s", strerror(errno));
    for (int n = 0;; n++, usleep(1000)) {
        if (shmctl(loose_id, IPC_STAT, &status)) { bad("sysv-loose: %s", strerror(errno)); return; }
        if (status.shm_nattch == 0) return;
        if (n == 1000) { bad("sysv-loose: somebody keeps it attached"); return; }
    }
}

static void *pass_by(void *argument)
{
    (void)argument;
    pthread_setname_np(pthread_self(), "passing");
    for (;; usleep(20000)) {
        char path[64], before[64], *memory;
        int file;
        size_t i;
        pthread_mutex_lock(&passing_lock);
        if (passing_version) check_passing();
        pass_segment(passing_version, passing_version + 1);
        snprintf(before, sizeof before, "/dev/shm/passing-%d", (int)(passing_version / 8 % 2));
        passing_version++;
        i = passing_version % 64 % PASSING;
        snprintf(path, sizeof path, "/dev/shm/passing-%d", (int)(passing_version / 8 % 2));
        if (passing_version > 1 && strcmp(before, path) && rename(before, path)) bad("passing: rename: %s", strerror(errno));
        file = open(path, O_RDWR | O_CREAT, 0600);
        if (passing_version % 64 == 0 && ftruncate(file, 0)) bad("passing: cut off: %s", strerror(errno));
        if (ftruncate(file, PASSING * PAGE)) bad("passing: grow: %s", strerror(errno));
        memory = mmap(NULL, PASSING * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        close(file);
        if (memory == MAP_FAILED) { bad("passing: mmap: %s", strerror(errno)); return NULL; }
        put(memory + i * PAGE, 300, i, passing_version);
        munmap(memory, PASSING * PAGE);
        pthread_mutex_unlock(&passing_lock);
    }
}

static void answer(int connection)
{
    char line[512];
    int length;
    if (read(connection, line, sizeof line) <= 0) return;
    for (int n = 0; n < area_count; n++) {
        struct area *a = &areas[n];
        pthread_mutex_lock(&a->lock);
        for (size_t i = 0; i < a->pages; i++) check_page(a, i);
        pthread_mutex_unlock(&a->lock);
    }
    pthread_mutex_lock(&passing_lock);
    if (passing_version) check_passing();
    pass_segment(passing_version, passing_version);
    check_segments(!strncmp(line, "strictly", 8));
    pthread_mutex_unlock(&passing_lock);
    if (problem[0]) length = snprintf(line, sizeof line, "bad %s\n", problem);
    else length = snprintf(line, sizeof line, "ok %lu %d kinds\n", atomic_load(&stamps), area_count + 3);
    if (write(connection, line, (size_t)length) != length) return;
}

int main(int count, char **words)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    pthread_t thread;
    int listener, one = 1;
    if (count != 3) return 2;
    make_areas((size_t)atoi(words[2]) << 20);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    address.sin_port = htons((uint16_t)atoi(words[1]));
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 16)) return 3;
    for (int n = 0; n < area_count; n++) pthread_create(&thread, NULL, stamp_area, &areas[n]);
    pthread_create(&thread, NULL, churn, NULL);
    pthread_create(&thread, NULL, short_lived, NULL);
    pthread_create(&thread, NULL, pass_by, NULL);
    pthread_create(&thread, NULL, fork_children, NULL);
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection < 0) continue;
        answer(connection);
        close(connection);
    }
}
