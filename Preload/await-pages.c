/*
 * A restore that sets out before all of its images are whole.
 *
 * CRIU reads a task's page map first when it has made the task, some 10 ms
 * after the restore's release. So long Martlet may still write pages of file
 * mappings into the images (FilePages.swift): the file `unfinished` beside
 * them says so.
 */
#include "martlet-criu.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { POLL_MICROSECONDS = 50, LONGEST_POLLS = 400000 };

void martlet_await_pages(int folder, const char *name)
{
	static const char prefix[] = "pagemap-";

	if (strncmp(name, prefix, sizeof prefix - 1) != 0 || !isdigit((unsigned char)name[sizeof prefix - 1]))
		return;
	for (int polls = 0; polls < LONGEST_POLLS; polls++) {
		if (faccessat(folder, "unfinished", F_OK, 0) != 0)
			return;
		usleep(POLL_MICROSECONDS);
	}
	_exit(1); /* pages would be missing: no restore at all is better */
}
