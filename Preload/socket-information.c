/*
 * Dump without reading /proc/PID/fdinfo/NUMBER for each socket.
 *
 * CRIU asks for every descriptor fstat, fstatfs and then its fdinfo (criu/files.c, fill_fd_params): five system calls with a
 * file made and formatted, of which a socket's says nothing but its flags, which F_GETFL tells as well. CRIU takes the flag
 * that F_GETFL lacks, close-on-exec, from elsewhere. That the descriptor which was looked at last is the one that is asked
 * for is only CRIU's habit: so the first time, and now and then, the real fdinfo is compared, which has the socket's number in it
 * (Linux 5.14), and in a CRIU with other habits nothing is answered here at all.
 */
#include "martlet-criu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { COMPARED = 64 };

static struct {
	int fd; /* what fstat said of a socket last, -1: of something else */
	dev_t device;
	ino_t inode;
	bool asked;   /* fstatfs came behind it */
	int nameless; /* the same of what is no file, folder, socket, pipe or device: an epoll, perhaps */
} last = {.fd = -1, .nameless = -1};

unsigned martlet_looks;

int martlet_looked_at_nameless(void) { return last.nameless; }

static struct {
	unsigned answered;
	bool off;
	unsigned mount;
	char text[160];
} information;

static void note(int fd, const struct stat *status, int result)
{
	bool is_socket = martlet_dir() && result == 0 && S_ISSOCK(status->st_mode);

	last.fd = is_socket ? fd : -1;
	last.nameless = martlet_dir() && result == 0 && (status->st_mode & S_IFMT) == 0 ? fd : -1;
	last.asked = false;
	martlet_looks++;
	if (is_socket) {
		last.device = status->st_dev;
		last.inode = status->st_ino;
	}
}

MARTLET_BEFORE_LIBC int fstat(int fd, struct stat *status)
{
	static int (*next)(int, struct stat *);

	if (!next)
		next = (int (*)(int, struct stat *))martlet_next("fstat");
	int result = next(fd, status);
	note(fd, status, result);
	return result;
}

/* The name that programs built with large-file support call; the same on 64 bits. */
MARTLET_BEFORE_LIBC int fstat64(int fd, struct stat64 *status)
{
	return fstat(fd, (struct stat *)status);
}

/* All sockets are in one file system: it is asked once. */
MARTLET_BEFORE_LIBC int fstatfs64(int fd, struct statfs64 *status)
{
	static int (*next)(int, struct statfs64 *);
	static struct statfs64 sockets;
	static dev_t device;

	if (!next)
		next = (int (*)(int, struct statfs64 *))martlet_next("fstatfs64");
	last.asked = last.fd >= 0 && last.fd == fd;
	if (!last.asked)
		return next(fd, status);
	if (device == last.device) {
		*status = sockets;
		return 0;
	}
	int result = next(fd, status);
	if (result == 0) {
		sockets = *status;
		device = last.device;
	}
	return result;
}

/* Whether the file that CRIU wants says of the same socket what we would say; learns the rest of it. */
static bool is_as_expected(int folder, const char *name, int flags)
{
	static int (*next)(int, const char *, int, ...);
	char text[512];
	long position;
	unsigned real, mount;
	unsigned long inode;

	if (!next)
		next = (int (*)(int, const char *, int, ...))martlet_next("openat");
	int file = next(folder, name, O_RDONLY | O_CLOEXEC);
	ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
	if (file >= 0)
		close(file);
	if (length <= 0)
		return false;
	text[length] = 0;
	int fields = sscanf(text, "pos: %ld flags: %o mnt_id: %u ino: %lu", &position, &real, &mount, &inode);
	information.mount = mount;
	return fields == 4 && position == 0 && inode == last.inode && ((real ^ (unsigned)flags) & ~(unsigned)O_CLOEXEC) == 0 &&
	       strchr(strstr(text, "ino:"), '\n') == text + length - 1; /* and nothing more, such as a lock */
}

int martlet_open_socket_information(int folder, const char *name)
{
	bool asked = last.asked;
	int fd = last.fd;

	last.asked = false;
	if (!asked || information.off || strncmp(name, "fdinfo/", 7) != 0)
		return -1;
	int flags = fcntl(fd, F_GETFL);
	bool compares = information.answered++ % COMPARED == 0;
	if (flags < 0 || (compares && !is_as_expected(folder, name, flags))) {
		information.off = true;
		return -1;
	}
	struct memory_file *file = martlet_open_in_memory(folder, martlet_close_nothing);
	if (!file)
		return -1;
	int length = snprintf(information.text, sizeof information.text, "pos:\t0\nflags:\t0%o\nmnt_id:\t%u\nino:\t%lu\n",
			      (unsigned)flags, information.mount, (unsigned long)last.inode);
	file->content = (const uint8_t *)information.text;
	file->size = (size_t)length;
	return file->fd;
}
