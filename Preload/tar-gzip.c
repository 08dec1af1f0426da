/* gzip without compression: a header, stored blocks, checksum and length. */
#include "martlet-tar.h"

#include <string.h>

enum { HEAD = 10, BLOCK_HEAD = 5, TAIL = 8, MOST_IN_BLOCK = 65535 };

static uint32_t checksum(const uint8_t *data, size_t count)
{
	static uint32_t table[256];
	uint32_t sum = ~0u;

	for (uint32_t i = 0; i < 256 && !table[255]; i++) {
		uint32_t value = i;
		for (int bit = 0; bit < 8; bit++)
			value = value & 1 ? 0xedb88320u ^ value >> 1 : value >> 1;
		table[i] = value;
	}
	while (count--)
		sum = table[(sum ^ *data++) & 255] ^ sum >> 8;
	return ~sum;
}

static void append_word(struct bytes *bytes, uint32_t word)
{
	uint8_t four[] = {(uint8_t)word, (uint8_t)(word >> 8), (uint8_t)(word >> 16), (uint8_t)(word >> 24)};

	append(bytes, four, sizeof four);
}

void gzip_store(const struct bytes *plain, struct bytes *packed)
{
	static const uint8_t head[HEAD] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};

	append(packed, head, sizeof head);
	for (size_t at = 0; at < plain->count;) {
		size_t count = plain->count - at < MOST_IN_BLOCK ? plain->count - at : MOST_IN_BLOCK;
		uint8_t last = at + count == plain->count;
		uint8_t block[BLOCK_HEAD] = {last, (uint8_t)count, (uint8_t)(count >> 8), (uint8_t)~count, (uint8_t)(~count >> 8)};
		append(packed, block, sizeof block);
		append(packed, plain->data + at, count);
		at += count;
	}
	append_word(packed, checksum(plain->data, plain->count));
	append_word(packed, (uint32_t)plain->count);
}

static uint32_t word_at(const uint8_t *data)
{
	return data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
}

int gzip_unstore(const struct bytes *packed, struct bytes *plain)
{
	static const uint8_t head[] = {0x1f, 0x8b, 8, 0};
	const uint8_t *data = packed->data;
	size_t at = HEAD, end = packed->count < TAIL ? 0 : packed->count - TAIL;
	int last = 0;

	if (end < HEAD || memcmp(data, head, sizeof head) != 0)
		return 0;
	while (!last) {
		if (end - at < BLOCK_HEAD || data[at] > 1)
			return 0;
		size_t count = data[at + 1] | (size_t)data[at + 2] << 8;
		last = data[at];
		at += BLOCK_HEAD;
		if (end - at < count)
			return 0;
		append(plain, data + at, count);
		at += count;
	}
	return at == end && word_at(data + end) == checksum(plain->data, plain->count);
}
