// Walking file trees and being told of changes in them: raw directory entries, statx, file handles, fanotify.
#pragma once
#include "linux_process.h"
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <linux/stat.h>

CLINUX long linux_openat(int dir, const char *path, int flags, unsigned mode) { long r = syscall(SYS_openat, dir, path, flags | O_CLOEXEC, mode); return CLINUX_RESULT(r); }
// openat2, Linux 5.6: beneath the directory, through no symbolic link.
CLINUX long linux_open_beneath(int dir, const char *path, int flags) {
    struct { uint64_t flags, mode, resolve; } how = {(uint64_t)(flags | O_CLOEXEC), 0, 0x04 | 0x08 /* NO_SYMLINKS, BENEATH */};
    long r = syscall(437, dir, path, &how, sizeof how);
    return CLINUX_RESULT(r);
}
// Raw entries as the kernel writes them: u64 inode, i64 offset, u16 length, u8 type, name.
CLINUX long linux_getdents(int fd, void *buffer, size_t size) { long r = syscall(SYS_getdents64, fd, buffer, size); return CLINUX_RESULT(r); }

// What a snapshot keeps of a file.
struct linux_file_state {
    uint64_t inode, size, blocks, mount;
    int64_t ctime, mtime; // nanoseconds
    uint32_t mode, links, major, minor;
    uint64_t attributes;
};
// STATX_ATTR_MOUNT_ROOT, Linux 5.8
static const uint64_t LINUX_ATTR_MOUNT_ROOT = 0x2000;
static const uint32_t LINUX_S_IFMT = 0170000, LINUX_S_IFDIR = 0040000, LINUX_S_IFREG = 0100000, LINUX_S_IFLNK = 0120000,
                      LINUX_S_IFCHR = 0020000, LINUX_S_IFBLK = 0060000;
CLINUX long linux_file_state(int dir, const char *name, unsigned flags, struct linux_file_state *out) {
    struct statx s;
    long r = syscall(SYS_statx, dir, name, flags | 0x100 /* AT_SYMLINK_NOFOLLOW */ | 0x800 /* AT_NO_AUTOMOUNT */, 0x17ff /* basic, birth, mount */, &s);
    if (r < 0) return -errno;
    out->inode = s.stx_ino;
    out->size = s.stx_size;
    out->blocks = s.stx_blocks;
    out->ctime = s.stx_ctime.tv_sec * 1000000000ll + s.stx_ctime.tv_nsec;
    out->mtime = s.stx_mtime.tv_sec * 1000000000ll + s.stx_mtime.tv_nsec;
    out->mode = s.stx_mode;
    out->links = s.stx_nlink;
    out->major = s.stx_dev_major;
    out->minor = s.stx_dev_minor;
    // Offset 0x90, Linux 5.8; the headers of Debian 12 have it, older ones call it spare.
    memcpy(&out->mount, (const char *)&s + 0x90, 8);
    out->attributes = s.stx_attributes & s.stx_attributes_mask;
    return 0;
}

struct linux_space { uint64_t free_bytes, free_inodes, type; };
CLINUX long linux_free_space(const char *path, struct linux_space *out) {
    struct statfs s;
    if (statfs(path, &s) < 0) return -errno;
    out->free_bytes = (uint64_t)s.f_bavail * (uint64_t)s.f_bsize;
    out->free_inodes = s.f_files ? s.f_ffree : ~0ull;
    out->type = (uint64_t)s.f_type;
    return 0;
}

CLINUX long linux_get_attribute(const char *path, const char *name, void *value, size_t size) { long r = syscall(SYS_getxattr, path, name, value, size); return CLINUX_RESULT(r); }
CLINUX long linux_mkdirat(int dir, const char *name, unsigned mode) { long r = syscall(SYS_mkdirat, dir, name, mode); return CLINUX_RESULT(r); }
CLINUX long linux_unlinkat(int dir, const char *name, int flags) { long r = syscall(SYS_unlinkat, dir, name, flags); return CLINUX_RESULT(r); }
