#include "system.h"
#include "linux_store.h"
#include <fcntl.h>
#include <sys/epoll.h>

static long allocate(int fd, int mode, long offset, long length) {
    long r;
    do r = fallocate(fd, mode, offset, length); while (r < 0 && errno == EINTR);
    return RESULT(r);
}
long linux_allocate(int fd, long offset, long length) { return allocate(fd, FALLOC_FL_KEEP_SIZE, offset, length); }
long linux_punch_hole(int fd, long offset, long length) {
    return allocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, offset, length);
}
long linux_open_unnamed(const char *folder) { long r = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600); return RESULT(r); }

SAME(LINUX_EPOLLIN, EPOLLIN);
SAME(LINUX_EPOLLOUT, EPOLLOUT);
SAME(LINUX_EPOLLERR, EPOLLERR);
SAME(LINUX_EPOLLHUP, EPOLLHUP);
long linux_epoll_create(void) { long r = epoll_create1(EPOLL_CLOEXEC); return RESULT(r); }
static long control(int ep, int operation, int fd, unsigned events, uint64_t key) {
    struct epoll_event e = {.events = events, .data = {.u64 = key}};
    long r = epoll_ctl(ep, operation, fd, &e);
    return RESULT(r);
}
long linux_epoll_add(int ep, int fd, unsigned events, uint64_t key) { return control(ep, EPOLL_CTL_ADD, fd, events, key); }
long linux_epoll_change(int ep, int fd, unsigned events, uint64_t key) { return control(ep, EPOLL_CTL_MOD, fd, events, key); }
long linux_epoll_remove(int ep, int fd) { return control(ep, EPOLL_CTL_DEL, fd, 0, 0); }
long linux_epoll_wait(int ep, struct linux_epoll_ready *ready, int room, int milliseconds) {
    struct epoll_event e[64];
    if (room > 64) room = 64;
    int r = epoll_wait(ep, e, room, milliseconds);
    if (r < 0) return -errno;
    for (int i = 0; i < r; i++) { ready[i].key = e[i].data.u64; ready[i].events = e[i].events; }
    return r;
}
