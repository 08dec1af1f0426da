/*
 * A restore that waits twice: for its images, and for the word to run.
 *
 * First hold. `runc restore` is started before the source is frozen, so that
 * its start, its version check and its mounts cost no downtime. CRIU looks at
 * the length of the RESTORE request before it reads it: we stop there, in the
 * container's cgroup already, until Martlet says `release`.
 *
 * Second hold. CRIU ignores a failing answer to its last notification,
 * pre-resume, so the hold comes behind it: when the answer has been delivered
 * all tasks are restored and stopped, and nothing of theirs has run. Freezing
 * the cgroup stops CRIU as well, which is in it. Thawing it is what resumes;
 * cgroup.kill is what aborts.
 */
#include "martlet-criu.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { REQUEST_TYPE_RESTORE = 2, LONGEST_MESSAGE = 16384 };

static struct {
	pid_t pid;	      /* the process that received the request, 0 before */
	int control;	      /* the socket to Martlet */
	int request;	      /* where a request waits to be read with more options, or -1 */
	bool answer_due;      /* CRIU awaits the answer to pre-resume */
	char freeze[4096];    /* the file to write "1" to, or "" */
	uint8_t options[LONGEST_MESSAGE / 2];
	size_t option_count;
} restore = {.control = -1, .request = -1};

typedef ssize_t (*recv_function)(int, void *, size_t, int);
typedef ssize_t (*write_function)(int, const void *, size_t);

static recv_function next_recv(void)
{
	static recv_function next;

	if (!next)
		next = (recv_function)martlet_next("recv");
	return next;
}

bool martlet_is_restoring(void) { return restore.pid != 0 && restore.pid == getpid(); }

bool martlet_was_released(void) { return restore.pid != 0; }

/* Martlet is gone or asks for the end. Nothing has been restored, or it dies with us. */
static void give_up(void) { _exit(1); }

static void tell(const char *text)
{
	if (restore.control >= 0)
		send(restore.control, text, strlen(text), MSG_NOSIGNAL);
}

static void await(char *message, size_t size)
{
	ssize_t length;

	do
		length = next_recv()(restore.control, message, size - 1, 0);
	while (length < 0 && errno == EINTR);
	if (length <= 0)
		give_up();
	message[length] = 0;
}

static bool connect_control(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (!martlet_path(address.sun_path, sizeof address.sun_path, "control") || access(address.sun_path, F_OK) != 0)
		return false;
	restore.control = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (restore.control < 0 || connect(restore.control, (struct sockaddr *)&address, sizeof address) != 0)
		give_up();
	return true;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void read_options(const char *hex)
{
	for (; digit(hex[0]) >= 0 && digit(hex[1]) >= 0 && restore.option_count < sizeof restore.options; hex += 2)
		restore.options[restore.option_count++] = (uint8_t)(digit(hex[0]) << 4 | digit(hex[1]));
	if (*hex)
		give_up(); /* half an option is worse than no restore */
}

static void obey(char *message)
{
	char *rest = message, *word = strsep(&rest, " ");

	if (strcmp(word, "release") != 0)
		give_up();
	while ((word = strsep(&rest, " "))) {
		if (strncmp(word, "options=", 8) == 0)
			read_options(word + 8);
		else if (strncmp(word, "freeze=", 7) == 0)
			snprintf(restore.freeze, sizeof restore.freeze, "%s/cgroup.freeze", word + 7);
		else if (strcmp(word, "cgroupns") == 0 && unshare(CLONE_NEWCGROUP) != 0)
			give_up();
	}
}

static void hold_request(void)
{
	char cgroup[3900], text[4096];
	static char message[LONGEST_MESSAGE];

	if (!martlet_own_cgroup(cgroup, sizeof cgroup))
		strcpy(cgroup, "-");
	snprintf(text, sizeof text, "held %d %s", getpid(), cgroup);
	tell(text);
	await(message, sizeof message);
	while (strncmp(message, "common ", 7) == 0) {
		snprintf(text, sizeof text, "common %lx", martlet_map_common(strtoull(message + 7, NULL, 16)));
		tell(text);
		await(message, sizeof message);
	}
	obey(message);
	if (!martlet_read_objects())
		give_up(); /* they would be restored empty */
	martlet_read_common();
	restore.pid = getpid();
}

/* The length of the next request on a socket, which may have to wait for its release. */
static ssize_t peek(int fd)
{
	uint8_t head[2] = {0};
	ssize_t length = next_recv()(fd, head, sizeof head, MSG_PEEK | MSG_TRUNC);
	bool is_restore = length > 2 && head[0] == (1 << 3) && head[1] == REQUEST_TYPE_RESTORE;

	if (!is_restore || restore.pid != 0 || !connect_control())
		return length;
	hold_request();
	if (restore.option_count == 0)
		return length;
	restore.request = fd;
	return (ssize_t)martlet_grown_length((size_t)length, restore.option_count);
}

static ssize_t read_request(int fd, void *buffer, size_t size, int flags)
{
	ssize_t length = next_recv()(fd, buffer, size, flags);

	restore.request = -1;
	if (length <= 0)
		return length;
	size_t grown = martlet_add_options(buffer, (size_t)length, size, restore.options, restore.option_count);
	if (grown == 0)
		give_up();
	return (ssize_t)grown;
}

/* Everything is restored and stopped. Returns when Martlet lets it run. */
static void hold_result(void)
{
	char text[64], message[64];
	int file = restore.freeze[0] ? open(restore.freeze, O_WRONLY | O_CLOEXEC) : -1;

	if (file >= 0) {
		tell("ready freezing");
		/* We are in that cgroup: the write returns, and we stop, until it is thawed. */
		bool written = write(file, "1", 1) == 1;
		int error = errno;
		close(file);
		if (written)
			return;
		errno = error;
	}
	snprintf(text, sizeof text, "ready waiting %d", restore.freeze[0] ? errno : 0);
	tell(text);
	await(message, sizeof message);
	if (strcmp(message, "go") != 0)
		give_up();
}

MARTLET_BEFORE_LIBC ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
	if (martlet_dir() && size == 0 && (flags & MSG_PEEK))
		return peek(fd);
	if (restore.request >= 0 && restore.request == fd)
		return read_request(fd, buffer, size, flags);
	ssize_t length = next_recv()(fd, buffer, size, flags);
	if (length > 0 && restore.answer_due && martlet_is_restoring()) {
		restore.answer_due = false;
		hold_result();
	}
	return length;
}

/*
 * A notification: criu_resp with type NOTIFY (6), success, and in field 5 a
 * submessage whose field 1 is its name. Returns the name's length, 0 if it is
 * something else.
 */
static size_t notification(const uint8_t *bytes, size_t length, const char **name)
{
	static const uint8_t head[] = {1 << 3, 6, 2 << 3, 1, 5 << 3 | 2};

	if (length < 8 || length > 127 || memcmp(bytes, head, sizeof head) != 0 || bytes[6] != (1 << 3 | 2))
		return 0;
	*name = (const char *)bytes + 8;
	return bytes[7] <= length - 8 ? bytes[7] : 0;
}

static bool is_named(const char *wanted, const char *name, size_t length)
{
	return length == strlen(wanted) && memcmp(name, wanted, length) == 0;
}

MARTLET_BEFORE_LIBC ssize_t write(int fd, const void *bytes, size_t length)
{
	static write_function next;
	const char *name;
	char text[128];

	if (!next)
		next = (write_function)martlet_next("write");
	ssize_t written;
	if (martlet_write_stream(fd, bytes, length, &written))
		return written;
	size_t name_length = martlet_dir() ? notification(bytes, length, &name) : 0;
	/* A notification that fails fails the dump. */
	if (is_named("post-dump", name, name_length) && !martlet_finish_streams())
		return -1;
	written = next(fd, bytes, length);
	int error = errno;
	if (name_length > 0 && martlet_is_restoring()) {
		snprintf(text, sizeof text, "stage %.*s", (int)name_length, name);
		tell(text);
		restore.answer_due = strcmp(text, "stage pre-resume") == 0;
	}
	errno = error;
	return written;
}
