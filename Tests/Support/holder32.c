/* A 32-bit program that counts into /tmp/n, without any library: `cc -m32` needs none for it. */
static int call(int number, int a, int b, int c)
{
	int result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
	return result;
}

enum { WRITE = 4, OPEN = 5, CLOSE = 6, RENAME = 38, NANOSLEEP = 162 };

void _start(void)
{
	static char digits[12];
	static const int nap[2] = {0, 50000000};

	for (unsigned n = 1;; n++) {
		char *at = digits + sizeof digits;
		*--at = '\n';
		for (unsigned rest = n; rest; rest /= 10)
			*--at = (char)('0' + rest % 10);
		int fd = call(OPEN, (int)"/tmp/n.new", 01101, 0600);
		call(WRITE, fd, (int)at, digits + sizeof digits - at);
		call(CLOSE, fd, 0, 0);
		call(RENAME, (int)"/tmp/n.new", (int)"/tmp/n", 0);
		call(NANOSLEEP, (int)nap, 0, 0);
	}
}
