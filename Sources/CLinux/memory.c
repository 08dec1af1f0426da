#include "system.h"
#include "linux_memory.h"
#include <sys/ioctl.h>
#include <sys/uio.h>

SAME(sizeof(struct linux_iovec), sizeof(struct iovec));
SAME_FIELD(struct linux_iovec, base, struct iovec, iov_base);
SAME_FIELD(struct linux_iovec, length, struct iovec, iov_len);

long linux_process_vm_readv(int pid, const struct linux_iovec *local, unsigned long nlocal,
                            const struct linux_iovec *remote, unsigned long nremote) {
    long r = syscall(SYS_process_vm_readv, pid, local, nlocal, remote, nremote, 0UL);
    return RESULT(r);
}
long linux_memfd_create(const char *name, unsigned flags) { long r = syscall(SYS_memfd_create, name, flags); return RESULT(r); }
long linux_shm_get(int key, size_t size, int flags) { long r = syscall(SYS_shmget, key, size, flags); return RESULT(r); }
long linux_shm_attach(int id, int flags) { long r = syscall(SYS_shmat, id, NULL, flags); return RESULT(r); }
long linux_shm_detach(const void *address) { long r = syscall(SYS_shmdt, address); return RESULT(r); }
long linux_shm_remove(int id) { long r = syscall(SYS_shmctl, id, 0 /* IPC_RMID */, NULL); return RESULT(r); }
long linux_ioctl(int fd, unsigned long request, void *argument) { int r = ioctl(fd, request, argument); return RESULT(r); }

long linux_pagemap_scan(int fd, struct linux_pm_scan_arg *a) {
    a->size = sizeof *a;
    int r = ioctl(fd, _IOWR('f', 16, struct linux_pm_scan_arg), a);
    return RESULT(r);
}
