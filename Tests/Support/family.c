/*
 * Processes that have memory in common by fork, write to some of it, give some of it back, and check every byte.
 *
 * usage: family PORT MEGABYTES CHILDREN
 * Answers each line at the port with "ok CHECKS PSS_KB RSS_KB" (of all processes together) or "bad WORDS".
 *
 * The parent fills an area and forks; each child writes to its own sixteenth of the pages, gives back another, and
 * the first has a child of its own. Behind their backs the parent writes to some pages and lets the area grow at both
 * ends, so that it no longer has the bounds that its children inherited. One more child lives for a tenth of a second at a time.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, MOST_CHILDREN = 8, ZERO = 255, GROWN = 16 * PAGE };

static uint8_t *area, *heap;
static size_t pages, heap_pages;
/* What each page must have in this process: who wrote it last, or ZERO. */
static uint8_t *owner, *heap_owner;
static int me;
static uint64_t checks;

struct answer {
	uint64_t pss, rss;
	char problem[96];
};
static struct child {
	pid_t pid;
	int down, up;
} children[MOST_CHILDREN];

static uint64_t mixed(uint64_t x)
{
	x ^= x >> 30, x *= 0xbf58476d1ce4e5b9, x ^= x >> 27, x *= 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static uint64_t word(size_t page, int by, size_t index) { return mixed((uint64_t)by << 56 | page << 10 | index); }

static void stamp(uint8_t *base, uint8_t *owners, size_t page, int by)
{
	uint64_t *words = (uint64_t *)(base + page * PAGE);

	for (size_t i = 0; i < PAGE / 8; i++)
		words[i] = word(page, by, i);
	owners[page] = (uint8_t)by;
}

static bool verify(const char *name, const uint8_t *base, const uint8_t *owners, size_t count, char *problem)
{
	for (size_t page = 0; page < count; page++) {
		const uint64_t *words = (const uint64_t *)(base + page * PAGE);
		for (size_t i = 0; i < PAGE / 8; i++) {
			uint64_t wanted = owners[page] == ZERO ? 0 : word(page, owners[page], i);
			if (words[i] == wanted)
				continue;
			snprintf(problem, 96, "process %d: %s page %zu of owner %d, word %zu is %lx", me, name, page, owners[page], i,
				 words[i]);
			return false;
		}
	}
	return true;
}

static void read_usage(struct answer *answer)
{
	char line[256];
	FILE *file = fopen("/proc/self/smaps_rollup", "re");

	while (file && fgets(line, sizeof line, file)) {
		sscanf(line, "Pss: %lu", &answer->pss);
		sscanf(line, "Rss: %lu", &answer->rss);
	}
	if (file)
		fclose(file);
}

static struct answer check(void)
{
	struct answer answer = {0};

	read_usage(&answer); /* before pages of zeros are read, which makes them resident */
	if (verify("area", area, owner, pages, answer.problem))
		verify("heap", heap, heap_owner, heap_pages, answer.problem);
	return answer;
}

/* Answers a parent until it ends. */
static void serve(int down, int up, struct child *own)
{
	char order;

	while (read(down, &order, 1) == 1) {
		struct answer answer = check(), below = {0};
		if (own) {
			if (write(own->down, "?", 1) != 1 || read(own->up, &below, sizeof below) != sizeof below)
				strcpy(answer.problem, "a grandchild does not answer");
			answer.pss += below.pss;
			answer.rss += below.rss;
			if (below.problem[0])
				memcpy(answer.problem, below.problem, sizeof answer.problem);
		}
		/* Life goes on: a page that is ours. */
		stamp(area, owner, (size_t)me, me);
		if (write(up, &answer, sizeof answer) != sizeof answer)
			break;
	}
	_exit(0);
}

/* A child writes to its pages and gives some back. */
static void diverge(int number)
{
	me = number;
	prctl(PR_SET_PDEATHSIG, 9);
	for (size_t page = (size_t)number; page < pages; page += 16)
		stamp(area, owner, page, number);
	for (size_t page = (size_t)number + 8; number < 8 && page < pages; page += 16) {
		madvise(area + page * PAGE, PAGE, MADV_DONTNEED);
		owner[page] = ZERO;
	}
	uint8_t *more = malloc(1 << 20); /* its heap grows, the others' don't */
	memset(more, number, 1 << 20);
}

static void live(int number, int down, int up)
{
	struct child below = {0};

	diverge(number);
	if (number == 1) {
		int to[2], from[2];
		if (pipe(to) != 0 || pipe(from) != 0)
			_exit(1);
		if ((below.pid = fork()) == 0) {
			diverge(8);
			serve(to[0], from[1], NULL);
		}
		below.down = to[1];
		below.up = from[0];
	}
	serve(down, up, below.pid ? &below : NULL);
}

static void begin(int number)
{
	int to[2], from[2];

	if (pipe(to) != 0 || pipe(from) != 0)
		exit(1);
	if ((children[number - 1].pid = fork()) == 0)
		live(number, to[0], from[1]);
	children[number - 1].down = to[1];
	children[number - 1].up = from[0];
	close(to[0]);
	close(from[1]);
}

/* Lives for a moment: one that is born between two looks at the container. */
static void begin_brief(void)
{
	if (fork() != 0)
		return;
	me = 9;
	prctl(PR_SET_PDEATHSIG, 9);
	usleep(100000);
	_exit(check().problem[0] ? 1 : 0);
}

static void answer_line(int connection, int count, const char *problem)
{
	struct answer sum = check(), one;
	char text[256];

	for (int i = 0; i < count; i++) {
		if (write(children[i].down, "?", 1) != 1 || read(children[i].up, &one, sizeof one) != sizeof one)
			snprintf(one.problem, sizeof one.problem, "child %d does not answer", i + 1);
		sum.pss += one.pss;
		sum.rss += one.rss;
		if (one.problem[0])
			memcpy(sum.problem, one.problem, sizeof sum.problem);
	}
	if (problem)
		snprintf(sum.problem, sizeof sum.problem, "%s", problem);
	if (sum.problem[0])
		snprintf(text, sizeof text, "bad %s\n", sum.problem);
	else
		snprintf(text, sizeof text, "ok %lu %lu %lu\n", ++checks, sum.pss, sum.rss);
	if (write(connection, text, strlen(text)) < 0)
		return;
}

static int listening(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 8) != 0) {
		perror("listen");
		exit(1);
	}
	return listener;
}

static void *mapped(void *at, size_t size)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED_NOREPLACE : 0);
	void *address = mmap(at, size, PROT_READ | PROT_WRITE, flags, -1, 0);

	if (address == MAP_FAILED && !at)
		exit(1);
	return address;
}

int main(int count, char **words)
{
	if (count != 4)
		return 2;
	int listener = listening(atoi(words[1])), number = atoi(words[3]);
	const char *problem = NULL;
	char line[64];

	pages = (size_t)atol(words[2]) << 8;
	heap_pages = 512;
	/* Room at both ends, so that the area can grow later. */
	area = (uint8_t *)mapped(NULL, pages * PAGE + 2 * GROWN) + GROWN;
	munmap(area - GROWN, GROWN);
	munmap(area + pages * PAGE, GROWN);
	owner = calloc(pages, 1);
	heap_owner = calloc(heap_pages, 1);
	heap = sbrk(0);
	heap = sbrk((intptr_t)(-(uintptr_t)heap & (PAGE - 1)) + (intptr_t)heap_pages * PAGE);
	heap = (uint8_t *)(((uintptr_t)heap + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
	for (size_t page = 0; page < pages; page++)
		stamp(area, owner, page, 100);
	for (size_t page = 0; page < heap_pages; page++)
		stamp(heap, heap_owner, page, 100);
	for (int i = 1; i <= number && i <= MOST_CHILDREN - 1; i++)
		begin(i);
	mapped(area - GROWN, GROWN);
	mapped(area + pages * PAGE, GROWN);
	for (size_t page = 13; page < pages; page += 64)
		stamp(area, owner, page, 101);

	for (;;) {
		struct pollfd wait = {.fd = listener, .events = POLLIN};
		int status;
		pid_t ended;
		if (poll(&wait, 1, 100) == 1) {
			int connection = accept(listener, NULL, NULL);
			if (connection >= 0 && read(connection, line, sizeof line) >= 0)
				answer_line(connection, number, problem);
			close(connection);
		}
		bool has_ended = false;
		while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
			if (status != 0)
				problem = "a child found other bytes than it should";
			has_ended = true;
		}
		static bool is_begun;
		if (has_ended || !is_begun)
			begin_brief();
		is_begun = true;
	}
}
