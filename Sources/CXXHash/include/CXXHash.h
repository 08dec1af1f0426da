// XXH3 of xxHash (Debian's libxxhash-dev). A target of its own because its header pulls in the compiler's
// intrinsics, which cannot share a Clang module with _GNU_SOURCE headers.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// XXH3-64 of `size` bytes with a seed.
uint64_t cxxhash_64(const void *bytes, size_t size, uint64_t seed);
