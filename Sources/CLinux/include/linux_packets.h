// Packet sockets and the messages of rtnetlink that Martlet writes by itself.
#pragma once
#include <stddef.h>

// packet(7): binds to an interface; protocol 0 receives nothing.
long linux_bind_packet(int s, int interface);
// Never raises SIGPIPE.
long linux_send_bytes(int s, const void *bytes, size_t n);
long linux_receive_bytes(int s, void *bytes, size_t n, int flags);
