// XXH3 of pages, from xxhash.h (Debian's libxxhash-dev) compiled into this target: 12 to 25 GB/s, where calls of the
// shared library reach 8 to 18. A target of its own because that header pulls in the compiler's intrinsics, which cannot
// share a Clang module with _GNU_SOURCE headers.
#pragma once
#include <stddef.h>
#include <stdint.h>

// 64-bit hash of any bytes with a seed.
uint64_t cxxhash_64(const void *bytes, size_t size, uint64_t seed);

// 64-bit hashes of `count` neighbouring 4096-byte pages.
void cxxhash_pages64(const void *bytes, size_t count, uint64_t *hashes);

// 64-bit hash of any bytes.
uint64_t cxxhash_bytes64(const void *bytes, size_t count);

// Whether all bytes are zero; 23 GB/s.
int cxxhash_is_zero_page(const void *page);
