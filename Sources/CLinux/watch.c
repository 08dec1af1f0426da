#include "system.h"
#include "linux_watch.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

long linux_fanotify_names(void) { long r = syscall(SYS_fanotify_init, 0x1 | 0x2 | 0x10 | 0x200 | 0x400 | 0x800, O_RDONLY | O_CLOEXEC); return RESULT(r); }
long linux_fanotify_filesystem(int group, uint64_t mask, int folder) { long r = syscall(SYS_fanotify_mark, group, 0x1 | 0x100, mask, folder, NULL); return RESULT(r); }
long linux_file_handle(int dir, const char *path, uint8_t out[132]) {
    struct { uint32_t bytes; int32_t type; uint8_t data[128]; } h = {128, 0, {0}};
    int mount;
    long r = syscall(SYS_name_to_handle_at, dir, path, &h, &mount, *path ? 0 : 0x1000 /* AT_EMPTY_PATH */);
    if (r < 0) return -errno;
    memcpy(out, &h.type, 4);
    memcpy(out + 4, h.data, h.bytes);
    return 4 + (long)h.bytes;
}
long linux_filesystem(int fd, uint64_t *id, uint64_t *type) {
    struct statfs s;
    if (fstatfs(fd, &s) < 0) return -errno;
    memcpy(id, &s.f_fsid, 8);
    *type = (uint64_t)s.f_type;
    return 0;
}
long linux_open_inside(int dir, const char *path, int flags, unsigned mode) {
    struct { uint64_t flags, mode, resolve; } how = {(uint64_t)(flags | O_CLOEXEC), mode, 0x01 | 0x02 | 0x04 | 0x08};
    long r = syscall(437, dir, path, &how, sizeof how);
    return RESULT(r);
}
long linux_file_details(int fd, struct linux_file_details *out) {
    struct stat s;
    if (fstatat(fd, "", &s, 0x1000) < 0) return -errno;
    out->inode = s.st_ino;
    out->size = (uint64_t)s.st_size;
    out->blocks = (uint64_t)s.st_blocks;
    out->device = (uint64_t)major(s.st_dev) << 32 | minor(s.st_dev);
    out->mtime = s.st_mtim.tv_sec * 1000000000ll + s.st_mtim.tv_nsec;
    out->ctime = s.st_ctim.tv_sec * 1000000000ll + s.st_ctim.tv_nsec;
    out->mode = s.st_mode;
    out->links = (uint32_t)s.st_nlink;
    out->user = s.st_uid;
    out->group = s.st_gid;
    out->major = major(s.st_rdev);
    out->minor = minor(s.st_rdev);
    return 0;
}
long linux_list_attributes(const char *path, char *out, size_t size) { long r = syscall(SYS_listxattr, path, out, size); return RESULT(r); }
long linux_set_attribute(const char *path, const char *name, const void *value, size_t size) { long r = syscall(SYS_setxattr, path, name, value, size, 0); return RESULT(r); }
long linux_remove_attribute(const char *path, const char *name) { long r = syscall(SYS_removexattr, path, name); return RESULT(r); }
long linux_make_node(int dir, const char *name, unsigned mode, uint32_t major, uint32_t minor) { long r = syscall(SYS_mknodat, dir, name, mode, makedev(major, minor)); return RESULT(r); }
long linux_make_link(int from, const char *old, int to, const char *name) { long r = syscall(SYS_linkat, from, old, to, name, 0); return RESULT(r); }
long linux_set_times(int dir, const char *name, int64_t mtime) {
    struct timespec t[2] = {{0, UTIME_OMIT}, {mtime / 1000000000, mtime % 1000000000}};
    if (t[1].tv_nsec < 0) { t[1].tv_sec -= 1; t[1].tv_nsec += 1000000000; }
    long r = syscall(SYS_utimensat, dir, name, t, 0x100 /* AT_SYMLINK_NOFOLLOW */);
    return RESULT(r);
}
long linux_set_owner(int dir, const char *name, uint32_t user, uint32_t group) { long r = syscall(SYS_fchownat, dir, name, user, group, 0x100); return RESULT(r); }
long linux_seek(int fd, int64_t offset, int whence) { long r = lseek(fd, offset, whence); return RESULT(r); }
