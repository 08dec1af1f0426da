"""Fills a redis with about BYTES of values.

usage: fill-redis.py ADDRESS PORT BYTES [noise|text]

Key "key:N" holds random.Random(N).randbytes(4000), which nothing packs, or
4000 bytes of words in an order by the same seed: any value can be checked from
its key alone. 4000 bytes and redis's header fill one 4096-byte slot.
"""
import random
import socket
import sys

VALUE, SLOT, BATCH = 4000, 4096, 256
# A small vocabulary with numbers between, as in JSON documents: lz4 leaves 29 % of it, zstd 18 %.
WORDS = [random.Random(seed).randbytes(3 + seed % 7).hex().encode() for seed in range(600)]


def noise(n):
    return random.Random(n).randbytes(VALUE)


def text(n):
    some = random.Random(n)
    return b" ".join(some.choices(WORDS, k=VALUE // 8)).ljust(VALUE, b".")[:VALUE]


def commands(first, last, value):
    for n in range(first, last):
        key = b"key:%d" % n
        yield b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (
            len(key), key, VALUE, value(n))


def main():
    address, port, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    value = text if sys.argv[4:] == ["text"] else noise
    total = max(1, size // SLOT)
    with socket.create_connection((address, port)) as connection:
        replies = connection.makefile("rb")
        for first in range(0, total, BATCH):
            last = min(first + BATCH, total)
            connection.sendall(b"".join(commands(first, last, value)))
            for _ in range(last - first):
                reply = replies.readline()
                if reply != b"+OK\r\n":
                    sys.exit(f"redis answered {reply!r}")


main()
