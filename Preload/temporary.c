/*
 * Folders that CRIU makes in /tmp, noted: a CRIU that is killed leaves them, and by their names alone nobody could tell
 * whose they are.
 */
#include "martlet-criu.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

MARTLET_BEFORE_LIBC char *mkdtemp(char *template)
{
	static char *(*next)(char *);
	char path[4096];

	if (!next)
		next = (char *(*)(char *))martlet_next("mkdtemp");
	char *made = next(template);
	if (!made || strncmp(made, "/tmp/", 5) != 0 || !martlet_path(path, sizeof path, "temporary"))
		return made;
	int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (file >= 0) {
		/* A name that could not be noted stays behind: no reason to fail. */
		ssize_t written = write(file, made, strlen(made));
		written = write(file, "\n", 1);
		(void)written;
		close(file);
	}
	return made;
}
