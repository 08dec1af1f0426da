// The C library's heap: malloc.h is not in Glibc's module map.
#pragma once
#include <malloc.h>

// Keeps freed buffers of up to `bytes` in the heap, and up to `trim` free bytes at its end, instead of giving each
// back to the kernel (mallopt(3)).
static inline void linux_keep_freed_buffers(int bytes, int trim) {
    mallopt(M_MMAP_THRESHOLD, bytes);
    mallopt(M_TRIM_THRESHOLD, trim);
}
