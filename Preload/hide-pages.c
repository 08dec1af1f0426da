/*
 * Dump without the memory that Martlet carries itself.
 *
 * CRIU finds the pages of a private area with ioctl(PAGEMAP_SCAN) on
 * /proc/PID/pagemap (criu/pagemap-cache.c). The ranges in hidden.PID are left
 * out of its answer, so that CRIU takes them for never touched: nothing is
 * read, piped or written for them. Other scans (CRIU's search for MADV_GUARD
 * pages, its probes) pass unchanged, and so does everything when a future CRIU
 * asks in another way: the pages are then in the images, which costs time but
 * loses nothing. Martlet checks the images against what it expects.
 */
#include "martlet-criu.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* linux/fs.h since 6.7; older headers lack it. */
struct page_region {
	uint64_t start, end, categories;
};
struct scan_argument {
	uint64_t size, flags, start, end, walk_end, regions, region_count, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_PAGES _IOWR('f', 16, struct scan_argument)
#define PAGE_IS_PRESENT (1u << 3)
#define PAGE_IS_SWAPPED (1u << 4)

struct range {
	uint64_t start, end;
};

/* The hidden ranges of the process scanned last; CRIU dumps one after the other. */
static struct {
	int pid;
	struct range *ranges;
	size_t count;
} hidden = {.pid = -1};

static bool append_range(size_t *capacity, struct range range)
{
	bool ascends = hidden.count == 0 || hidden.ranges[hidden.count - 1].end <= range.start;

	if (!ascends || range.start >= range.end)
		return false;
	if (hidden.count == *capacity) {
		size_t more = *capacity ? *capacity * 2 : 256;
		struct range *ranges = reallocarray(hidden.ranges, more, sizeof *ranges);
		if (!ranges)
			return false;
		hidden.ranges = ranges;
		*capacity = more;
	}
	hidden.ranges[hidden.count++] = range;
	return true;
}

/* A list that can't be read whole hides nothing: too many pages in the images is the safe side. */
static void read_hidden(int pid)
{
	char path[4096];
	struct range range;
	size_t capacity = 0;
	FILE *file;
	int fields;

	free(hidden.ranges);
	hidden.ranges = NULL;
	hidden.count = 0;
	hidden.pid = pid;
	martlet_await_listing(pid);
	if (!martlet_path_of(path, sizeof path, "hidden", pid) || !(file = fopen(path, "re")))
		return;
	while ((fields = fscanf(file, "%lx %lx", &range.start, &range.end)) == 2)
		if (!append_range(&capacity, range))
			break;
	if (fields != EOF || ferror(file))
		hidden.count = 0;
	fclose(file);
}

/* Index of the first hidden range that ends behind an address. */
static size_t first_behind(uint64_t address)
{
	size_t low = 0, high = hidden.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (hidden.ranges[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

typedef int (*ioctl_function)(int, unsigned long, ...);

/*
 * Scans the gaps between hidden ranges. The kernel never walks the hidden
 * ones, which is where the time goes. Stops, as the kernel does, when the
 * caller's array is full: walk_end then tells where to go on.
 */
static int scan_gaps(int fd, struct scan_argument *whole, ioctl_function next)
{
	uint64_t position = whole->start;
	size_t filled = 0, at = first_behind(position);

	while (position < whole->end) {
		if (at < hidden.count && hidden.ranges[at].start <= position) {
			position = hidden.ranges[at++].end;
			continue;
		}
		struct scan_argument gap = *whole;
		gap.start = position;
		if (at < hidden.count && hidden.ranges[at].start < whole->end)
			gap.end = hidden.ranges[at].start;
		gap.regions += filled * sizeof(struct page_region);
		gap.region_count -= filled;
		int found = gap.region_count ? next(fd, SCAN_PAGES, &gap) : 0;
		if (found < 0)
			return found;
		filled += (size_t)found;
		if (filled == whole->region_count) {
			whole->walk_end = found ? gap.walk_end : position;
			return (int)filled;
		}
		position = gap.end;
	}
	whole->walk_end = whole->end;
	return (int)filled;
}

/* CRIU's question "which pages have contents", and no other. */
static bool asks_for_contents(const struct scan_argument *scan)
{
	uint64_t contents = PAGE_IS_PRESENT | PAGE_IS_SWAPPED;

	return scan->size == sizeof *scan && scan->flags == 0 && scan->category_anyof_mask == contents &&
	       scan->max_pages == 0 && scan->start < scan->end;
}

MARTLET_BEFORE_LIBC int ioctl(int fd, unsigned long request, ...)
{
	static ioctl_function next;
	va_list arguments;

	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	if (!next)
		next = (ioctl_function)martlet_next("ioctl");
	if (request != SCAN_PAGES || !martlet_dir() || !asks_for_contents(argument))
		return next(fd, request, argument);
	int pid = martlet_pid_of(fd);
	if (pid < 0)
		return next(fd, request, argument);
	if (pid != hidden.pid)
		read_hidden(pid);
	if (hidden.count == 0)
		return next(fd, request, argument);
	return scan_gaps(fd, argument, next);
}
