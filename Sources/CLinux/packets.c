#include "system.h"
#include "linux_packets.h"
#include <linux/if_packet.h>
#include <sys/socket.h>

long linux_bind_packet(int s, int interface) {
    struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_ifindex = interface};
    long r = bind(s, (struct sockaddr *)&a, sizeof a);
    return RESULT(r);
}
long linux_send_bytes(int s, const void *bytes, size_t n) { long r = send(s, bytes, n, MSG_NOSIGNAL); return RESULT(r); }
long linux_receive_bytes(int s, void *bytes, size_t n, int flags) { long r = recv(s, bytes, n, flags); return RESULT(r); }
