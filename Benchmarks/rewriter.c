// Rewrites its memory as fast as it can, every page over and over, and checks each page before it writes it again.
//
// usage: rewriter PORT MEGABYTES
// A line at the port is answered with "ok PAGES" (rewritten so far), or "bad WORDS" once a page did not hold what was written to it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAGE = 4096, WORDS = PAGE / 8, EVERY = 64 };

static atomic_ulong rewritten;
static atomic_long wrong = -1;

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void *serve(void *argument)
{
    int connection = (int)(intptr_t)argument, one = 1;
    char line[128];
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    while (read(connection, line, sizeof line) > 0) {
        long page = atomic_load(&wrong);
        int length = page >= 0 ? snprintf(line, sizeof line, "bad page %ld\n", page)
                               : snprintf(line, sizeof line, "ok %lu\n", atomic_load(&rewritten));
        if (write(connection, line, (size_t)length) != length) break;
    }
    close(connection);
    return NULL;
}

static void *rewrite(void *argument)
{
    size_t pages = (size_t)(uintptr_t)argument;
    uint64_t *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) exit(4);
    for (size_t i = 0; i < pages * WORDS; i++) memory[i] = mix(i + 1);
    for (uint64_t round = 0;; round++) {
        for (size_t page = 0; page < pages; page++) {
            // Eight words of a page, so that what limits is memory and not arithmetic.
            uint64_t *words = memory + page * WORDS, had = mix(page << 20 ^ round), will = mix(page << 20 ^ (round + 1));
            for (size_t i = 0; i < WORDS; i += EVERY) {
                if (round && words[i] != (had ^ i)) atomic_store(&wrong, (long)page);
                words[i] = will ^ i;
            }
            if (page % 256 == 255) atomic_fetch_add(&rewritten, 256);
        }
    }
}

int main(int count, char **words)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    pthread_t thread;
    int listener, one = 1;
    if (count != 3) return 2;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    address.sin_port = htons((uint16_t)atoi(words[1]));
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64)) return 3;
    pthread_create(&thread, NULL, rewrite, (void *)((uintptr_t)atoi(words[2]) * 256));
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection >= 0) pthread_create(&thread, NULL, serve, (void *)(intptr_t)connection), pthread_detach(thread);
    }
}
