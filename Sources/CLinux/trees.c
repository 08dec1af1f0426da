#include "system.h"
#include "linux_trees.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

SAME(LINUX_O_PATH, O_PATH);
long linux_openat(int dir, const char *path, int flags, unsigned mode) { long r = syscall(SYS_openat, dir, path, flags | O_CLOEXEC, mode); return RESULT(r); }
long linux_open_beneath(int dir, const char *path, int flags) {
    struct { uint64_t flags, mode, resolve; } how = {(uint64_t)(flags | O_CLOEXEC), 0, 0x04 | 0x08 /* NO_SYMLINKS, BENEATH */};
    long r = syscall(437 /* openat2 */, dir, path, &how, sizeof how);
    return RESULT(r);
}
long linux_getdents(int fd, void *buffer, size_t size) { long r = syscall(SYS_getdents64, fd, buffer, size); return RESULT(r); }

SAME(LINUX_S_IFMT, S_IFMT);
SAME(LINUX_S_IFDIR, S_IFDIR);
SAME(LINUX_S_IFREG, S_IFREG);
SAME(LINUX_S_IFLNK, S_IFLNK);
SAME(LINUX_S_IFCHR, S_IFCHR);
SAME(LINUX_S_IFBLK, S_IFBLK);
long linux_file_state(int dir, const char *name, unsigned flags, struct linux_file_state *out) {
    struct statx s;
    long r = syscall(SYS_statx, dir, name, flags | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0x17ff /* basic, birth, mount */, &s);
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

long linux_free_space(const char *path, struct linux_space *out) {
    struct statfs s;
    if (statfs(path, &s) < 0) return -errno;
    out->free_bytes = (uint64_t)s.f_bavail * (uint64_t)s.f_bsize;
    out->free_inodes = s.f_files ? s.f_ffree : ~0ull;
    out->type = (uint64_t)s.f_type;
    return 0;
}

long linux_get_attribute(const char *path, const char *name, void *value, size_t size) { long r = syscall(SYS_getxattr, path, name, value, size); return RESULT(r); }
long linux_mkdirat(int dir, const char *name, unsigned mode) { long r = syscall(SYS_mkdirat, dir, name, mode); return RESULT(r); }
long linux_unlinkat(int dir, const char *name, int flags) { long r = syscall(SYS_unlinkat, dir, name, flags); return RESULT(r); }
