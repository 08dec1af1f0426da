/*
 * Dump without the walk over the kernel's connection tracking table.
 *
 * CRIU walks the whole table twice (criu/net.c, dump_nf_ct: its second request,
 * meant for expectations, has the number of the first one), 9 ms each on an
 * ordinary host, for external namespaces too. When Martlet has seen that the
 * namespace tracks nothing it puts the file no-conntrack, and both requests
 * become what the second was meant to be: a walk over the expectations.
 */
#include "martlet-criu.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_allowed(void)
{
	static int allowed = -1;
	char path[4096];

	if (allowed < 0)
		allowed = martlet_path(path, sizeof path, "no-conntrack") && access(path, F_OK) == 0;
	return allowed == 1;
}

static void redirect(const struct msghdr *message)
{
	struct nlmsghdr *header;

	if (message->msg_iovlen != 1 || message->msg_iov->iov_len != sizeof *header + sizeof(struct nfgenmsg))
		return;
	header = message->msg_iov->iov_base;
	bool is_walk = (header->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	if (is_walk && header->nlmsg_type == (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET) && is_allowed())
		header->nlmsg_type = NFNL_SUBSYS_CTNETLINK_EXP << 8 | IPCTNL_MSG_EXP_GET;
}

MARTLET_BEFORE_LIBC ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	static ssize_t (*next)(int, const struct msghdr *, int);

	if (!next)
		next = (ssize_t(*)(int, const struct msghdr *, int))martlet_next("sendmsg");
	if (martlet_dir())
		redirect(message);
	return next(fd, message, flags);
}
