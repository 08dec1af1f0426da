// Memory: process_vm_readv, userfaultfd, PAGEMAP_SCAN, memfd.
#pragma once
#include "linux_process.h"
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#ifndef SYS_userfaultfd
#define SYS_userfaultfd 323
#endif

CLINUX long linux_process_vm_readv(int pid, const struct iovec *local, unsigned long nlocal,
                                   const struct iovec *remote, unsigned long nremote) {
    long r = syscall(SYS_process_vm_readv, pid, local, nlocal, remote, nremote, 0UL);
    return CLINUX_RESULT(r);
}
CLINUX long linux_memfd_create(const char *name, unsigned flags) { long r = syscall(SYS_memfd_create, name, flags); return CLINUX_RESULT(r); }
CLINUX long linux_ioctl(int fd, unsigned long request, void *argument) { int r = ioctl(fd, request, argument); return CLINUX_RESULT(r); }

// ---- userfaultfd (linux/userfaultfd.h); values newer than Debian 12's headers by number ----
static const long LINUX_SYS_USERFAULTFD = SYS_userfaultfd, LINUX_SYS_CLOSE = SYS_close;
static const unsigned long LINUX_UFFDIO_API = UFFDIO_API, LINUX_UFFDIO_REGISTER = UFFDIO_REGISTER,
    LINUX_UFFDIO_UNREGISTER = UFFDIO_UNREGISTER, LINUX_UFFDIO_WAKE = UFFDIO_WAKE, LINUX_UFFDIO_COPY = UFFDIO_COPY,
    LINUX_UFFDIO_ZEROPAGE = UFFDIO_ZEROPAGE, LINUX_UFFDIO_WRITEPROTECT = UFFDIO_WRITEPROTECT,
    LINUX_UFFDIO_CONTINUE = UFFDIO_CONTINUE;
static const uint64_t LINUX_UFFD_API = UFFD_API;
CLINUX long linux_userfaultfd(int flags) { long r = syscall(SYS_userfaultfd, flags); return CLINUX_RESULT(r); }

// One struct uffd_msg, taken apart without its anonymous unions.
struct linux_uffd_event {
    uint32_t kind;            // UFFD_EVENT_*
    uint64_t flags;           // pagefault: UFFD_PAGEFAULT_FLAG_*
    uint64_t address;         // pagefault
    uint32_t child;           // fork: descriptor of the child's userfaultfd
    uint64_t from, to, length; // remap: from, to, length; remove and unmap: from (start), to (end)
};
CLINUX struct linux_uffd_event linux_uffd_decode(const void *message) {
    const struct uffd_msg *m = (const struct uffd_msg *)message;
    struct linux_uffd_event e = {.kind = m->event};
    switch (m->event) {
    case UFFD_EVENT_PAGEFAULT: e.flags = m->arg.pagefault.flags; e.address = m->arg.pagefault.address; break;
    case UFFD_EVENT_FORK: e.child = m->arg.fork.ufd; break;
    case UFFD_EVENT_REMAP: e.from = m->arg.remap.from; e.to = m->arg.remap.to; e.length = m->arg.remap.len; break;
    default: e.from = m->arg.remove.start; e.to = m->arg.remove.end; break;
    }
    return e;
}
static const unsigned long LINUX_UFFD_MESSAGE_SIZE = sizeof(struct uffd_msg);

// ---- PAGEMAP_SCAN (Linux 6.7; linux/fs.h) ----
struct linux_page_region { uint64_t start, end, categories; };
struct linux_pm_scan_arg {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
static const unsigned long LINUX_PAGEMAP_SCAN = _IOWR('f', 16, struct linux_pm_scan_arg);
CLINUX long linux_pagemap_scan(int fd, struct linux_pm_scan_arg *a) { a->size = sizeof *a; int r = ioctl(fd, LINUX_PAGEMAP_SCAN, a); return CLINUX_RESULT(r); }
