/*
 * A wire with a length: carries Ethernet frames between an interface and a
 * TAP device, each frame a fixed time later, some of them never.
 *
 * usage: wire INTERFACE TAP DELAY-MICROSECONDS LOSS-PER-MILLION
 *
 * The lab's kernels have no netem. The interface is the switch's end of a
 * host's cable, taken out of the switch; the TAP device takes its place there.
 * Prints "up" when both ends are open, then runs until it is killed.
 *
 * Without loss, frames pass as the large segments that the kernel hands over
 * (with the header that says how to cut them, the same for both ends), which
 * is what makes gigabits possible. With loss the TAP end is told to hand over
 * single frames; lab/link makes the host's end do so too.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Largest segment (64 KiB), its Ethernet header and the offload header. */
#define LARGEST_FRAME (65536 + 64)
/* Bytes on the wire in one direction: 10 Gbit/s for 100 ms. More is dropped,
 * as by any device whose queue is full. */
#define LONGEST_QUEUE (128u << 20)
/* Frames taken in before what is due is looked at again. */
#define BATCH 64
/* Socket buffer: what may come while the thread waits for a processor. */
#define SOCKET_BUFFER (16 << 20)

struct frame {
	struct frame *next;
	uint64_t due; /* nanoseconds, CLOCK_MONOTONIC */
	size_t length;
	char bytes[];
};

/* One direction; each has a thread of its own and shares nothing. */
struct direction {
	int from, to;
	uint64_t delay; /* nanoseconds */
	uint32_t loss;  /* frames in a million */
	unsigned int seed;
	struct frame *first, **last;
	size_t queued;
};

static void fail(const char *what)
{
	fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int open_interface(const char *name)
{
	int on = 1, size = SOCKET_BUFFER;
	struct sockaddr_ll at = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(name),
	};
	/* Protocol 0: nothing comes in before the options are set. */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || !at.sll_ifindex)
		fail(name);
	if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)))
		fail("PACKET_VNET_HDR");
	/* Or everything that we send would come back to us. */
	if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)))
		fail("PACKET_IGNORE_OUTGOING");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)))
		fail("bind");
	return fd;
}

static int open_tap(const char *name, int large_segments)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	unsigned long offload = TUN_F_CSUM;
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		fail("/dev/net/tun");
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &request))
		fail(name);
	if (large_segments)
		offload |= TUN_F_TSO4 | TUN_F_TSO6;
	if (ioctl(fd, TUNSETOFFLOAD, offload))
		fail("TUNSETOFFLOAD");
	return fd;
}

static int is_lost(struct direction *d)
{
	return d->loss && (uint32_t)(rand_r(&d->seed) % 1000000) < d->loss;
}

/* Takes in one frame; 0 when there is none. */
static int take(struct direction *d, char *buffer)
{
	ssize_t length = read(d->from, buffer, LARGEST_FRAME);
	struct frame *frame;

	if (length <= 0) {
		/* A cut cable (ENETDOWN) may be plugged in again. */
		if (length < 0 && errno != EAGAIN && errno != EINTR)
			usleep(1000);
		return 0;
	}
	if (is_lost(d) || d->queued + (size_t)length > LONGEST_QUEUE)
		return 1;
	frame = malloc(sizeof(*frame) + (size_t)length);
	if (!frame)
		return 1;
	frame->next = NULL;
	frame->due = now() + d->delay;
	frame->length = (size_t)length;
	memcpy(frame->bytes, buffer, frame->length);
	*d->last = frame;
	d->last = &frame->next;
	d->queued += frame->length;
	return 1;
}

/* Lets out what is due. A frame that the other end refuses (queue full, cable
 * cut) is lost, as it would be on a real network. */
static void deliver(struct direction *d)
{
	uint64_t time = now();

	while (d->first && d->first->due <= time) {
		struct frame *frame = d->first;
		ssize_t written = write(d->to, frame->bytes, frame->length);

		(void)written;
		d->first = frame->next;
		if (!d->first)
			d->last = &d->first;
		d->queued -= frame->length;
		free(frame);
	}
}

static void await(struct direction *d)
{
	struct pollfd input = {.fd = d->from, .events = POLLIN};
	struct timespec pause = {0}, *limit = NULL;

	if (d->first) {
		uint64_t time = now();
		uint64_t left = d->first->due > time ? d->first->due - time : 0;

		pause.tv_sec = (time_t)(left / 1000000000u);
		pause.tv_nsec = (long)(left % 1000000000u);
		limit = &pause;
	}
	ppoll(&input, 1, limit, NULL);
}

static void *carry(void *argument)
{
	struct direction *d = argument;
	char *buffer = malloc(LARGEST_FRAME);

	if (!buffer)
		fail("memory");
	/* The default slack of 50 microseconds would lengthen every wire. */
	prctl(PR_SET_TIMERSLACK, 1000);
	for (;;) {
		int taken = 0;

		await(d);
		while (taken < BATCH && take(d, buffer))
			taken++;
		deliver(d);
	}
	return NULL;
}

int main(int count, char **arguments)
{
	static struct direction ways[2];
	pthread_t thread;

	if (count != 5) {
		fprintf(stderr, "usage: wire INTERFACE TAP DELAY-MICROSECONDS LOSS-PER-MILLION\n");
		return 2;
	}
	uint64_t delay = strtoull(arguments[3], NULL, 10) * 1000;
	uint32_t loss = (uint32_t)strtoul(arguments[4], NULL, 10);
	int interface = open_interface(arguments[1]);
	int tap = open_tap(arguments[2], !loss);

	for (int i = 0; i < 2; i++) {
		ways[i] = (struct direction){.from = i ? tap : interface,
					     .to = i ? interface : tap,
					     .delay = delay,
					     .loss = loss,
					     .seed = (unsigned int)now() + (unsigned int)i};
		ways[i].last = &ways[i].first;
	}
	if (pthread_create(&thread, NULL, carry, &ways[0]))
		fail("thread");
	puts("up");
	fflush(stdout);
	carry(&ways[1]);
	return 0;
}
