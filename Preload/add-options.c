/*
 * More options for a request that another program wrote.
 *
 * A second opts submessage behind the first would be merged field by field
 * too, but protobuf-c then resets required fields to their defaults
 * (images_dir_fd becomes -1): the bytes must go inside the first one.
 */
#include "martlet-criu.h"

#include <string.h>

enum { LONGEST_VARINT = 10, OPTIONS_KEY = 2 << 3 | 2 };

/* Reads a varint at *at, which moves behind it. False at the end of the bytes. */
static bool read_varint(const uint8_t *bytes, size_t length, size_t *at, uint64_t *value)
{
	*value = 0;
	for (unsigned shift = 0; *at < length && shift < 64; shift += 7) {
		uint8_t byte = bytes[(*at)++];
		*value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return true;
	}
	return false;
}

static size_t write_varint(uint8_t *bytes, uint64_t value)
{
	size_t count = 0;

	for (; value >= 0x80; value >>= 7)
		bytes[count++] = (uint8_t)(value | 0x80);
	bytes[count++] = (uint8_t)value;
	return count;
}

/* Finds the options: where their length begins, where their bytes begin, and how many there are. */
static bool find_options(const uint8_t *request, size_t length, size_t *prefix, size_t *body, size_t *count)
{
	uint64_t key, value;

	for (size_t at = 0; at < length && read_varint(request, length, &at, &key);) {
		*prefix = at;
		if (!read_varint(request, length, &at, &value))
			return false;
		if ((key & 7) == 0)
			continue;
		if ((key & 7) != 2 || value > length - at)
			return false;
		*body = at;
		*count = (size_t)value;
		if (key == OPTIONS_KEY)
			return true;
		at += (size_t)value;
	}
	return false;
}

size_t martlet_grown_length(size_t length, size_t added) { return length + added + LONGEST_VARINT; }

size_t martlet_add_options(uint8_t *request, size_t length, size_t size, const uint8_t *added, size_t count)
{
	uint8_t varint[LONGEST_VARINT];
	size_t prefix, body, old;

	if (!find_options(request, length, &prefix, &body, &old))
		return 0;
	size_t width = write_varint(varint, old + count);
	size_t behind = length - body - old;
	size_t grown = prefix + width + old + count + behind;
	if (grown > size)
		return 0;
	memmove(request + prefix + width + old + count, request + body + old, behind);
	memmove(request + prefix + width, request + body, old);
	memcpy(request + prefix, varint, width);
	memcpy(request + prefix + width + old, added, count);
	return grown;
}
