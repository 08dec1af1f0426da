// Sockets: descriptor passing (the CMSG_ macros), the sockaddr family with its casts, calls hidden by Glibc's module map.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define LINUX_MAX_PASSED 64

// Sends bytes with up to LINUX_MAX_PASSED descriptors. Never raises SIGPIPE.
long linux_send_descriptors(int s, const void *bytes, size_t n, const int *fds, int count, int flags);
// Receives bytes and descriptors (close-on-exec). *count: room on entry, number received on return.
// *truncated: MSG_TRUNC or MSG_CTRUNC flags of the kernel.
long linux_receive_descriptors(int s, void *bytes, size_t n, int *fds, int *count, int flags, int *truncated);

long linux_accept(int s, int flags);
long linux_socket(int domain, int type, int protocol);
long linux_socketpair(int domain, int type, int protocol, int fds[2]);

// A path of n bytes, an abstract name if the first byte is 0; -ENAMETOOLONG if it doesn't fit.
long linux_bind_unix(int s, const char *path, size_t n);
long linux_connect_unix(int s, const char *path, size_t n);

// SO_PEERCRED: who made the other end.
struct linux_peer { int pid; unsigned uid, gid; };
long linux_peer_credentials(int s, struct linux_peer *p);

// Listens at a numeric address ("0.0.0.0", "::", ...) and port. Returns the descriptor.
long linux_listen_tcp(const char *address, uint16_t port, int backlog);
// Numeric address and port of the other end of a connected socket, as "ADDRESS:PORT".
long linux_peer_name(int fd, char *out, size_t size);

// Moves bytes between two descriptors without copying them; one of them must be a pipe.
long linux_splice(int from, int to, size_t n);
