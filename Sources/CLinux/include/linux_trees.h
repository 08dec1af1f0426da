// Walking file trees: raw directory entries, statx, extended attributes.
#pragma once
#include <stddef.h>
#include <stdint.h>

static const int LINUX_O_PATH = 010000000;
long linux_openat(int dir, const char *path, int flags, unsigned mode);
// openat2, Linux 5.6: beneath the directory, through no symbolic link.
long linux_open_beneath(int dir, const char *path, int flags);
// Raw entries as the kernel writes them: u64 inode, i64 offset, u16 length, u8 type, name.
long linux_getdents(int fd, void *buffer, size_t size);

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
// statx(2), through no symbolic link at the end.
long linux_file_state(int dir, const char *name, unsigned flags, struct linux_file_state *out);

struct linux_space { uint64_t free_bytes, free_inodes, type; };
long linux_free_space(const char *path, struct linux_space *out);

long linux_get_attribute(const char *path, const char *name, void *value, size_t size);
long linux_mkdirat(int dir, const char *name, unsigned mode);
long linux_unlinkat(int dir, const char *name, int flags);
