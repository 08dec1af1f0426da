/*
 * martlet-tar: stands first in CRIU's PATH by the name of tar and does what
 * CRIU asks of tar for small tmpfs mounts (/dev, /dev/shm, masked folders),
 * without the 4 to 8 ms of tar and gzip for each of them: four mounts of a
 * container cost 15 to 30 ms on each side, inside the freeze.
 *
 * CRIU asks for two things only (criu/filesystems.c, tmpfs_dump and
 * tmpfs_restore): `--create ... --directory FOLDER .` with the archive to
 * standard output, `--extract ... --directory FOLDER` with it on standard
 * input. The archive is one that real tar reads and writes (gzip, stored
 * without compression). Whatever is out of the ordinary (hard links,
 * attributes, long names, much data, other options, an archive compressed by
 * real tar) is handed to the real tar before anything was read or written.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

/* More than this is worth compressing, and real tar is no longer slow by comparison. */
enum { MOST_BYTES = 32 << 20, BLOCK = 512 };

/* A ustar header (POSIX.1-2008, pax): fields of octal text. */
struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100];
	char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], padding[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a header is one block");

struct bytes {
	uint8_t *data;
	size_t count, capacity;
};

/* Appends, growing by doubling; ends the program when memory does. */
void append(struct bytes *bytes, const void *data, size_t count);

/* Runs the next tar in PATH with our arguments instead. */
noreturn void run_real_tar(void);

/* The two jobs. They return the program's exit status, or don't return (run_real_tar). */
int create_archive(const char *folder);
int extract_archive(const char *folder);

/* gzip (RFC 1952) around stored blocks (RFC 1951). */
void gzip_store(const struct bytes *plain, struct bytes *packed);
/* Unpacks what gzip_store made. False if it is compressed otherwise. */
int gzip_unstore(const struct bytes *packed, struct bytes *plain);
