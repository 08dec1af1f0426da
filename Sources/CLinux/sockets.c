#include "system.h"
#include <fcntl.h>
#include "linux_sockets.h"
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

long linux_send_descriptors(int s, const void *bytes, size_t n, const int *fds, int count, int flags) {
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
        memcpy(CMSG_DATA(h), fds, sizeof(int) * (size_t)count);
    }
    ssize_t r;
    do r = sendmsg(s, &m, flags | MSG_NOSIGNAL); while (r < 0 && errno == EINTR);
    return RESULT(r);
}

// Keeps the descriptors that there is room for; CMSG_SPACE rounds up, so one more than asked for may come.
static void take(struct msghdr *m, int *fds, int *count, int room) {
    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
        int k = (int)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (int i = 0; i < k; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(h) + sizeof(int) * (size_t)i, sizeof fd);
            if (*count < room) fds[(*count)++] = fd; else close(fd);
        }
    }
}

long linux_receive_descriptors(int s, void *bytes, size_t n, int *fds, int *count, int flags, int *truncated) {
    struct iovec v = {bytes, n};
    union { char bytes[CMSG_SPACE(sizeof(int) * LINUX_MAX_PASSED)]; struct cmsghdr align; } c;
    int room = *count < LINUX_MAX_PASSED ? *count : LINUX_MAX_PASSED;
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    if (room > 0) { m.msg_control = c.bytes; m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)room); }
    *count = 0;
    *truncated = 0;
    ssize_t r;
    do r = recvmsg(s, &m, flags | MSG_CMSG_CLOEXEC); while (r < 0 && errno == EINTR);
    if (r < 0) return -errno;
    *truncated = m.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
    if (room > 0) take(&m, fds, count, room);
    return r;
}

long linux_accept(int s, int flags) { long r = accept4(s, 0, 0, flags); return RESULT(r); }
long linux_socket(int domain, int type, int protocol) { long r = socket(domain, type, protocol); return RESULT(r); }
long linux_socketpair(int domain, int type, int protocol, int fds[2]) { long r = socketpair(domain, type, protocol, fds); return RESULT(r); }

// Returns the address's length.
static long unix_address(struct sockaddr_un *a, const char *path, size_t n) {
    if (n >= sizeof a->sun_path) return -ENAMETOOLONG;
    memset(a, 0, sizeof *a);
    a->sun_family = AF_UNIX;
    memcpy(a->sun_path, path, n);
    return (long)(offsetof(struct sockaddr_un, sun_path) + n + (n && path[0] ? 1 : 0));
}
long linux_bind_unix(int s, const char *path, size_t n) {
    struct sockaddr_un a;
    long l = unix_address(&a, path, n);
    if (l < 0) return l;
    long r = bind(s, (struct sockaddr *)&a, (socklen_t)l);
    return RESULT(r);
}
long linux_connect_unix(int s, const char *path, size_t n) {
    struct sockaddr_un a;
    long l = unix_address(&a, path, n);
    if (l < 0) return l;
    long r = connect(s, (struct sockaddr *)&a, (socklen_t)l);
    return RESULT(r);
}

SAME(sizeof(struct linux_peer), sizeof(struct ucred));
long linux_peer_credentials(int s, struct linux_peer *p) {
    socklen_t n = sizeof *p;
    long r = getsockopt(s, SOL_SOCKET, SO_PEERCRED, p, &n);
    return RESULT(r);
}

long linux_splice(int from, int to, size_t n) { long r = splice(from, 0, to, 0, n, SPLICE_F_MOVE); return RESULT(r); }
