// Another process's memory: process_vm_readv, PAGEMAP_SCAN; memfd; ioctl.
#pragma once
#include <stddef.h>
#include <stdint.h>

// struct iovec
struct linux_iovec { void *base; size_t length; };
long linux_process_vm_readv(int pid, const struct linux_iovec *local, unsigned long nlocal,
                            const struct linux_iovec *remote, unsigned long nremote);
long linux_memfd_create(const char *name, unsigned flags);
// System V shared memory: shmget, shmat (an address), shmdt, shmctl(IPC_RMID).
long linux_shm_get(int key, size_t size, int flags);
long linux_shm_attach(int id, int flags);
long linux_shm_detach(const void *address);
long linux_shm_remove(int id);
long linux_ioctl(int fd, unsigned long request, void *argument);

// ---- PAGEMAP_SCAN (Linux 6.7; linux/fs.h), newer than Debian 12's headers ----
struct linux_page_region { uint64_t start, end, categories; };
struct linux_pm_scan_arg {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
long linux_pagemap_scan(int fd, struct linux_pm_scan_arg *a);
