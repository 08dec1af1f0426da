// Mounts, and what confines a thread before it starts a program: landlock, capabilities.
#pragma once
#include <stddef.h>
#include <stdint.h>

static const unsigned LINUX_OPEN_TREE_CLONE = 1, LINUX_OPEN_TREE_CLOEXEC = 02000000;
static const unsigned LINUX_AT_EMPTY_PATH = 0x1000, LINUX_AT_RECURSIVE = 0x8000, LINUX_AT_NO_FOLLOW = 0x100;
static const unsigned LINUX_MOVE_MOUNT_F_EMPTY_PATH = 4;
static const uint64_t LINUX_MOUNT_ATTR_RDONLY = 1, LINUX_MOUNT_ATTR_NOSUID = 2, LINUX_MOUNT_ATTR_NODEV = 4,
                      LINUX_MOUNT_ATTR_NOEXEC = 8, LINUX_MOUNT_ATTR_NOATIME = 0x10, LINUX_MOUNT_ATTR__ATIME = 0x70,
                      LINUX_MOUNT_ATTR_NOSYMFOLLOW = 0x200000;
static const unsigned long LINUX_MS_REC = 16384, LINUX_MS_PRIVATE = 1 << 18, LINUX_MS_NOSUID = 2, LINUX_MS_NODEV = 4,
                           LINUX_MS_NOEXEC = 8, LINUX_MS_RDONLY = 1, LINUX_MS_REMOUNT = 32, LINUX_MS_BIND = 4096;
static const int LINUX_MNT_DETACH = 2;
static const unsigned long LINUX_CLONE_NEWNS = 0x20000, LINUX_CLONE_NEWNET = 0x40000000;

long linux_open_tree(int dir, const char *path, unsigned flags);
long linux_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned flags);
long linux_mount_setattr(int fd, const char *path, unsigned flags, uint64_t set, uint64_t clear);
long linux_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
long linux_umount(const char *target, int flags);
long linux_pivot_root(const char *root, const char *old);

// Landlock (Linux 5.13). The kernel takes shorter structures than it knows; access bits unknown to it are an error,
// so the caller masks them by the ABI number.
long linux_landlock_abi(void);
long linux_landlock_create(uint64_t fs, uint64_t net, size_t size);
long linux_landlock_add_path(int ruleset, uint64_t access, int parent);
long linux_landlock_restrict(int ruleset);

long linux_no_new_privileges(void);
// Removes a capability from what programs started by this thread can ever have.
long linux_drop_bounding(int capability);
long linux_set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable);
