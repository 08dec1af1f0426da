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
 *
 * System V segments have no descriptor that could be exchanged. They are made
 * and filled in an IPC namespace of their own, which the restore enters when it
 * is about to fill its new one; shmget then finds them (criu/ipc_ns.c,
 * prepare_ipc_ns, prepare_ipc_shm_seg). At a dump they are named in
 * hidden-segments: a segment and a memfd may have the same number.
 */
#include "martlet-criu.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

/* Inherited by every process of a restore. */
static struct object {
	uint64_t inode;
	int descriptor;
} *objects;
static size_t object_count;

static struct {
	int namespace; /* below objects */
	bool entered;
	struct segment {
		int id;
		size_t size;
	} *all;
	size_t count;
} segments = {.namespace = -1};

static struct {
	bool read;
	dev_t device;
	struct {
		uint64_t *inodes;
		size_t count;
	} files, segments;
} hidden;

static int last_memfd = -1;

typedef int (*memfd_create_function)(const char *, unsigned int);
typedef off64_t (*lseek64_function)(int, off64_t, int);
typedef int (*shmget_function)(key_t, size_t, int);

static memfd_create_function next_memfd_create(void)
{
	static memfd_create_function next;

	if (!next)
		next = (memfd_create_function)martlet_next("memfd_create");
	return next;
}

/* Room for one more element. NULL if there is none. */
static void *grown(void *array, size_t count, size_t size) { return reallocarray(array, count + 1, size); }

static bool read_segments(void)
{
	char path[4096];
	struct segment segment;
	FILE *file;
	int fields;

	if (!martlet_path(path, sizeof path, "segments") || !(file = fopen(path, "re")))
		return errno == ENOENT;
	bool complete = fscanf(file, "%d", &segments.namespace) == 1;
	while (complete && (fields = fscanf(file, "%d %zu", &segment.id, &segment.size)) == 2) {
		struct segment *more = grown(segments.all, segments.count, sizeof *segments.all);
		complete = more != NULL;
		if (!more)
			break;
		segments.all = more;
		segments.all[segments.count++] = segment;
	}
	complete = complete && fields == EOF && !ferror(file);
	fclose(file);
	return complete;
}

static bool read_files(void)
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

bool martlet_read_objects(void) { return read_files() && read_segments(); }

static size_t read_numbers(const char *name, uint64_t **numbers)
{
	char path[4096];
	uint64_t number;
	size_t count = 0;
	FILE *file;

	if (!martlet_path(path, sizeof path, name) || !(file = fopen(path, "re")))
		return 0;
	while (fscanf(file, "%lu", &number) == 1) {
		uint64_t *more = grown(*numbers, count, sizeof **numbers);
		if (!more)
			break;
		*numbers = more;
		(*numbers)[count++] = number;
	}
	fclose(file);
	return count;
}

static void read_hidden(void)
{
	struct stat status;

	hidden.read = true;
	int probe = next_memfd_create()("martlet-probe", MFD_CLOEXEC);
	if (probe < 0)
		return;
	bool known = fstat(probe, &status) == 0;
	close(probe);
	if (!known)
		return;
	hidden.device = status.st_dev;
	hidden.files.count = read_numbers("hidden-objects", &hidden.files.inodes);
	hidden.segments.count = read_numbers("hidden-segments", &hidden.segments.inodes);
}

/* The kernel names a segment's file after its key: /SYSV0052e2c1 (deleted). */
static bool is_segment(int fd)
{
	char link[64], target[64] = "";

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	return readlink(link, target, sizeof target - 1) > 0 && strncmp(target, "/SYSV", 5) == 0;
}

static bool contains(const uint64_t *numbers, size_t count, uint64_t number)
{
	for (size_t i = 0; i < count; i++)
		if (numbers[i] == number)
			return true;
	return false;
}

static bool is_hidden(int fd)
{
	struct stat status;

	if (!hidden.read)
		read_hidden();
	if (hidden.files.count + hidden.segments.count == 0 || fstat(fd, &status) != 0 || status.st_dev != hidden.device)
		return false;
	bool is_file = contains(hidden.files.inodes, hidden.files.count, status.st_ino);
	bool may_be_segment = contains(hidden.segments.inodes, hidden.segments.count, status.st_ino);
	if (!is_file && !may_be_segment)
		return false;
	return is_segment(fd) ? may_be_segment : is_file;
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

/* The number that CRIU has asked for, which the kernel keeps until a segment is made; -1 if it can't be told. */
static int wanted_segment(void)
{
	FILE *file = fopen("/proc/sys/kernel/shm_next_id", "re");
	int id = -1;

	if (file && fscanf(file, "%d", &id) != 1)
		id = -1;
	if (file)
		fclose(file);
	return id;
}

/* As shmget would: owner and group CRIU sets itself. */
static int set_mode(int id, int mode)
{
	struct shmid_ds status;

	if (shmctl(id, IPC_STAT, &status) != 0)
		return -1;
	status.shm_perm.mode = (unsigned short)mode;
	return shmctl(id, IPC_SET, &status) == 0 ? id : -1;
}

MARTLET_BEFORE_LIBC int shmget(key_t key, size_t size, int flags)
{
	static shmget_function next;

	if (!next)
		next = (shmget_function)martlet_next("shmget");
	int wanted = segments.entered ? wanted_segment() : -1;
	for (size_t i = 0; wanted >= 0 && i < segments.count; i++)
		if (segments.all[i].id == wanted && segments.all[i].size == size)
			return set_mode(wanted, flags & 0777);
	return next(key, size, flags);
}

static void enter_namespace(int folder)
{
	char path[64];

	snprintf(path, sizeof path, "objects/%d", segments.namespace);
	int namespace = openat(folder, path, O_RDONLY | O_CLOEXEC);
	/* Without it the container would find zeros: no restore at all is better. */
	if (namespace < 0 || setns(namespace, CLONE_NEWIPC) != 0)
		_exit(1);
	close(namespace);
	segments.entered = true;
}

void martlet_opening(int folder, const char *name)
{
	static const char prefix[] = "pagemap-shmem-", namespace[] = "ipcns-var-";
	char path[64];

	if (segments.namespace >= 0 && !segments.entered && strncmp(name, namespace, sizeof namespace - 1) == 0)
		return enter_namespace(folder);

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
