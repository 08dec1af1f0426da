// Being told of changes in a file system, and repeating them somewhere else: fanotify, file handles, attributes.
#pragma once
#include <stddef.h>
#include <stdint.h>

// fanotify_init(2): FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE | FAN_REPORT_FID | FAN_REPORT_DFID_NAME.
// Linux 5.9; CAP_SYS_ADMIN.
long linux_fanotify_names(void);
// FAN_MARK_ADD | FAN_MARK_FILESYSTEM on the file system of an open folder.
long linux_fanotify_filesystem(int group, uint64_t mask, int folder);
static const uint64_t LINUX_FAN_MODIFY = 0x2, LINUX_FAN_ATTRIB = 0x4, LINUX_FAN_CLOSE_WRITE = 0x8, LINUX_FAN_MOVED_FROM = 0x40,
                      LINUX_FAN_MOVED_TO = 0x80, LINUX_FAN_CREATE = 0x100, LINUX_FAN_DELETE = 0x200, LINUX_FAN_OVERFLOW = 0x4000,
                      LINUX_FAN_ONDIR = 0x40000000;

// name_to_handle_at(2): 4 bytes of type and then the handle, as fanotify reports them. Returns the number of bytes.
long linux_file_handle(int dir, const char *path, uint8_t out[132]);

// Number of a file system, as fanotify reports it, and its magic number (statfs(2)).
long linux_filesystem(int fd, uint64_t *id, uint64_t *type);

// openat2(2): beneath the folder, through no symbolic link, no magic link and no other mount.
long linux_open_inside(int dir, const char *path, int flags, unsigned mode);

// What a copy of a file must repeat, besides content and attributes.
struct linux_file_details {
    uint64_t inode, size, blocks, device;
    int64_t mtime, ctime; // nanoseconds
    uint32_t mode, links, user, group, major, minor;
};
long linux_file_details(int fd, struct linux_file_details *out);

long linux_list_attributes(const char *path, char *out, size_t size);
long linux_set_attribute(const char *path, const char *name, const void *value, size_t size);
long linux_remove_attribute(const char *path, const char *name);
long linux_make_node(int dir, const char *name, unsigned mode, uint32_t major, uint32_t minor);
long linux_make_link(int from, const char *old, int to, const char *name);
long linux_set_times(int dir, const char *name, int64_t mtime);
long linux_set_owner(int dir, const char *name, uint32_t user, uint32_t group);
// Where the next data or hole begins; SEEK_DATA 3, SEEK_HOLE 4. -ENXIO: none.
long linux_seek(int fd, int64_t offset, int whence);
