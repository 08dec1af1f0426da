// Mounts, and what confines a thread before it starts a program: landlock, capabilities.
// Raw numbers: the C library of Debian 12 has no headers for all of them.
#pragma once
#include "linux_process.h"
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>

#define LINUX_NR_OPEN_TREE 428
#define LINUX_NR_MOVE_MOUNT 429
#define LINUX_NR_MOUNT_SETATTR 442
#define LINUX_NR_LANDLOCK_CREATE 444
#define LINUX_NR_LANDLOCK_ADD 445
#define LINUX_NR_LANDLOCK_RESTRICT 446

static const unsigned LINUX_OPEN_TREE_CLONE = 1, LINUX_OPEN_TREE_CLOEXEC = O_CLOEXEC;
static const unsigned LINUX_AT_EMPTY_PATH = 0x1000, LINUX_AT_RECURSIVE = 0x8000, LINUX_AT_NO_FOLLOW = 0x100;
static const unsigned LINUX_MOVE_MOUNT_F_EMPTY_PATH = 4;
static const uint64_t LINUX_MOUNT_ATTR_RDONLY = 1, LINUX_MOUNT_ATTR_NOSUID = 2, LINUX_MOUNT_ATTR_NODEV = 4,
                      LINUX_MOUNT_ATTR_NOEXEC = 8, LINUX_MOUNT_ATTR_NOATIME = 0x10, LINUX_MOUNT_ATTR__ATIME = 0x70,
                      LINUX_MOUNT_ATTR_NOSYMFOLLOW = 0x200000;
static const unsigned long LINUX_MS_REC = 16384, LINUX_MS_PRIVATE = 1 << 18, LINUX_MS_NOSUID = 2, LINUX_MS_NODEV = 4,
                           LINUX_MS_NOEXEC = 8, LINUX_MS_RDONLY = 1, LINUX_MS_REMOUNT = 32, LINUX_MS_BIND = 4096;
static const int LINUX_MNT_DETACH = 2;
static const unsigned long LINUX_CLONE_NEWNS = 0x20000, LINUX_CLONE_NEWNET = 0x40000000;

CLINUX long linux_open_tree(int dir, const char *path, unsigned flags) { long r = syscall(LINUX_NR_OPEN_TREE, dir, path, flags); return CLINUX_RESULT(r); }
CLINUX long linux_move_mount(int from, const char *fp, int to, const char *tp, unsigned flags) { long r = syscall(LINUX_NR_MOVE_MOUNT, from, fp, to, tp, flags); return CLINUX_RESULT(r); }
struct linux_mount_attr { uint64_t set, clear, propagation, userns; };
CLINUX long linux_mount_setattr(int fd, const char *path, unsigned flags, uint64_t set, uint64_t clear) {
    struct linux_mount_attr a = {set, clear, 0, 0};
    long r = syscall(LINUX_NR_MOUNT_SETATTR, fd, path, flags, &a, sizeof a);
    return CLINUX_RESULT(r);
}
CLINUX long linux_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data) { long r = syscall(SYS_mount, source, target, type, flags, data); return CLINUX_RESULT(r); }
CLINUX long linux_umount(const char *target, int flags) { long r = syscall(SYS_umount2, target, flags); return CLINUX_RESULT(r); }
CLINUX long linux_pivot_root(const char *root, const char *old) { long r = syscall(SYS_pivot_root, root, old); return CLINUX_RESULT(r); }

// Landlock (Linux 5.13). The kernel takes shorter structures than it knows; access bits unknown to it are an error,
// so the caller masks them by the ABI number.
CLINUX long linux_landlock_abi(void) { long r = syscall(LINUX_NR_LANDLOCK_CREATE, 0, 0, 1); return CLINUX_RESULT(r); }
CLINUX long linux_landlock_create(uint64_t fs, uint64_t net, size_t size) {
    struct { uint64_t fs, net; } a = {fs, net};
    long r = syscall(LINUX_NR_LANDLOCK_CREATE, &a, size, 0);
    return CLINUX_RESULT(r);
}
CLINUX long linux_landlock_add_path(int ruleset, uint64_t access, int parent) {
    struct __attribute__((packed)) { uint64_t access; int32_t parent; } a = {access, parent};
    long r = syscall(LINUX_NR_LANDLOCK_ADD, ruleset, 1 /* PATH_BENEATH */, &a, 0);
    return CLINUX_RESULT(r);
}
CLINUX long linux_landlock_restrict(int ruleset) { long r = syscall(LINUX_NR_LANDLOCK_RESTRICT, ruleset, 0); return CLINUX_RESULT(r); }

CLINUX long linux_no_new_privileges(void) { long r = syscall(SYS_prctl, 38, 1, 0, 0, 0); return CLINUX_RESULT(r); }
// Removes a capability from what programs started by this thread can ever have.
CLINUX long linux_drop_bounding(int capability) { long r = syscall(SYS_prctl, 24, capability, 0, 0, 0); return CLINUX_RESULT(r); }
CLINUX long linux_set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
    struct { uint32_t version; int pid; } h = {0x20080522, 0};
    struct { uint32_t e, p, i; } d[2] = {
        {(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
        {(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)}};
    long r = syscall(SYS_capset, &h, d);
    return CLINUX_RESULT(r);
}
