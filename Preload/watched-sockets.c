/*
 * Dump without a search through all of an epoll's files for each of them.
 *
 * CRIU asks kcmp(KCMP_EPOLL_TFD) for every file that an epoll watches whether the process still has that file under that number
 * (criu/eventpoll.c, find_tfd_bsearch); the kernel looks through the list from its beginning each time, 13 ms for a
 * thousand. Here the list is taken from the epoll's fdinfo, which CRIU reads anyway (and now once, not twice). Under one number
 * a process may have another file than the one that is watched; but a socket's number (inode) belongs to that socket alone, so
 * equal numbers are the same file. Whatever isn't that simple is the kernel's to answer. All processes stand still meanwhile.
 */
#include "martlet-criu.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { LONGEST_LIST = 64 << 20 };

/* The fdinfo that CRIU read last of something without a name, such as an epoll: CRIU reads it twice more. */
static struct {
	unsigned look; /* martlet_looks at that time */
	pid_t pid;     /* whose descriptor it is, and its number there */
	uint32_t number;
	char *text;
	size_t size, capacity;
} list;

static struct {
	bool parsed; /* `list` was */
	int process; /* a pidfd */
	struct watched {
		uint32_t number, device;
		uint64_t inode;
	} *all;
	size_t count, capacity;
} epoll = {.process = -1};

typedef long system_call(long, long, long, long, long, long, long);

static system_call *next_call(void)
{
	static system_call *next;

	if (!next)
		next = (system_call *)martlet_next("syscall");
	return next;
}

static int by_number(const void *a, const void *b)
{
	uint32_t left = ((const struct watched *)a)->number, right = ((const struct watched *)b)->number;

	return left < right ? -1 : left > right;
}

static bool read_whole(int folder, const char *name)
{
	static int (*next)(int, const char *, int, ...);
	ssize_t count;

	if (!next)
		next = (int (*)(int, const char *, int, ...))martlet_next("openat");
	int file = next(folder, name, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return false;
	list.size = 0;
	do {
		if (list.capacity - list.size < 2) {
			size_t capacity = list.capacity ? list.capacity * 2 : 1 << 18;
			char *text = capacity > LONGEST_LIST ? NULL : realloc(list.text, capacity);
			if (!text)
				break;
			list.text = text;
			list.capacity = capacity;
		}
		count = read(file, list.text + list.size, list.capacity - list.size - 1);
		list.size += count > 0 ? (size_t)count : 0;
	} while (count > 0);
	bool whole = list.text && list.capacity - list.size >= 2 && count == 0;
	close(file);
	if (whole)
		list.text[list.size] = 0;
	return whole;
}

int martlet_open_watch_list(int folder, const char *name)
{
	int fd = martlet_looked_at_nameless();

	if (fd < 0 || strncmp(name, "fdinfo/", 7) != 0)
		return -1;
	uint32_t number = (uint32_t)strtoul(name + 7, NULL, 10);
	int pid = martlet_pid_of(folder);
	/* First under its number in the process, then under that of CRIU's copy. */
	bool again = list.look == martlet_looks && pid == getpid() && number == (uint32_t)fd;
	if (!again) {
		list.pid = -1;
		list.look = 0;
		epoll.parsed = false;
		if (pid < 0 || !read_whole(folder, name))
			return -1;
		list.look = martlet_looks;
		list.pid = pid;
		list.number = number;
	}
	struct memory_file *file = martlet_open_in_memory(folder, martlet_close_nothing);
	if (!file)
		return -1;
	file->content = (const uint8_t *)list.text;
	file->size = list.size;
	return file->fd;
}

static bool append(struct watched one)
{
	if (epoll.count == epoll.capacity) {
		size_t capacity = epoll.capacity ? epoll.capacity * 2 : 1024;
		struct watched *all = reallocarray(epoll.all, capacity, sizeof *all);
		if (!all)
			return false;
		epoll.all = all;
		epoll.capacity = capacity;
	}
	epoll.all[epoll.count++] = one;
	return true;
}

/* "tfd: 12 events: 19 data: c  pos:0 ino:3f sdev:9" (fs/eventpoll.c, ep_show_fdinfo) */
static bool parse_line(char *line, struct watched *one)
{
	char *at;

	one->number = (uint32_t)strtoul(line + 4, &at, 10);
	at = strstr(at, " ino:");
	if (!at)
		return false;
	one->inode = strtoul(at + 5, &at, 16);
	if (strncmp(at, " sdev:", 6) != 0)
		return false;
	one->device = (uint32_t)strtoul(at + 6, &at, 16);
	return *at == '\n';
}

static void parse_list(void)
{
	struct watched one;

	epoll.parsed = true;
	epoll.count = 0;
	for (char *line = list.text; line && *line; line = strchr(line, '\n'), line += line != NULL) {
		if (strncmp(line, "tfd:", 4) != 0)
			continue;
		/* Half a list could hide that a number is watched twice. */
		if (!parse_line(line, &one) || !append(one)) {
			epoll.count = 0;
			return;
		}
	}
	if (epoll.count == 0)
		return;
	qsort(epoll.all, epoll.count, sizeof *epoll.all, by_number);
	if (epoll.process >= 0)
		close(epoll.process);
	epoll.process = (int)next_call()(SYS_pidfd_open, list.pid, 0, 0, 0, 0, 0);
}

/* The one file that is watched under this number, or NULL. */
static const struct watched *only_one(uint32_t number)
{
	struct watched key = {.number = number};
	struct watched *found = epoll.count ? bsearch(&key, epoll.all, epoll.count, sizeof key, by_number) : NULL;

	if (!found || (found > epoll.all && found[-1].number == number))
		return NULL;
	return found + 1 < epoll.all + epoll.count && found[1].number == number ? NULL : found;
}

static bool is_watched_socket(pid_t pid, uint32_t number, const struct kcmp_epoll_slot *slot)
{
	struct stat status;

	if (slot->tfd != number || slot->toff != 0)
		return false;
	if (list.pid != pid || list.number != slot->efd)
		return false;
	if (!epoll.parsed)
		parse_list();
	const struct watched *watched = only_one(number);
	int copy = watched ? (int)next_call()(SYS_pidfd_getfd, epoll.process, number, 0, 0, 0, 0) : -1;
	if (copy < 0)
		return false;
	/* The kernel's own form of a device's number: twelve bits and twenty. */
	bool same = fstat(copy, &status) == 0 && S_ISSOCK(status.st_mode) && status.st_ino == watched->inode &&
		    major(status.st_dev) == watched->device >> 20 && minor(status.st_dev) == (watched->device & 0xfffff);
	close(copy);
	return same;
}

/* Has as many arguments as any call, so that all others go on with theirs untouched, on the same stack. */
MARTLET_BEFORE_LIBC long martlet_system_call(long number, long a, long b, long c, long d, long e, long f) __asm__("syscall");

long martlet_system_call(long number, long a, long b, long c, long d, long e, long f)
{
	bool asks = number == SYS_kcmp && c == KCMP_EPOLL_TFD && a == b && martlet_dir() && a != getpid();

	if (asks && is_watched_socket((pid_t)a, (uint32_t)d, (const struct kcmp_epoll_slot *)e))
		return 0;
	if (number != SYS_clone3 || !martlet_dir())
		return next_call()(number, a, b, c, d, e, f);
	martlet_forking(true);
	long result = next_call()(number, a, b, c, d, e, f);
	int error = errno;
	martlet_forking(false);
	errno = error;
	return result;
}
