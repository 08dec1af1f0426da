"""Fills a redis with about BYTES of values that compress badly.

usage: fill-redis.py ADDRESS PORT BYTES

Key "key:N" holds random.Random(N).randbytes(4000): any value can be checked
from its key alone. 4000 bytes and redis's header fill one 4096-byte slot.
"""
import random
import socket
import sys

VALUE, SLOT, BATCH = 4000, 4096, 256


def commands(first, last):
    for n in range(first, last):
        key = b"key:%d" % n
        yield b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (
            len(key), key, VALUE, random.Random(n).randbytes(VALUE))


def main():
    address, port, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    total = max(1, size // SLOT)
    with socket.create_connection((address, port)) as connection:
        replies = connection.makefile("rb")
        for first in range(0, total, BATCH):
            last = min(first + BATCH, total)
            connection.sendall(b"".join(commands(first, last)))
            for _ in range(last - first):
                reply = replies.readline()
                if reply != b"+OK\r\n":
                    sys.exit(f"redis answered {reply!r}")


main()
