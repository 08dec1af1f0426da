// Packet sockets, socket diagnosis, and the messages of rtnetlink that Martlet writes by itself.
#pragma once
#include <stddef.h>
#include <stdint.h>

// packet(7): binds to an interface; protocol 0 receives nothing.
long linux_bind_packet(int s, int interface);
// Never raises SIGPIPE.
long linux_send_bytes(int s, const void *bytes, size_t n);
long linux_receive_bytes(int s, void *bytes, size_t n, int flags);

// A packet socket whose frames are preceded by a virtio_net_hdr (linux/virtio_net.h, 10 bytes): offloaded checksums and
// segmentation stay what they are. It receives nothing.
long linux_open_injector(int interface);
// One that receives what passes an interface for a hardware address, and what asks for an address by broadcast; also what
// isn't for this host (promiscuous). `memory`: bytes of frames that the kernel keeps until they are read.
long linux_open_tap(int interface, const uint8_t mac[6], int memory);

// sock_diag(7): what arrived at sockets of a network namespace and wasn't fetched yet.
struct linux_waiting {
    // Connections that nobody accepted.
    uint32_t connections;
    // Bytes of datagrams that nobody read (with the kernel's own bookkeeping).
    uint32_t datagrams;
    // Connections whose handshake isn't over.
    uint32_t handshakes;
};
// `s`: a NETLINK_SOCK_DIAG socket made in that namespace. Handshakes are counted only if asked for: that walks the table of all
// connections of the host, milliseconds.
long linux_count_waiting(int s, int with_handshakes, struct linux_waiting *w);

// nftables: how many packets a named counter of a table of the family inet counted. `s`: a NETLINK_NETFILTER socket of that network
// namespace. Twenty microseconds where nft(8) takes milliseconds. Result: the packets, or -errno.
long linux_counted_packets(int s, const char *table, const char *counter);
