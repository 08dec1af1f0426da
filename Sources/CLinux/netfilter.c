#include "system.h"
#include "linux_packets.h"
#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

// Room for a table's and an object's longest name (NFT_NAME_MAXLEN) and what is around them.
enum { LONGEST = 1024, REPLY = 8192 };

static void put(char *message, int type, const void *value, size_t size) {
    struct nlmsghdr *h = (void *)message;
    struct nlattr *a = (void *)(message + NLMSG_ALIGN(h->nlmsg_len));
    a->nla_type = (uint16_t)type;
    a->nla_len = (uint16_t)(NLA_HDRLEN + size);
    memcpy((char *)a + NLA_HDRLEN, value, size);
    h->nlmsg_len = (uint32_t)(NLMSG_ALIGN(h->nlmsg_len) + NLA_ALIGN(a->nla_len));
}

// The value of an attribute among `size` bytes of attributes, and how many bytes it has; NULL if it isn't there.
static const char *find(const char *at, size_t size, int type, size_t *length) {
    while (size >= NLA_HDRLEN) {
        struct nlattr a;
        memcpy(&a, at, sizeof a);
        if (a.nla_len < NLA_HDRLEN || a.nla_len > size) return NULL;
        *length = a.nla_len - NLA_HDRLEN;
        if ((a.nla_type & NLA_TYPE_MASK) == type) return at + NLA_HDRLEN;
        size_t whole = NLA_ALIGN(a.nla_len);
        if (whole > size) return NULL;
        at += whole;
        size -= whole;
    }
    return NULL;
}

static long packets(const struct nlmsghdr *h) {
    size_t head = NLMSG_LENGTH(sizeof(struct nfgenmsg)), length = 0;
    if (h->nlmsg_len < head) return -EBADMSG;
    const char *data = find((const char *)h + head, h->nlmsg_len - head, NFTA_OBJ_DATA, &length);
    const char *value = data ? find(data, length, NFTA_COUNTER_PACKETS, &length) : NULL;
    uint64_t count;
    if (!value || length != sizeof count) return -EBADMSG;
    memcpy(&count, value, sizeof count);
    return (long)be64toh(count);
}

long linux_counted_packets(int s, const char *table, const char *counter) {
    _Alignas(struct nlmsghdr) char question[LONGEST] = {0}, answer[REPLY];
    struct nlmsghdr *h = (void *)question;
    uint32_t type = htonl(NFT_OBJECT_COUNTER);
    if (strlen(table) > 300 || strlen(counter) > 300) return -EINVAL;
    *h = (struct nlmsghdr){
        .nlmsg_len = NLMSG_LENGTH(sizeof(struct nfgenmsg)),
        .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETOBJ,
        .nlmsg_flags = NLM_F_REQUEST,
    };
    *(struct nfgenmsg *)NLMSG_DATA(h) = (struct nfgenmsg){.nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0};
    put(question, NFTA_OBJ_TABLE, table, strlen(table) + 1);
    put(question, NFTA_OBJ_NAME, counter, strlen(counter) + 1);
    put(question, NFTA_OBJ_TYPE, &type, sizeof type);
    if (send(s, question, h->nlmsg_len, 0) < 0) return -errno;
    ssize_t n = recv(s, answer, sizeof answer, 0);
    if (n < 0) return -errno;
    h = (void *)answer;
    if (!NLMSG_OK(h, n)) return -EBADMSG;
    if (h->nlmsg_type == NLMSG_ERROR) {
        int error = ((struct nlmsgerr *)NLMSG_DATA(h))->error;
        return error < 0 ? error : -EBADMSG;
    }
    return packets(h);
}
