/*
 * An archive into a fresh tmpfs. It comes from a peer: no name in it leads out
 * of the folder, whatever links it contains (openat2, Linux 5.6).
 */
#include "martlet-tar.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static struct bytes archive;

static bool read_input(struct bytes *packed)
{
	struct stat status;
	uint8_t buffer[65536];
	ssize_t count;
	off_t start = lseek(STDIN_FILENO, 0, SEEK_CUR);

	/* Read without moving: the real tar may have to begin anew. */
	if (start < 0 || fstat(STDIN_FILENO, &status) != 0 || status.st_size - start > 2 * MOST_BYTES)
		return false;
	while ((count = pread(STDIN_FILENO, buffer, sizeof buffer, start)) > 0) {
		append(packed, buffer, (size_t)count);
		start += count;
	}
	return count == 0;
}

static uint64_t octal(const char *field, size_t width)
{
	uint64_t value = 0;

	for (size_t i = 0; i < width && field[i] >= '0' && field[i] <= '7'; i++)
		value = value << 3 | (uint64_t)(field[i] - '0');
	return value;
}

/* An entry, its fields made safe to use. */
struct entry {
	char name[sizeof((struct header *)0)->name + 1], link[sizeof((struct header *)0)->link + 1];
	char type;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	dev_t device;
	struct timespec times[2];
	const uint8_t *data;
	size_t size;
};

/* Reads the entry at *at and moves behind it. False at the end, and at what isn't ours to read. */
static bool next_entry(size_t *at, struct entry *entry, bool *strange)
{
	struct header header;

	if (archive.count - *at < BLOCK || archive.data[*at] == 0)
		return false;
	memcpy(&header, archive.data + *at, sizeof header);
	*at += BLOCK;
	*entry = (struct entry){.type = header.type, .mode = octal(header.mode, 8) & 07777, .uid = (uid_t)octal(header.uid, 8)};
	memcpy(entry->name, header.name, sizeof header.name);
	memcpy(entry->link, header.link, sizeof header.link);
	entry->gid = (gid_t)octal(header.gid, 8);
	entry->device = makedev(octal(header.major, 8), octal(header.minor, 8));
	entry->times[0].tv_sec = entry->times[1].tv_sec = (time_t)octal(header.mtime, 12);
	entry->data = archive.data + *at;
	entry->size = octal(header.size, 12);
	size_t padded = (entry->size + BLOCK - 1) / BLOCK * BLOCK;
	*strange = !memchr("023456", header.type, 6) || header.prefix[0] || entry->size > archive.count || archive.count - *at < padded;
	if (*strange)
		return false;
	*at += padded;
	size_t length = strlen(entry->name);
	if (length > 1 && entry->name[length - 1] == '/')
		entry->name[length - 1] = 0;
	return true;
}

static int open_parent(int folder, char *name, const char **last)
{
	struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
	char *slash = strrchr(name, '/');

	*last = slash ? slash + 1 : name;
	if (slash)
		*slash = 0;
	int parent = (int)syscall(SYS_openat2, folder, slash ? name : ".", &how, sizeof how);
	if (slash)
		*slash = '/';
	return parent;
}

static int make_file(int parent, const char *name, const struct entry *entry)
{
	int file = openat(parent, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, entry->mode);
	bool written = file >= 0;

	for (size_t at = 0; written && at < entry->size;) {
		ssize_t count = write(file, entry->data + at, entry->size - at);
		written = count > 0;
		at += written ? (size_t)count : 0;
	}
	if (file >= 0)
		close(file);
	return written ? 0 : -1;
}

static int make_entry(int parent, const char *name, const struct entry *entry)
{
	static const char types[] = "346";
	static const mode_t kinds[] = {S_IFCHR, S_IFBLK, S_IFIFO};

	switch (entry->type) {
	case '0': return make_file(parent, name, entry);
	case '2': return symlinkat(entry->link, parent, name);
	case '5': return strcmp(name, ".") == 0 || mkdirat(parent, name, entry->mode) == 0 || errno == EEXIST ? 0 : -1;
	default: return mknodat(parent, name, kinds[strchr(types, entry->type) - types] | entry->mode, entry->device);
	}
}

static bool place(int folder, struct entry *entry)
{
	const char *name;
	int parent = open_parent(folder, entry->name, &name);
	bool done = parent >= 0 && strcmp(name, "..") != 0 && *name && make_entry(parent, name, entry) == 0 &&
		    fchownat(parent, name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW) == 0 &&
		    (entry->type == '2' || fchmodat(parent, name, entry->mode, 0) == 0) &&
		    utimensat(parent, name, entry->times, AT_SYMLINK_NOFOLLOW) == 0;

	if (!done)
		fprintf(stderr, "martlet-tar: %s: %s\n", entry->name, strerror(errno));
	if (parent >= 0)
		close(parent);
	return done;
}

/* What was put into a folder has changed its time. */
static void restore_folder_times(int folder)
{
	struct entry entry;
	bool strange;
	const char *name;

	for (size_t at = 0; next_entry(&at, &entry, &strange);) {
		int parent = entry.type == '5' ? open_parent(folder, entry.name, &name) : -1;
		if (parent < 0)
			continue;
		utimensat(parent, name, entry.times, AT_SYMLINK_NOFOLLOW);
		close(parent);
	}
}

int extract_archive(const char *path)
{
	struct bytes packed = {0};
	struct entry entry;
	bool strange = false;

	if (!read_input(&packed) || !gzip_unstore(&packed, &archive))
		run_real_tar();
	/* Everything is looked at before anything is made. */
	for (size_t at = 0; next_entry(&at, &entry, &strange);)
		;
	int folder = strange ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		run_real_tar();
	umask(0);
	for (size_t at = 0; next_entry(&at, &entry, &strange);)
		if (!place(folder, &entry))
			return 2;
	restore_folder_times(folder);
	return 0;
}
