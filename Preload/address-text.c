/*
 * Addresses as text, remembered: CRIU makes the text of both addresses of every connection three times at a dump and once at a
 * restore, for a log line that is not written (criu/sk-inet.c, show_one_inet), and for IPv6 libc takes a microsecond.
 */
#include "martlet-criu.h"

#include <arpa/inet.h>
#include <string.h>

enum { REMEMBERED = 256 };

static struct text {
	int family; /* 0: none */
	struct in6_addr address;
	char text[INET6_ADDRSTRLEN];
} remembered[REMEMBERED];

static struct text *place(const uint8_t *address, size_t size)
{
	uint32_t hash = 0;

	for (size_t i = 0; i < size; i++)
		hash = hash * 31 + address[i];
	return &remembered[(hash ^ hash >> 8) % REMEMBERED];
}

MARTLET_BEFORE_LIBC const char *inet_ntop(int family, const void *address, char *text, socklen_t room)
{
	static const char *(*next)(int, const void *, char *, socklen_t);

	if (!next)
		next = (const char *(*)(int, const void *, char *, socklen_t))martlet_next("inet_ntop");
	if (!martlet_dir() || room < INET6_ADDRSTRLEN || (family != AF_INET && family != AF_INET6))
		return next(family, address, text, room);
	size_t size = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
	struct text *known = place(address, size);
	if (known->family != family || memcmp(&known->address, address, size) != 0) {
		known->family = next(family, address, known->text, sizeof known->text) ? family : 0;
		memcpy(&known->address, address, size);
		if (known->family == 0)
			return NULL;
	}
	return strcpy(text, known->text);
}
