"""Rewrites a few bytes in every value of a redis that lab/redis has filled, at random and at a steady pace; or checks it all.

usage: redis_churn.py write ADDRESS MEGABYTES RATE   until the connection ends; RATE in values a second, each a page of its own
       redis_churn.py check ADDRESS MEGABYTES        exit 1 and words if a byte outside of the rewritten ones is wrong
"""
import random
import socket
import sys
import time

VALUE, SLOT, PLACE, LENGTH, BATCH = 4000, 4096, 2000, 16, 64


def connect(address):
    connection = socket.create_connection((address, 6379), timeout=30)
    return connection, connection.makefile("rb")


def command(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def write(address, count, rate):
    connection, replies = connect(address)
    chance, due = random.Random(), time.monotonic()
    print("writing", flush=True)
    while True:
        connection.sendall(b"".join(
            command(b"SETRANGE", b"key:%d" % chance.randrange(count), b"%d" % PLACE, chance.randbytes(LENGTH))
            for _ in range(BATCH)))
        for _ in range(BATCH):
            if not replies.readline():
                return
        due = max(due + BATCH / rate, time.monotonic() - 0.1)
        time.sleep(max(due - time.monotonic(), 0))


def check(address, count):
    connection, replies = connect(address)
    for number in range(count):
        connection.sendall(command(b"GET", b"key:%d" % number))
        head = replies.readline()
        value = replies.read(VALUE + 2)[:VALUE]
        wanted = random.Random(number).randbytes(VALUE)
        if value[:PLACE] != wanted[:PLACE] or value[PLACE + LENGTH:] != wanted[PLACE + LENGTH:]:
            sys.exit(f"key:{number} is wrong: {head!r}")
    print("right")


words = sys.argv[1:]
values = max(1, (int(words[2]) << 20) // SLOT)
try:
    if words[0] == "write":
        write(words[1], values, int(words[3]))
    else:
        check(words[1], values)
except (ConnectionError, TimeoutError) as error:
    sys.exit(f"{words[0]}: {error}")
