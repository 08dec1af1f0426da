// The page store and the fault server: file allocation and epoll, both hidden or awkward in Glibc's module map.
#pragma once
#include <stdint.h>

// fallocate(2): allocates without changing contents; the file must already be that long.
long linux_allocate(int fd, long offset, long length);
// fallocate(2) with PUNCH_HOLE: gives pages back, the range reads as zeros.
long linux_punch_hole(int fd, long offset, long length);
// An unnamed file in a folder (O_TMPFILE): gone with its last descriptor.
long linux_open_unnamed(const char *folder);

// struct epoll_event is packed on x86-64 and holds a union: taken apart here.
static const unsigned LINUX_EPOLLIN = 1, LINUX_EPOLLOUT = 4, LINUX_EPOLLERR = 8, LINUX_EPOLLHUP = 16;
long linux_epoll_create(void);
long linux_epoll_add(int ep, int fd, unsigned events, uint64_t key);
long linux_epoll_change(int ep, int fd, unsigned events, uint64_t key);
long linux_epoll_remove(int ep, int fd);
struct linux_epoll_ready { uint64_t key; unsigned events; };
// Takes up to 64 at a time.
long linux_epoll_wait(int ep, struct linux_epoll_ready *ready, int room, int milliseconds);
