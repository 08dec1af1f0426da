// Sockets: descriptor passing (the CMSG_ macros) and calls hidden by Glibc's module map.
#pragma once
#include "linux_process.h"
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#define LINUX_MAX_PASSED 64
#define LINUX_MSG_CMSG_CLOEXEC 0x40000000

// Sends bytes with up to LINUX_MAX_PASSED descriptors. Never raises SIGPIPE.
CLINUX long linux_send_descriptors(int s, const void *bytes, size_t n, const int *fds, int count, int flags) {
    if (count < 0 || count > LINUX_MAX_PASSED) return -EINVAL;
    struct iovec v = {(void *)bytes, n};
    union { char bytes[CMSG_SPACE(sizeof(int) * LINUX_MAX_PASSED)]; struct cmsghdr align; } c;
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    if (count > 0) {
        m.msg_control = c.bytes;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
        __builtin_memcpy(CMSG_DATA(h), fds, sizeof(int) * (size_t)count);
    }
    ssize_t r;
    do r = sendmsg(s, &m, flags | MSG_NOSIGNAL); while (r < 0 && errno == EINTR);
    return CLINUX_RESULT(r);
}

// Receives bytes and descriptors (close-on-exec). *count: room on entry, number received on return.
// *truncated: MSG_TRUNC or MSG_CTRUNC flags of the kernel.
CLINUX long linux_receive_descriptors(int s, void *bytes, size_t n, int *fds, int *count, int flags, int *truncated) {
    struct iovec v = {bytes, n};
    union { char bytes[CMSG_SPACE(sizeof(int) * LINUX_MAX_PASSED)]; struct cmsghdr align; } c;
    int room = *count < LINUX_MAX_PASSED ? *count : LINUX_MAX_PASSED;
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    if (room > 0) { m.msg_control = c.bytes; m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)room); }
    *count = 0;
    *truncated = 0;
    ssize_t r;
    do r = recvmsg(s, &m, flags | LINUX_MSG_CMSG_CLOEXEC); while (r < 0 && errno == EINTR);
    if (r < 0) return -errno;
    *truncated = m.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
    if (room > 0)
        for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
            if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS) {
                int k = (int)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
                for (int i = 0; i < k; i++) {
                    int fd;
                    __builtin_memcpy(&fd, CMSG_DATA(h) + sizeof(int) * (size_t)i, sizeof fd);
                    if (*count < room) fds[(*count)++] = fd; else close(fd); // CMSG_SPACE rounds up: room for one too many
                }
            }
    return r;
}

CLINUX long linux_accept(int s, int flags) { long r = syscall(SYS_accept4, s, 0, 0, flags); return CLINUX_RESULT(r); }
CLINUX long linux_socket(int domain, int type, int protocol) { long r = socket(domain, type, protocol); return CLINUX_RESULT(r); }
CLINUX long linux_socketpair(int domain, int type, int protocol, int fds[2]) { long r = socketpair(domain, type, protocol, fds); return CLINUX_RESULT(r); }

// A socket address of a path, an abstract name if the first byte is 0. Returns its length, or -ENAMETOOLONG.
CLINUX long linux_unix_address(struct sockaddr_un *a, const char *path, size_t n) {
    if (n >= sizeof a->sun_path) return -ENAMETOOLONG;
    __builtin_memset(a, 0, sizeof *a);
    a->sun_family = AF_UNIX;
    __builtin_memcpy(a->sun_path, path, n);
    return (long)(offsetof(struct sockaddr_un, sun_path) + n + (n && path[0] ? 1 : 0));
}
CLINUX long linux_bind_unix(int s, const char *path, size_t n) {
    struct sockaddr_un a;
    long l = linux_unix_address(&a, path, n);
    if (l < 0) return l;
    long r = syscall(SYS_bind, s, &a, l);
    return CLINUX_RESULT(r);
}
CLINUX long linux_connect_unix(int s, const char *path, size_t n) {
    struct sockaddr_un a;
    long l = linux_unix_address(&a, path, n);
    if (l < 0) return l;
    long r = syscall(SYS_connect, s, &a, l);
    return CLINUX_RESULT(r);
}
// SO_PEERCRED: who made the other end.
struct linux_peer { int pid; unsigned uid, gid; };
CLINUX long linux_peer_credentials(int s, struct linux_peer *p) {
    socklen_t n = sizeof *p;
    long r = getsockopt(s, SOL_SOCKET, 17 /* SO_PEERCRED */, p, &n);
    return CLINUX_RESULT(r);
}
