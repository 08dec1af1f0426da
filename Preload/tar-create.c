/* A folder of a tmpfs into an archive. */
#include "martlet-tar.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static struct bytes archive;
static dev_t device;

/* Octal digits and a NUL; a number that doesn't fit is the real tar's. */
static void put_octal(char *field, size_t width, uint64_t value)
{
	if (value >> (3 * (width - 1)))
		run_real_tar();
	for (size_t i = width - 1; i-- > 0; value >>= 3)
		field[i] = (char)('0' + (value & 7));
}

static void put_header(const char *path, const struct stat *status, char type, const char *link)
{
	struct header header = {.type = type, .magic = "ustar", .version = {'0', '0'}};
	int sum = 0;

	if (strlen(path) >= sizeof header.name || (link && strlen(link) >= sizeof header.link))
		run_real_tar();
	strcpy(header.name, path);
	if (link)
		strcpy(header.link, link);
	put_octal(header.mode, sizeof header.mode, status->st_mode & 07777);
	put_octal(header.uid, sizeof header.uid, status->st_uid);
	put_octal(header.gid, sizeof header.gid, status->st_gid);
	put_octal(header.size, sizeof header.size, type == '0' ? (uint64_t)status->st_size : 0);
	put_octal(header.mtime, sizeof header.mtime, (uint64_t)status->st_mtime);
	put_octal(header.major, sizeof header.major, type == '3' || type == '4' ? major(status->st_rdev) : 0);
	put_octal(header.minor, sizeof header.minor, type == '3' || type == '4' ? minor(status->st_rdev) : 0);
	memset(header.sum, ' ', sizeof header.sum);
	for (size_t i = 0; i < sizeof header; i++)
		sum += ((const uint8_t *)&header)[i];
	snprintf(header.sum, sizeof header.sum, "%06o", sum);
	header.sum[7] = ' ';
	append(&archive, &header, sizeof header);
}

static void put_file(int folder, const char *name, const char *path, const struct stat *status)
{
	static const uint8_t zeros[BLOCK];
	uint8_t buffer[65536];
	uint64_t left = (uint64_t)status->st_size;
	int file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (file < 0 || archive.count + left > MOST_BYTES)
		run_real_tar();
	put_header(path, status, '0', NULL);
	while (left > 0) {
		ssize_t count = read(file, buffer, left < sizeof buffer ? left : sizeof buffer);
		if (count <= 0)
			run_real_tar();
		append(&archive, buffer, (size_t)count);
		left -= (uint64_t)count;
	}
	close(file);
	append(&archive, zeros, (BLOCK - (size_t)status->st_size % BLOCK) % BLOCK);
}

static void put_folder(int folder, const char *path);

static void put_entry(int folder, const char *name, const char *parent)
{
	char path[4096], target[4096], handle[300];
	struct stat status;

	snprintf(handle, sizeof handle, "/proc/self/fd/%d/%s", folder, name);
	snprintf(path, sizeof path, "%s/%s", parent, name);
	if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || llistxattr(handle, NULL, 0) > 0)
		run_real_tar();
	if (!S_ISDIR(status.st_mode) && status.st_nlink > 1)
		run_real_tar();
	if (S_ISDIR(status.st_mode)) {
		put_header(path, &status, '5', NULL);
		int inner = status.st_dev == device ? openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW) : -1;
		if (status.st_dev == device)
			put_folder(inner, path);
	} else if (S_ISREG(status.st_mode)) {
		put_file(folder, name, path, &status);
	} else if (S_ISLNK(status.st_mode)) {
		ssize_t length = readlinkat(folder, name, target, sizeof target - 1);
		if (length < 0)
			run_real_tar();
		target[length] = 0;
		put_header(path, &status, '2', target);
	} else if (!S_ISSOCK(status.st_mode)) { /* tar leaves sockets out too */
		put_header(path, &status, S_ISCHR(status.st_mode) ? '3' : S_ISBLK(status.st_mode) ? '4' : '6', NULL);
	}
}

static void put_folder(int folder, const char *path)
{
	DIR *entries = folder < 0 ? NULL : fdopendir(folder);
	struct dirent *entry;

	if (!entries)
		run_real_tar();
	while ((entry = readdir(entries)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			put_entry(folder, entry->d_name, path);
	closedir(entries);
}

int create_archive(const char *path)
{
	static const uint8_t end[2 * BLOCK];
	struct bytes packed = {0};
	struct stat status;
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (folder < 0 || fstat(folder, &status) != 0)
		run_real_tar();
	device = status.st_dev;
	put_header("./", &status, '5', NULL);
	put_folder(folder, ".");
	append(&archive, end, sizeof end);
	gzip_store(&archive, &packed);
	for (size_t at = 0; at < packed.count;) {
		ssize_t count = write(STDOUT_FILENO, packed.data + at, packed.count - at);
		if (count <= 0)
			return 2;
		at += (size_t)count;
	}
	return 0;
}
