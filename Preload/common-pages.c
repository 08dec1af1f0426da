/*
 * Pages that forked processes have in common stay one page.
 *
 * A lazy restore gives each process its pages one by one, and what parent and
 * child shared by copy-on-write would be there twice. Only fork shares private
 * memory, and CRIU forks. So while the restore is held we map an arena; Martlet
 * fills it, before the source is frozen, with pages that processes have in
 * common; and every process of the restore inherits it.
 *
 * With lazy pages CRIU maps each private area of a process, in address order,
 * into a reserve (criu/mem.c, premap_priv_vmas): new ones by mmap, those that
 * have the parent's bounds by mremap of the parent's. Behind such an mmap we
 * move the area's part of the arena into its place, and in both cases drop the
 * pages that this process has not, or has with another content: the fault
 * server fills them. `common` (Containers/CRIU/CommonTable.swift) says which
 * these are. Whatever is not as it says is left empty, and filled like all else.
 */
#include "martlet-criu.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096 };
#define NO_REGION UINT64_MAX

/* The table: a head, then its arrays, one behind the other. */
struct head {
	uint64_t arena, regions, processes, areas, drops;
};
struct region {
	uint64_t start, end; /* addresses in the processes */
	uint64_t offset;     /* of `start` in the arena */
};
struct process {
	uint64_t pid, first, count; /* its private areas, all of them, in address order */
};
struct area {
	uint64_t start, end, region; /* `region` has its first page, or NO_REGION */
	uint64_t first, count;	     /* all pages that this process does not have in common */
};
struct drop {
	uint64_t start, end;
};

/* Where a region's pages are in this process. */
struct place {
	uint64_t address; /* 0: nowhere any more */
	uint64_t start, end;
	pid_t holder; /* in whose reserve; 0: in the arena */
};

static struct {
	char *arena;
	size_t length;
	bool had_huge;
	const struct head *head; /* NULL: nothing is shared */
	const struct region *regions;
	const struct process *processes;
	const struct area *areas;
	const struct drop *drops;
	struct place *places;
} common;

/* How far the process that asks has come in its areas. */
static struct {
	pid_t pid;
	const struct process *process; /* NULL: not known, or not as expected */
	size_t next;		       /* of its areas */
	uint64_t address;	       /* where that one will be */
} walk;

typedef void *(*mmap_function)(void *, size_t, int, int, int, off64_t);
typedef void *(*mremap_function)(void *, size_t, size_t, int, ...);

static mmap_function next_mmap(void)
{
	static mmap_function next;

	if (!next)
		next = (mmap_function)martlet_next("mmap64");
	return next;
}

static mremap_function next_mremap(void)
{
	static mremap_function next;

	if (!next)
		next = (mremap_function)martlet_next("mremap");
	return next;
}

uint64_t martlet_map_common(uint64_t length)
{
	/* A huge page would be copied, or split, where a process lacks one page of it. Until the release only. */
	common.had_huge = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 0;
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	void *arena = next_mmap()(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (arena == MAP_FAILED)
		return 0;
	common.arena = arena;
	common.length = length;
	madvise(arena, length, MADV_DONTFORK);
	return (uint64_t)arena;
}

static bool is_sound(const struct head *head, size_t size)
{
	uint64_t most = size / sizeof(struct drop), need = sizeof *head;

	if (head->regions > most || head->processes > most || head->areas > most || head->drops > most)
		return false;
	need += head->regions * sizeof(struct region) + head->processes * sizeof(struct process);
	need += head->areas * sizeof(struct area) + head->drops * sizeof(struct drop);
	if (need != size || head->arena != (uint64_t)common.arena)
		return false;
	common.regions = (const struct region *)(head + 1);
	common.processes = (const struct process *)(common.regions + head->regions);
	common.areas = (const struct area *)(common.processes + head->processes);
	common.drops = (const struct drop *)(common.areas + head->areas);
	for (size_t i = 0; i < head->regions; i++) {
		const struct region *region = &common.regions[i];
		if (region->end <= region->start || region->offset > common.length ||
		    region->end - region->start > common.length - region->offset)
			return false;
	}
	for (size_t i = 0; i < head->processes; i++)
		if (common.processes[i].first > head->areas || common.processes[i].count > head->areas - common.processes[i].first)
			return false;
	for (size_t i = 0; i < head->areas; i++) {
		const struct area *area = &common.areas[i];
		if (area->end <= area->start || area->first > head->drops || area->count > head->drops - area->first ||
		    (area->region != NO_REGION && area->region >= head->regions))
			return false;
	}
	return true;
}

void martlet_read_common(void)
{
	char path[4096];
	struct stat status;
	int file;

	if (common.had_huge)
		prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
	if (!common.arena || !martlet_path(path, sizeof path, "common") || (file = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return;
	if (fstat(file, &status) == 0 && (size_t)status.st_size >= sizeof(struct head)) {
		void *table = next_mmap()(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
		if (table != MAP_FAILED && is_sound(table, (size_t)status.st_size))
			common.head = table;
	}
	close(file);
	if (!common.head)
		return;
	common.places = calloc(common.head->regions ? common.head->regions : 1, sizeof *common.places);
	if (!common.places) {
		common.head = NULL;
		return;
	}
	for (size_t i = 0; i < common.head->regions; i++) {
		const struct region *region = &common.regions[i];
		common.places[i] = (struct place){(uint64_t)common.arena + region->offset, region->start, region->end, 0};
	}
}

/* CRIU reserves the place into which it maps the private areas of this process. */
static void begin(uint64_t address)
{
	/* We have what our parent held, which was the last to come here; what its own parents had is unmapped by now. */
	for (size_t i = 0; i < common.head->regions; i++)
		if (common.places[i].holder && common.places[i].holder != walk.pid)
			common.places[i].address = 0;
	walk.pid = getpid();
	walk.process = NULL;
	walk.next = 0;
	walk.address = address;
	for (size_t i = 0; i < common.head->processes; i++)
		if (common.processes[i].pid == (uint64_t)walk.pid)
			walk.process = &common.processes[i];
}

/* The area that is about to be mapped; NULL if it is another than expected, and then for good. */
static const struct area *expected(const void *address, size_t size)
{
	if (!walk.process || walk.pid != getpid() || (uint64_t)address != walk.address)
		return NULL;
	if (walk.next < walk.process->count) {
		const struct area *area = &common.areas[walk.process->first + walk.next];
		uint64_t length = area->end - area->start;
		/* One that grows down has a guard page in front. */
		if (size == length || (area->region == NO_REGION && size == length + PAGE)) {
			walk.next++;
			walk.address += size;
			return area;
		}
	}
	walk.process = NULL;
	return NULL;
}

static bool drop(const struct area *area, uint64_t address)
{
	for (size_t i = 0; i < area->count; i++) {
		const struct drop *range = &common.drops[area->first + i];
		if (range->start < area->start || range->end > area->end || range->end <= range->start)
			return false;
		if (madvise((void *)(address + (range->start - area->start)), range->end - range->start, MADV_DONTNEED) != 0)
			return false;
	}
	return true;
}

static void empty(void *address, size_t size)
{
	/* What this process has not would be there. */
	if (madvise(address, size, MADV_DONTNEED) != 0)
		_exit(1);
}

/* Puts what is common over an area that was mapped empty. */
static void place(const struct area *area, void *address, size_t size)
{
	struct place *from = &common.places[area->region];

	if (!from->address || area->start < from->start || area->start >= from->end)
		return;
	uint64_t end = area->end < from->end ? area->end : from->end;
	void *source = (void *)(from->address + (area->start - from->start));
	/* Not there in a process that was forked in another way than expected. */
	if (msync(source, end - area->start, MS_ASYNC) != 0)
		return;
	if (next_mremap()(source, end - area->start, size, MREMAP_MAYMOVE | MREMAP_FIXED, address) != address)
		_exit(1); /* the kernel may have unmapped what was there */
	madvise(address, size, MADV_DOFORK);
	*from = (struct place){(uint64_t)address, area->start, area->end, walk.pid};
	if (!drop(area, (uint64_t)address))
		empty(address, size);
}

static void *map(void *address, size_t length, int protection, int flags, int fd, off64_t offset)
{
	const int plain = MAP_PRIVATE | MAP_ANONYMOUS;
	void *mapped = next_mmap()(address, length, protection, flags, fd, offset);

	if (mapped == MAP_FAILED || !common.head)
		return mapped;
	if (!address && protection == PROT_NONE && flags == plain && fd == 0) {
		begin((uint64_t)mapped);
	} else if (flags & MAP_FIXED) {
		const struct area *area = expected(address, length);
		/* MAP_NORESERVE is lost, and with it no more than that nobody counts what is only promised. */
		bool is_plain = (flags & ~MAP_NORESERVE) == (plain | MAP_FIXED) && protection == (PROT_READ | PROT_WRITE);
		if (area && area->region != NO_REGION && is_plain)
			place(area, mapped, length);
	}
	return mapped;
}

MARTLET_BEFORE_LIBC void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset)
{
	return map(address, length, protection, flags, fd, offset);
}

MARTLET_BEFORE_LIBC void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	return map(address, length, protection, flags, fd, offset);
}

void martlet_forking(bool begins)
{
	/* Pieces were moved away: the holes don't matter. */
	if (common.head)
		madvise(common.arena, common.length, begins ? MADV_DOFORK : MADV_DONTFORK);
}

/* An area of the parent's was moved into this process's reserve, with what the parent has in it. */
static void inherit(uint64_t old, size_t size, void *address)
{
	const struct area *area = expected(address, size);

	for (size_t i = 0; i < common.head->regions; i++) {
		struct place *at = &common.places[i];
		if (!at->address || at->address >= old + size || at->address + (at->end - at->start) <= old)
			continue;
		bool fits = area && area->region == i && at->address == old && at->start == area->start;
		*at = fits ? (struct place){(uint64_t)address, area->start, area->end, walk.pid} : (struct place){0};
		if (!fits || !drop(area, (uint64_t)address))
			empty(address, size);
	}
}

MARTLET_BEFORE_LIBC void *mremap(void *old, size_t old_size, size_t size, int flags, ...)
{
	__builtin_va_list arguments;

	__builtin_va_start(arguments, flags);
	void *address = flags & MREMAP_FIXED ? __builtin_va_arg(arguments, void *) : NULL;
	__builtin_va_end(arguments);
	void *moved = flags & MREMAP_FIXED ? next_mremap()(old, old_size, size, flags, address)
					   : next_mremap()(old, old_size, size, flags);
	if (moved != MAP_FAILED && common.head && (flags & MREMAP_FIXED) && old_size == size)
		inherit((uint64_t)old, size, moved);
	return moved;
}
