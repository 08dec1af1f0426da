// What Swift cannot call by itself: variadic functions (ioctl, ptrace, syscall), function-like macros (WIFSTOPPED,
// CMSG_*, _IOWR), structures newer than the build machine's headers, and calls that Glibc's module map hides. Nothing else
// belongs here. Every function returns -errno on failure and holds no policy.
//
// These headers include none of the system's but <stdint.h> and <stddef.h>: Swift's own Glibc module is built without
// _GNU_SOURCE, and Clang refuses two modules that define one structure differently. Structures and constants are our own,
// compared with the system's by the bodies in ../*.c when they are compiled.
#pragma once
// One header an area, so that its owner finds it.
#include "linux_process.h"
#include "linux_trace.h"
#include "linux_memory.h"
#include "linux_userfaultfd.h"
#include "linux_sockets.h"
#include "linux_packets.h"
#include "linux_store.h"
#include "linux_terminal.h"
#include "linux_mounts.h"
#include "linux_trees.h"
#include "linux_watch.h"
