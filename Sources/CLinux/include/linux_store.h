// The page store and the fault server: file allocation and epoll, both hidden or awkward in Glibc's module map.
#pragma once
#include "linux_process.h"
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>

// fallocate(2): allocates without changing contents; the file must already be that long.
CLINUX long linux_allocate(int fd, long offset, long length) {
    long r;
    do r = syscall(SYS_fallocate, fd, 1 /* FALLOC_FL_KEEP_SIZE */, offset, length); while (r < 0 && errno == EINTR);
    return CLINUX_RESULT(r);
}
// fallocate(2) with PUNCH_HOLE: gives pages back, the range reads as zeros.
CLINUX long linux_punch_hole(int fd, long offset, long length) {
    long r;
    do r = syscall(SYS_fallocate, fd, 3 /* KEEP_SIZE | PUNCH_HOLE */, offset, length); while (r < 0 && errno == EINTR);
    return CLINUX_RESULT(r);
}
// An unnamed file in a folder (O_TMPFILE): gone with its last descriptor.
CLINUX long linux_open_unnamed(const char *folder) {
    long r = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return CLINUX_RESULT(r);
}

// struct epoll_event is packed on x86-64 and holds a union: taken apart here.
static const unsigned LINUX_EPOLLIN = EPOLLIN, LINUX_EPOLLOUT = EPOLLOUT, LINUX_EPOLLERR = EPOLLERR, LINUX_EPOLLHUP = EPOLLHUP;
CLINUX long linux_epoll_create(void) { long r = epoll_create1(EPOLL_CLOEXEC); return CLINUX_RESULT(r); }
CLINUX long linux_epoll_add(int ep, int fd, unsigned events, uint64_t key) {
    struct epoll_event e = {.events = events, .data = {.u64 = key}};
    long r = epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
    return CLINUX_RESULT(r);
}
CLINUX long linux_epoll_change(int ep, int fd, unsigned events, uint64_t key) {
    struct epoll_event e = {.events = events, .data = {.u64 = key}};
    long r = epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e);
    return CLINUX_RESULT(r);
}
CLINUX long linux_epoll_remove(int ep, int fd) { long r = epoll_ctl(ep, EPOLL_CTL_DEL, fd, 0); return CLINUX_RESULT(r); }
struct linux_epoll_ready { uint64_t key; unsigned events; };
CLINUX long linux_epoll_wait(int ep, struct linux_epoll_ready *ready, int room, int milliseconds) {
    struct epoll_event e[64];
    if (room > 64) room = 64;
    int r = epoll_wait(ep, e, room, milliseconds);
    if (r < 0) return -errno;
    for (int i = 0; i < r; i++) { ready[i].key = e[i].data.u64; ready[i].events = e[i].events; }
    return r;
}
