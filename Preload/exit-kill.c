/*
 * Restored tasks die with the CRIU that made them, until it lets go of them.
 *
 * Without this a CRIU that is killed at the end of a restore leaves a running
 * copy behind, beside a source that may already have been told to resume.
 * Never at a dump: there a dead CRIU must leave the source running.
 */
#include "martlet-criu.h"

#include <stdarg.h>
#include <sys/ptrace.h>

MARTLET_BEFORE_LIBC long ptrace(enum __ptrace_request request, ...)
{
	static long (*next)(enum __ptrace_request, ...);
	va_list arguments;

	va_start(arguments, request);
	pid_t pid = va_arg(arguments, pid_t);
	void *address = va_arg(arguments, void *);
	uintptr_t data = va_arg(arguments, uintptr_t);
	va_end(arguments);
	if (!next)
		next = (long (*)(enum __ptrace_request, ...))martlet_next("ptrace");
	/* In both of these `data` is the whole set of options. */
	if ((request == PTRACE_SEIZE || request == PTRACE_SETOPTIONS) && martlet_is_restoring())
		data |= PTRACE_O_EXITKILL;
	return next(request, pid, address, data);
}
