// Packet sockets and the numbers of rtnetlink messages that Martlet writes by itself.
#pragma once
#include "linux_sockets.h"
#include <string.h>

// packet(7): binds to an interface; protocol 0 receives nothing.
CLINUX long linux_bind_packet(int s, int interface) {
    struct { uint16_t family, protocol; int32_t index; uint16_t type; uint8_t kind, length, address[8]; }
        a = {17 /* AF_PACKET */, 0, interface, 0, 0, 0, {0}};
    long r = syscall(SYS_bind, s, &a, 20);
    return CLINUX_RESULT(r);
}
CLINUX long linux_send_bytes(int s, const void *bytes, size_t n) { long r = syscall(SYS_sendto, s, bytes, n, 0x4000 /* MSG_NOSIGNAL */, 0, 0); return CLINUX_RESULT(r); }
CLINUX long linux_receive_bytes(int s, void *bytes, size_t n, int flags) { long r = syscall(SYS_recvfrom, s, bytes, n, flags, 0, 0); return CLINUX_RESULT(r); }
