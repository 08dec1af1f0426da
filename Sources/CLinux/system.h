// For the bodies in this folder only, never for a public header: the system's headers with _GNU_SOURCE.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

// What a call returned, as the kernel says it: -errno if it failed.
#define RESULT(x) ((x) < 0 ? -(long)errno : (long)(x))

// A constant or a structure of a public header against the system's own.
#define SAME(ours, theirs) _Static_assert((ours) == (theirs), #ours " is " #theirs)
#define SAME_FIELD(ours, a, theirs, b) \
    _Static_assert(offsetof(ours, a) == offsetof(theirs, b) && sizeof(((ours *)0)->a) == sizeof(((theirs *)0)->b), \
                   #ours "." #a " lies where " #theirs "." #b " does")
