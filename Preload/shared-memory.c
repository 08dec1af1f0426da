/*
 * Shared memory that neither dump nor restore copies.
 *
 * Dump: CRIU looks for the pages of a memfd, and of shared anonymous memory,
 * with lseek(SEEK_DATA) on the object (criu/shmem.c, next_data_segment). For the
 * inodes in hidden-objects the answer is that there are none.
 *
 * Restore: CRIU makes a memfd and then opens pagemap-shmem-INODE.img to fill it
 * (criu/memfd.c, memfd_open_inode_nocache). At that moment the object which
 * Martlet has filled already is put in the memfd's place, by its number. It is
 * reached below the folder of images, the only folder that CRIU still has of
 * ours when it has changed its root.
 */
#include "martlet-criu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Inherited by every process of a restore. */
static struct object {
	uint64_t inode;
	int descriptor;
} *objects;
static size_t object_count;

static struct {
	bool read;
	dev_t device;
	uint64_t *inodes;
	size_t count;
} hidden;

static int last_memfd = -1;

typedef int (*memfd_create_function)(const char *, unsigned int);
typedef off64_t (*lseek64_function)(int, off64_t, int);

static memfd_create_function next_memfd_create(void)
{
	static memfd_create_function next;

	if (!next)
		next = (memfd_create_function)martlet_next("memfd_create");
	return next;
}

/* Room for one more element. NULL if there is none. */
static void *grown(void *array, size_t count, size_t size) { return reallocarray(array, count + 1, size); }

bool martlet_read_objects(void)
{
	char path[4096];
	struct object object;
	FILE *file;
	int fields;

	if (!martlet_path(path, sizeof path, "objects") || !(file = fopen(path, "re")))
		return errno == ENOENT;
	while ((fields = fscanf(file, "%lu %d", &object.inode, &object.descriptor)) == 2) {
		struct object *more = grown(objects, object_count, sizeof *objects);
		if (!more)
			break;
		objects = more;
		objects[object_count++] = object;
	}
	bool complete = fields == EOF && !ferror(file);
	fclose(file);
	return complete;
}

static void read_hidden(void)
{
	char path[4096];
	struct stat status;
	uint64_t inode;
	FILE *file;

	hidden.read = true;
	int probe = next_memfd_create()("martlet-probe", MFD_CLOEXEC);
	if (probe < 0)
		return;
	bool known = fstat(probe, &status) == 0;
	close(probe);
	if (!known || !martlet_path(path, sizeof path, "hidden-objects") || !(file = fopen(path, "re")))
		return;
	hidden.device = status.st_dev;
	while (fscanf(file, "%lu", &inode) == 1) {
		uint64_t *more = grown(hidden.inodes, hidden.count, sizeof *hidden.inodes);
		if (!more)
			break;
		hidden.inodes = more;
		hidden.inodes[hidden.count++] = inode;
	}
	fclose(file);
}

static bool is_hidden(int fd)
{
	struct stat status;

	if (!hidden.read)
		read_hidden();
	if (hidden.count == 0 || fstat(fd, &status) != 0 || status.st_dev != hidden.device)
		return false;
	for (size_t i = 0; i < hidden.count; i++)
		if (hidden.inodes[i] == status.st_ino)
			return true;
	return false;
}

MARTLET_BEFORE_LIBC off64_t lseek64(int fd, off64_t offset, int whence)
{
	static lseek64_function next;

	if (!next)
		next = (lseek64_function)martlet_next("lseek64");
	if (whence == SEEK_DATA && martlet_dir() && is_hidden(fd)) {
		errno = ENXIO;
		return -1;
	}
	return next(fd, offset, whence);
}

MARTLET_BEFORE_LIBC int memfd_create(const char *name, unsigned int flags)
{
	int fd = next_memfd_create()(name, flags);

	last_memfd = fd;
	return fd;
}

void martlet_opening(int folder, const char *name)
{
	static const char prefix[] = "pagemap-shmem-";
	char path[64];

	if (object_count == 0 || last_memfd < 0 || strncmp(name, prefix, sizeof prefix - 1) != 0)
		return;
	uint64_t inode = strtoull(name + sizeof prefix - 1, NULL, 10);
	for (size_t i = 0; i < object_count; i++) {
		if (objects[i].inode != inode)
			continue;
		snprintf(path, sizeof path, "objects/%d", objects[i].descriptor);
		int object = openat(folder, path, O_RDWR | O_CLOEXEC);
		/* Without it the container would find zeros: no restore at all is better. */
		if (object < 0 || dup3(object, last_memfd, 0) < 0)
			_exit(1);
		close(object);
		last_memfd = -1;
		return;
	}
}
