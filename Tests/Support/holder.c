/*
 * Holds something that a migration has an opinion about, and counts into /tmp/n like the smallest container.
 *
 * usage: holder io_uring | device PATH | socket FAMILY TYPE PROTOCOL | unix PATH | loopback | ghost MEGABYTES | nothing
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static int ghost = -1;
static uint64_t expected;

/* A connection with both ends here. */
static void loopback(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof address;
	int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(server, (struct sockaddr *)&address, length) || listen(server, 1) ||
	    getsockname(server, (struct sockaddr *)&address, &length) ||
	    connect(client, (struct sockaddr *)&address, length) || accept(server, NULL, NULL) < 0)
		err(1, "loopback");
	close(server);
}

static void connect_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	if (connect(fd, (struct sockaddr *)&address, sizeof address))
		err(1, "%s", path);
}

/* A deleted file of random-looking words, open. */
static void make_ghost(int megabytes)
{
	static uint64_t words[1 << 17];
	uint64_t state = 88172645463325252u;

	ghost = open("/tmp/ghost", O_RDWR | O_CREAT | O_TRUNC, 0600);
	for (int n = 0; n < megabytes; n++) {
		for (size_t i = 0; i < 1 << 17; i++) {
			state ^= state << 13, state ^= state >> 7, state ^= state << 17;
			words[i] = state;
			expected += state;
		}
		if (write(ghost, words, sizeof words) != sizeof words)
			err(1, "/tmp/ghost");
	}
	unlink("/tmp/ghost");
}

static int ghost_is_whole(void)
{
	static uint64_t words[1 << 17];
	uint64_t sum = 0;

	for (off_t at = 0; pread(ghost, words, sizeof words, at) == sizeof words; at += sizeof words)
		for (size_t i = 0; i < 1 << 17; i++)
			sum += words[i];
	return sum == expected;
}

static void take(char **words, int count)
{
	const char *what = count > 0 ? words[0] : "nothing";

	if (!strcmp(what, "io_uring")) {
		char parameters[120] = {0};
		if (syscall(425, 4, parameters) < 0)
			err(1, "io_uring_setup");
	} else if (!strcmp(what, "device") && count > 1) {
		if (open(words[1], O_WRONLY) < 0)
			err(1, "%s", words[1]);
	} else if (!strcmp(what, "socket") && count > 3) {
		if (socket(atoi(words[1]), atoi(words[2]), atoi(words[3])) < 0)
			err(1, "socket");
	} else if (!strcmp(what, "unix") && count > 1) {
		connect_unix(words[1]);
	} else if (!strcmp(what, "loopback")) {
		loopback();
	} else if (!strcmp(what, "ghost") && count > 1) {
		make_ghost(atoi(words[1]));
	}
}

int main(int count, char **words)
{
	take(words + 1, count - 1);
	for (unsigned long n = 1;; n++) {
		FILE *file = fopen("/tmp/n.new", "w");
		if (!file || (ghost >= 0 && !ghost_is_whole()))
			return 1;
		fprintf(file, "%lu\n", n);
		fclose(file);
		rename("/tmp/n.new", "/tmp/n");
		usleep(50000);
	}
}
