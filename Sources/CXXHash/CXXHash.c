#define XXH_INLINE_ALL
#include "CXXHash.h"
#include <xxhash.h>

uint64_t cxxhash_64(const void *bytes, size_t size, uint64_t seed) { return XXH3_64bits_withSeed(bytes, size, seed); }

void cxxhash_pages64(const void *bytes, size_t count, uint64_t *hashes) {
    const unsigned char *p = (const unsigned char *)bytes;
    for (size_t i = 0; i < count; i++) hashes[i] = XXH3_64bits(p + i * 4096, 4096);
}

uint64_t cxxhash_bytes64(const void *bytes, size_t count) { return XXH3_64bits(bytes, count); }

int cxxhash_is_zero_page(const void *page) {
    const uint64_t *w = (const uint64_t *)page;
    for (int i = 0; i < 512; i += 8)
        if (w[i] | w[i + 1] | w[i + 2] | w[i + 3] | w[i + 4] | w[i + 5] | w[i + 6] | w[i + 7]) return 0;
    return 1;
}
