/* Whether we are active, where our files are, and whom a descriptor belongs to. */
#include "martlet-criu.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *folder;

/* Runs before CRIU's main: CRIU overwrites its environment's memory for its process title. */
__attribute__((constructor)) static void activate(void)
{
	const char *value = getenv("MARTLET_SHIM_DIR");

	if (value && value[0] == '/' && strncmp(program_invocation_short_name, "criu", 4) == 0)
		folder = strdup(value);
}

const char *martlet_dir(void) { return folder; }

bool martlet_path(char *path, size_t size, const char *name)
{
	if (!folder)
		return false;
	int length = snprintf(path, size, "%s/%s", folder, name);
	return length > 0 && (size_t)length < size;
}

bool martlet_path_of(char *path, size_t size, const char *name, int pid)
{
	char file[64];

	snprintf(file, sizeof file, "%s.%d", name, pid);
	return martlet_path(path, size, file);
}

/*
 * CRIU opens /proc anew in a mount of its own, so the link reads "/PID/..."
 * as well as "/proc/PID/...".
 */
int martlet_pid_of(int fd)
{
	char link[64], target[256];

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, target, sizeof target - 1);
	if (length <= 0)
		return -1;
	target[length] = 0;
	const char *digits = strncmp(target, "/proc/", 6) == 0 ? target + 6 : target + 1;
	char *end;
	long pid = strtol(digits, &end, 10);
	bool is_pid = target[0] == '/' && end != digits && (*end == '/' || *end == 0) && pid > 0;
	return is_pid ? (int)pid : -1;
}

void martlet_await_listing(int pid)
{
	static bool gave_up; /* whoever should write them is gone: once is enough */
	char pending[4096], own[4096];

	if (gave_up || !martlet_path(pending, sizeof pending, "listing") || !martlet_path_of(own, sizeof own, "hidden", pid))
		return;
	for (int tries = 0; tries < 100000; tries++) {
		if (access(pending, F_OK) != 0 || access(own, F_OK) == 0)
			return;
		usleep(100);
	}
	gave_up = true;
}

void *martlet_next(const char *name)
{
	void *function = dlsym(RTLD_NEXT, name);

	if (!function)
		_exit(127); /* libc lacks one of its oldest functions: nothing can work */
	return function;
}
