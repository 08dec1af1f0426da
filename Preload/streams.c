/*
 * One image for all connections instead of one for each.
 *
 * CRIU writes tcp-stream-NUMBER.img for every connection (criu/sk-tcp.c), about 70 bytes where nothing waits in the queues: a
 * thousand inodes made, sent and opened again in the freeze. Here they are kept in memory and written together, as
 * tcp-streams.img, when CRIU says `post-dump`; a restore reads them from there. The file: u32 number, u32 bytes, then the bytes
 * as CRIU wrote them; once more for each. One with long queues is a file of its own, as ever.
 */
#include "martlet-criu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LONGEST = 64 << 10, FLUSHED = 16 << 20, HEAD = 8 };
static const char together[] = "tcp-streams.img";

static struct {
	int folder;	     /* of the images, as CRIU opened the last one in it */
	bool failed;	     /* something that CRIU believes to be written isn't */
	bool open;	     /* one is being written */
	uint8_t *all;	     /* what isn't in the file yet */
	size_t size, capacity;
	uint32_t number;     /* of the one that is being written */
	int flags;
	uint8_t content[LONGEST];
} dump = {.folder = -1};

static struct {
	pid_t pid; /* of the process that read the file */
	bool bad;
	uint8_t *content;
	struct stream {
		uint32_t number, size;
		const uint8_t *content;
	} *all;
	size_t count;
} restore;

/* tcp-stream-1a2b.img, and nothing else. */
static bool is_stream(const char *name, uint32_t *number)
{
	static const char prefix[] = "tcp-stream-";
	char *end;

	if (strncmp(name, prefix, sizeof prefix - 1) != 0)
		return false;
	unsigned long value = strtoul(name + sizeof prefix - 1, &end, 16);
	*number = (uint32_t)value;
	return end != name + sizeof prefix - 1 && value <= UINT32_MAX && strcmp(end, ".img") == 0;
}

static bool write_whole(int file, const uint8_t *bytes, size_t size)
{
	for (size_t at = 0; at < size;) {
		ssize_t count = write(file, bytes + at, size - at);
		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return false;
		at += (size_t)count;
	}
	return true;
}

static bool flush(void)
{
	int file = openat(dump.folder, together, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	bool written = file >= 0 && write_whole(file, dump.all, dump.size);

	if (file >= 0 && close(file) != 0)
		written = false;
	dump.size = 0;
	return written;
}

static bool reserve(size_t more)
{
	if (dump.capacity - dump.size >= more)
		return true;
	size_t capacity = (dump.capacity + more) * 2;
	uint8_t *all = realloc(dump.all, capacity);
	if (!all)
		return false;
	dump.all = all;
	dump.capacity = capacity;
	return true;
}

static int end_stream(struct memory_file *file)
{
	uint32_t head[2] = {dump.number, (uint32_t)file->size};

	dump.open = false;
	if (!reserve(sizeof head + file->size)) {
		dump.failed = true;
		errno = ENOMEM;
		return -1;
	}
	memcpy(dump.all + dump.size, head, sizeof head);
	memcpy(dump.all + dump.size + sizeof head, dump.content, file->size);
	dump.size += sizeof head + file->size;
	if (dump.size >= FLUSHED && !flush()) {
		dump.failed = true;
		return -1;
	}
	return 0;
}

/* Goes on as the file that CRIU wanted, behind the same descriptor. */
static bool become_file(struct memory_file *file)
{
	char name[32];

	snprintf(name, sizeof name, "tcp-stream-%x.img", dump.number);
	int real = openat(file->fd, name, dump.flags | O_CLOEXEC, 0644);
	bool written = real >= 0 && write_whole(real, dump.content, file->size) && dup3(real, file->fd, O_CLOEXEC) >= 0;

	if (real >= 0)
		close(real);
	if (written) {
		dump.open = false;
		martlet_forget_file(file);
	}
	return written;
}

bool martlet_write_stream(int fd, const void *bytes, size_t length, ssize_t *result)
{
	struct memory_file *file = martlet_memory_file(fd);

	if (!file || file->closing != end_stream)
		return false;
	if (length > sizeof dump.content - file->size) {
		if (become_file(file))
			return false;
		*result = -1;
		return true;
	}
	memcpy(dump.content + file->size, bytes, length);
	file->size += length;
	*result = (ssize_t)length;
	return true;
}

bool martlet_finish_streams(void) { return !dump.failed && (dump.size == 0 || flush()); }

static int create_stream(int folder, uint32_t number, int flags)
{
	struct memory_file *file = dump.open ? NULL : martlet_open_in_memory(folder, end_stream);

	if (!file)
		return -1;
	file->read_only = false;
	dump.open = true;
	dump.folder = folder;
	dump.number = number;
	dump.flags = flags;
	return file->fd;
}

static int by_number(const void *a, const void *b)
{
	uint32_t left = ((const struct stream *)a)->number, right = ((const struct stream *)b)->number;

	return left < right ? -1 : left > right;
}

/* The whole file, which a peer sent: no record reaches beyond its end. */
static bool read_records(size_t size)
{
	size_t capacity = 0;

	for (size_t at = 0; at < size;) {
		uint32_t head[2];
		if (size - at < sizeof head)
			return false;
		memcpy(head, restore.content + at, sizeof head);
		at += sizeof head;
		if (head[1] > LONGEST || head[1] > size - at)
			return false;
		if (restore.count == capacity) {
			capacity = capacity ? capacity * 2 : 1024;
			struct stream *all = reallocarray(restore.all, capacity, sizeof *all);
			if (!all)
				return false;
			restore.all = all;
		}
		restore.all[restore.count++] = (struct stream){head[0], head[1], restore.content + at};
		at += head[1];
	}
	qsort(restore.all, restore.count, sizeof *restore.all, by_number);
	return true;
}

static void read_together(int folder)
{
	struct stat status;
	int file = openat(folder, together, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	restore.pid = getpid();
	if (file < 0) {
		restore.bad = errno != ENOENT;
		return;
	}
	restore.bad = true;
	size_t size = fstat(file, &status) == 0 ? (size_t)status.st_size : 0, at = 0;
	restore.content = malloc(size ? size : 1);
	while (restore.content && at < size) {
		ssize_t count = read(file, restore.content + at, size - at);
		if (count <= 0)
			break;
		at += (size_t)count;
	}
	close(file);
	if (restore.content && at == size)
		restore.bad = !read_records(size);
}

static int open_stream(int folder, uint32_t number)
{
	struct stream key = {.number = number};

	if (restore.pid == 0) /* a child has what its parent read */
		read_together(folder);
	if (restore.bad) {
		errno = EIO;
		return -2;
	}
	struct stream *found = restore.count ? bsearch(&key, restore.all, restore.count, sizeof key, by_number) : NULL;
	struct memory_file *file = found ? martlet_open_in_memory(folder, martlet_close_nothing) : NULL;
	if (!file)
		return found ? -2 : -1;
	file->content = found->content;
	file->size = found->size;
	return file->fd;
}

int martlet_open_stream(int folder, const char *name, int flags)
{
	uint32_t number;

	if (!martlet_dir() || !is_stream(name, &number))
		return -1;
	if ((flags & O_ACCMODE) == O_RDONLY)
		return open_stream(folder, number);
	return (flags & O_CREAT) ? create_stream(folder, number, flags) : -1;
}
