/*
 * Files that CRIU opens, reads or writes and closes, and that are not on any disk.
 *
 * Each has a descriptor of its own, a copy of that of the folder it was opened in: a number that nobody else has, and one
 * on which whatever isn't answered here fails (EISDIR) instead of doing something else.
 */
#include "martlet-criu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_OPEN = 4 };

static struct memory_file files[MOST_OPEN];
static int open_count;

struct memory_file *martlet_memory_file(int fd)
{
	for (int i = 0; open_count > 0 && i < MOST_OPEN; i++)
		if (files[i].closing && files[i].fd == fd)
			return &files[i];
	return NULL;
}

struct memory_file *martlet_open_in_memory(int folder, memory_file_closing *closing)
{
	for (int i = 0; i < MOST_OPEN; i++) {
		struct memory_file *file = &files[i];
		if (file->closing)
			continue;
		file->fd = fcntl(folder, F_DUPFD_CLOEXEC, 0);
		if (file->fd < 0)
			return NULL;
		file->closing = closing;
		file->read_only = true;
		file->content = NULL;
		file->size = file->at = 0;
		open_count++;
		return file;
	}
	return NULL;
}

void martlet_forget_file(struct memory_file *file)
{
	file->closing = NULL;
	open_count--;
}

int martlet_close_nothing(struct memory_file *file)
{
	(void)file;
	return 0;
}

MARTLET_BEFORE_LIBC ssize_t read(int fd, void *buffer, size_t size)
{
	static ssize_t (*next)(int, void *, size_t);
	struct memory_file *file = martlet_memory_file(fd);

	if (file && file->read_only) {
		size_t left = file->size - file->at, count = size < left ? size : left;
		memcpy(buffer, file->content + file->at, count);
		file->at += count;
		return (ssize_t)count;
	}
	if (!next)
		next = (ssize_t(*)(int, void *, size_t))martlet_next("read");
	return next(fd, buffer, size);
}

MARTLET_BEFORE_LIBC int close(int fd)
{
	static int (*next)(int);
	struct memory_file *file = martlet_memory_file(fd);

	if (!next)
		next = (int (*)(int))martlet_next("close");
	if (!file)
		return next(fd);
	int result = file->closing(file), error = errno;
	martlet_forget_file(file);
	next(fd);
	errno = error;
	return result;
}
