// What Swift cannot call by itself: variadic functions (ioctl, ptrace, syscall), function-like macros
// (WIFSTOPPED, CMSG_*, _IOWR), structures newer than the build machine's headers, and calls that Glibc's
// module map hides. Nothing else belongs here. Every function returns -errno on failure and holds no policy.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
// One header an area, so that its owner finds it.
#include "linux_process.h"
#include "linux_memory.h"
#include "linux_sockets.h"
#include "linux_files.h"
#include "linux_tcp.h"
#include "linux_store.h"
#include "linux_mounts.h"
#include "linux_trees.h"
#include "linux_watch.h"
#include "linux_packets.h"
#include "linux_heap.h"
