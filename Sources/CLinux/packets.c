#include "system.h"
#include "linux_packets.h"
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static long bind_packet(int s, int interface, int protocol) {
    struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_ifindex = interface, .sll_protocol = htons(protocol)};
    long r = bind(s, (struct sockaddr *)&a, sizeof a);
    return RESULT(r);
}
long linux_bind_packet(int s, int interface) { return bind_packet(s, interface, 0); }
long linux_send_bytes(int s, const void *bytes, size_t n) { long r = send(s, bytes, n, MSG_NOSIGNAL); return RESULT(r); }
long linux_receive_bytes(int s, void *bytes, size_t n, int flags) { long r = recv(s, bytes, n, flags); return RESULT(r); }

// Protocol 0 until it is bound: nothing is received before the filter is there.
static long open_packet(void) {
    int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), one = 1;
    if (s < 0) return -errno;
    if (setsockopt(s, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) == 0) return s;
    long r = -errno;
    close(s);
    return r;
}

long linux_open_injector(int interface) {
    long s = open_packet();
    if (s < 0) return s;
    long r = bind_packet((int)s, interface, 0);
    if (r < 0) { close((int)s); return r; }
    return s;
}

// Accepts what is addressed to `mac`; what `mac` didn't send itself and is an ARP request to all or an ICMPv6 message to a
// group (neighbour solicitation, RFC 4861). Offsets are those of an Ethernet frame.
static int attach(int s, const uint8_t mac[6]) {
    uint32_t high, low;
    high = (uint32_t)mac[0] << 24 | (uint32_t)mac[1] << 16 | (uint32_t)mac[2] << 8 | mac[3];
    low = (uint32_t)mac[4] << 8 | mac[5];
    enum { ACCEPT = 18, REJECT = 17 };
#define TO(label, at) (uint8_t)((label) - (at) - 1)
    struct sock_filter filter[] = {
        [0] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        [1] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high, 0, TO(4, 1)),
        [2] = BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 4),
        [3] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, low, TO(ACCEPT, 3), 0),
        [4] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 6),
        [5] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high, 0, TO(8, 5)),
        [6] = BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 10),
        [7] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, low, TO(REJECT, 7), 0),
        [8] = BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
        [9] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_ARP, 0, TO(12, 9)),
        [10] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        [11] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xffffffff, TO(ACCEPT, 11), TO(REJECT, 11)),
        [12] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_IPV6, 0, TO(REJECT, 12)),
        [13] = BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0),
        [14] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x3333, 0, TO(REJECT, 14)),
        [15] = BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 20),
        [16] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, TO(ACCEPT, 16), TO(REJECT, 16)),
        [REJECT] = BPF_STMT(BPF_RET | BPF_K, 0),
        [ACCEPT] = BPF_STMT(BPF_RET | BPF_K, 0x40000),
    };
#undef TO
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    return setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

long linux_open_tap(int interface, const uint8_t mac[6], int memory) {
    long s = open_packet();
    if (s < 0) return s;
    struct packet_mreq all = {.mr_ifindex = interface, .mr_type = PACKET_MR_PROMISC};
    long r = attach((int)s, mac) < 0 || setsockopt((int)s, SOL_SOCKET, SO_RCVBUFFORCE, &memory, sizeof memory) < 0
        || setsockopt((int)s, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all) < 0 ? -errno : 0;
    if (r == 0) r = bind_packet((int)s, interface, ETH_P_ALL);
    if (r < 0) { close((int)s); return r; }
    return s;
}

static long ask(int s, int family, int protocol, uint32_t states, struct linux_waiting *w) {
    struct { struct nlmsghdr h; struct inet_diag_req_v2 r; } q = {
        .h = {.nlmsg_len = sizeof q, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .r = {.sdiag_family = (uint8_t)family, .sdiag_protocol = (uint8_t)protocol, .idiag_states = states},
    };
    if (send(s, &q, sizeof q, 0) < 0) return -errno;
    for (;;) {
        _Alignas(struct nlmsghdr) char bytes[32 << 10];
        ssize_t n = recv(s, bytes, sizeof bytes, 0);
        if (n < 0) return -errno;
        for (struct nlmsghdr *h = (void *)bytes; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
            if (h->nlmsg_type == NLMSG_DONE) return 0;
            if (h->nlmsg_type == NLMSG_ERROR) return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
            struct inet_diag_msg *m = NLMSG_DATA(h);
            if (protocol == IPPROTO_UDP) w->datagrams += m->idiag_rqueue;
            else if (m->idiag_state == 10) w->connections += m->idiag_rqueue;  // TCP_LISTEN
            else w->handshakes++;
        }
    }
}

long linux_count_waiting(int s, int with_handshakes, struct linux_waiting *w) {
    memset(w, 0, sizeof *w);
    // TCP_LISTEN; TCP_SYN_RECV and TCP_NEW_SYN_RECV (include/net/tcp_states.h)
    uint32_t states = 1u << 10 | (with_handshakes ? 1u << 3 | 1u << 12 : 0);
    for (int i = 0; i < 2; i++) {
        int family = i ? AF_INET6 : AF_INET;
        long r = ask(s, family, IPPROTO_TCP, states, w);
        if (r == 0) r = ask(s, family, IPPROTO_UDP, ~0u, w);
        // A kernel without this diagnosis has nothing to tell.
        if (r < 0 && r != -ENOENT && r != -EOPNOTSUPP) return r;
    }
    return 0;
}
