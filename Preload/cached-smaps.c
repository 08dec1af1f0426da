/*
 * Dump without the walk over all page tables that /proc/PID/smaps costs
 * (75 ns a present page: 55 ms at 3 GB, inside the freeze).
 *
 * CRIU reads two things from it (criu/proc_parse.c, parse_smaps): the header
 * line of every area, which /proc/PID/maps shows for nothing, and its VmFlags
 * line, which hardly ever changes. Martlet writes both to smaps.PID after the
 * freeze: headers from the current maps, flags from a copy taken before.
 */
#include "martlet-criu.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

typedef int (*openat_function)(int, const char *, int, ...);

static int open_cached_smaps(int folder, const char *name, openat_function next)
{
	char path[4096];
	int pid;

	if (!martlet_dir() || strcmp(name, "smaps") != 0 || (pid = martlet_pid_of(folder)) < 0)
		return -1;
	martlet_await_listing(pid);
	if (!martlet_path_of(path, sizeof path, "smaps", pid))
		return -1;
	return next(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
}

static int open_at(int folder, const char *name, int flags, mode_t mode, openat_function next)
{
	int instead = open_cached_smaps(folder, name, next);

	if (instead == -1)
		instead = martlet_open_socket_information(folder, name);
	if (instead == -1)
		instead = martlet_open_watch_list(folder, name);
	if (instead == -1)
		instead = martlet_open_stream(folder, name, flags);
	if (instead != -1)
		return instead < 0 ? -1 : instead;
	martlet_opening(folder, name);
	if (martlet_was_released())
		martlet_await_pages(folder, name);
	return next(folder, name, flags, mode);
}

MARTLET_BEFORE_LIBC int openat(int folder, const char *name, int flags, ...)
{
	static openat_function next;
	va_list arguments;

	va_start(arguments, flags);
	mode_t mode = va_arg(arguments, mode_t);
	va_end(arguments);
	if (!next)
		next = (openat_function)martlet_next("openat");
	return open_at(folder, name, flags, mode, next);
}

/* The name that programs built with large-file support call. */
MARTLET_BEFORE_LIBC int openat64(int folder, const char *name, int flags, ...)
{
	static openat_function next;
	va_list arguments;

	va_start(arguments, flags);
	mode_t mode = va_arg(arguments, mode_t);
	va_end(arguments);
	if (!next)
		next = (openat_function)martlet_next("openat64");
	return open_at(folder, name, flags, mode, next);
}
