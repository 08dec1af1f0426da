/*
 * Preloaded into CRIU in lab hosts whose root lacks CAP_SYS_RESOURCE.
 *
 * CRIU reads the resource limits of every task with prlimit64(2). The kernel
 * lets a caller without CAP_SYS_RESOURCE ask only about tasks of its own user
 * (EPERM otherwise), so containers with more than one user could not be
 * dumped. /proc/PID/limits shows the same figures and asks for no capability:
 * a refused *read* is answered from there. A refused write stays refused.
 *
 * For the lab only: never shipped to users.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

typedef long (*syscall_fn)(long, ...);

/* The row of /proc/PID/limits that belongs to each RLIMIT_ number. */
static const char *const row_names[RLIM_NLIMITS] = {
	[RLIMIT_CPU] = "Max cpu time",
	[RLIMIT_FSIZE] = "Max file size",
	[RLIMIT_DATA] = "Max data size",
	[RLIMIT_STACK] = "Max stack size",
	[RLIMIT_CORE] = "Max core file size",
	[RLIMIT_RSS] = "Max resident set",
	[RLIMIT_NPROC] = "Max processes",
	[RLIMIT_NOFILE] = "Max open files",
	[RLIMIT_MEMLOCK] = "Max locked memory",
	[RLIMIT_AS] = "Max address space",
	[RLIMIT_LOCKS] = "Max file locks",
	[RLIMIT_SIGPENDING] = "Max pending signals",
	[RLIMIT_MSGQUEUE] = "Max msgqueue size",
	[RLIMIT_NICE] = "Max nice priority",
	[RLIMIT_RTPRIO] = "Max realtime priority",
	[RLIMIT_RTTIME] = "Max realtime timeout",
};

static syscall_fn real_syscall;

__attribute__((constructor)) static void find_real_syscall(void)
{
	real_syscall = (syscall_fn)dlsym(RTLD_NEXT, "syscall");
}

/* One figure; moves *text behind it. "unlimited" is RLIM64_INFINITY. */
static rlim64_t take_limit(char **text)
{
	*text += strspn(*text, " ");
	if (!strncmp(*text, "unlimited", 9)) {
		*text += 9;
		return RLIM64_INFINITY;
	}
	return strtoull(*text, text, 10);
}

/* Fills *limit from /proc/PID/limits; -1 when the row can't be found. */
static int read_proc_limit(long pid, long resource, struct rlimit64 *limit)
{
	const char *name = row_names[resource];
	size_t length = strlen(name);
	char path[64], line[256];
	int found = -1;

	snprintf(path, sizeof(path), "/proc/%ld/limits", pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return -1;
	while (found && fgets(line, sizeof(line), file)) {
		if (strncmp(line, name, length))
			continue;
		char *rest = line + length;
		limit->rlim_cur = take_limit(&rest);
		limit->rlim_max = take_limit(&rest);
		found = 0;
	}
	fclose(file);
	return found;
}

long syscall(long number, ...)
{
	long a[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (!real_syscall)
		find_real_syscall();

	long result = real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	int is_read = number == SYS_prlimit64 && !a[2] && a[3];

	if (result < 0 && errno == EPERM && is_read && a[1] >= 0 && a[1] < RLIM_NLIMITS) {
		if (!read_proc_limit(a[0], a[1], (struct rlimit64 *)a[3]))
			return 0;
		errno = EPERM;
	}
	return result;
}

int prlimit64(pid_t pid, enum __rlimit_resource resource,
	      const struct rlimit64 *new_limit, struct rlimit64 *old_limit)
{
	return (int)syscall(SYS_prlimit64, (long)pid, (long)resource, new_limit, old_limit);
}

/* On 64-bit Linux struct rlimit and struct rlimit64 are the same. */
_Static_assert(sizeof(struct rlimit) == sizeof(struct rlimit64), "64-bit only");
int prlimit(pid_t pid, enum __rlimit_resource resource,
	    const struct rlimit *new_limit, struct rlimit *old_limit)
{
	return (int)syscall(SYS_prlimit64, (long)pid, (long)resource, new_limit, old_limit);
}
