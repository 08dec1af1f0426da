// Raw numbers: the C library of Debian 12 has no headers for all of them.
#include "system.h"
#include "linux_mounts.h"
#include <fcntl.h>
#include <sys/mount.h>

#define NR_OPEN_TREE 428
#define NR_MOVE_MOUNT 429
#define NR_MOUNT_SETATTR 442
#define NR_LANDLOCK_CREATE 444
#define NR_LANDLOCK_ADD 445
#define NR_LANDLOCK_RESTRICT 446

SAME(LINUX_OPEN_TREE_CLOEXEC, O_CLOEXEC);
SAME(LINUX_AT_EMPTY_PATH, AT_EMPTY_PATH);
SAME(LINUX_AT_NO_FOLLOW, AT_SYMLINK_NOFOLLOW);
SAME(LINUX_MS_BIND, MS_BIND);
SAME(LINUX_MS_PRIVATE, MS_PRIVATE);
SAME(LINUX_MNT_DETACH, MNT_DETACH);

long linux_open_tree(int dir, const char *path, unsigned flags) { long r = syscall(NR_OPEN_TREE, dir, path, flags); return RESULT(r); }
long linux_move_mount(int from, const char *fp, int to, const char *tp, unsigned flags) { long r = syscall(NR_MOVE_MOUNT, from, fp, to, tp, flags); return RESULT(r); }
long linux_mount_setattr(int fd, const char *path, unsigned flags, uint64_t set, uint64_t clear) {
    struct { uint64_t set, clear, propagation, userns; } a = {set, clear, 0, 0};
    long r = syscall(NR_MOUNT_SETATTR, fd, path, flags, &a, sizeof a);
    return RESULT(r);
}
long linux_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data) { long r = syscall(SYS_mount, source, target, type, flags, data); return RESULT(r); }
long linux_umount(const char *target, int flags) { long r = syscall(SYS_umount2, target, flags); return RESULT(r); }
long linux_pivot_root(const char *root, const char *old) { long r = syscall(SYS_pivot_root, root, old); return RESULT(r); }

long linux_landlock_abi(void) { long r = syscall(NR_LANDLOCK_CREATE, 0, 0, 1); return RESULT(r); }
long linux_landlock_create(uint64_t fs, uint64_t net, size_t size) {
    struct { uint64_t fs, net; } a = {fs, net};
    long r = syscall(NR_LANDLOCK_CREATE, &a, size, 0);
    return RESULT(r);
}
long linux_landlock_add_path(int ruleset, uint64_t access, int parent) {
    struct __attribute__((packed)) { uint64_t access; int32_t parent; } a = {access, parent};
    long r = syscall(NR_LANDLOCK_ADD, ruleset, 1 /* PATH_BENEATH */, &a, 0);
    return RESULT(r);
}
long linux_landlock_restrict(int ruleset) { long r = syscall(NR_LANDLOCK_RESTRICT, ruleset, 0); return RESULT(r); }

long linux_no_new_privileges(void) { long r = syscall(SYS_prctl, 38, 1, 0, 0, 0); return RESULT(r); }
long linux_drop_bounding(int capability) { long r = syscall(SYS_prctl, 24, capability, 0, 0, 0); return RESULT(r); }
long linux_set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
    struct { uint32_t version; int pid; } h = {0x20080522, 0};
    struct { uint32_t e, p, i; } d[2] = {
        {(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
        {(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)}};
    long r = syscall(SYS_capset, &h, d);
    return RESULT(r);
}
