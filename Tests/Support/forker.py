"""Forks, and keeps parent and children busy with pipes, timers and shared memory, checking itself all the time.

usage: forker.py PORT
Answers each line at the port with "ok ROUNDS TICKS CHILDREN" or "bad WORDS".

A token goes from the parent through a pipe to each child and comes back through another. The child counts it in shared memory and in its
own; every fifth round the parent lets one child go and forks another. A timer counts ticks by a signal.
"""
import mmap
import os
import signal
import socket
import struct
import sys
import threading
import time

CHILDREN = 3
WORD = struct.Struct("=Q")
shared = mmap.mmap(-1, 4096 * CHILDREN)
ticks, rounds, problem = 0, 0, None
# The parent's ends of all pipes.
ends = set()


def count_of(slot):
    return WORD.unpack_from(shared, 4096 * slot)[0]


class Child:
    def __init__(self, slot, begin):
        self.slot, self.sent = slot, begin
        down_read, self.down = os.pipe()
        self.up, up_write = os.pipe()
        ends.update((self.down, self.up))
        self.pid = os.fork()
        if self.pid == 0:
            # Our own and those of its siblings: a pipe ends when nobody holds it any more.
            for end in ends:
                os.close(end)
            child(slot, begin, down_read, up_write)
        os.close(down_read)
        os.close(up_write)

    def round(self):
        self.sent += 1
        os.write(self.down, WORD.pack(self.sent))
        token, counted = struct.unpack("=QQ", os.read(self.up, 16))
        if token != self.sent or counted != self.sent or count_of(self.slot) != self.sent:
            return f"child {self.slot}: sent {self.sent}, came {token}, its own {counted}, shared {count_of(self.slot)}"
        return None

    def end(self):
        for end in (self.down, self.up):
            os.close(end)
            ends.remove(end)
        _, status = os.waitpid(self.pid, 0)
        return None if status == 0 else f"child {self.slot} ended with {status}"


def child(slot, counted, down, up):
    """Ends when the parent closes the pipe."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    keep = bytearray(os.urandom(1 << 20))
    total = sum(keep)
    while True:
        token = os.read(down, 8)
        if not token:
            os._exit(0 if sum(keep) == total else 3)
        counted += 1
        WORD.pack_into(shared, 4096 * slot, count_of(slot) + 1)
        os.write(up, token + WORD.pack(counted))


def tick(*_):
    global ticks
    ticks += 1


def serve(port):
    listener = socket.create_server(("0.0.0.0", port))
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(5)
            try:
                connection.recv(100)
                answer = f"bad {problem}" if problem else f"ok {rounds} {ticks} {CHILDREN}"
                connection.sendall(answer.encode() + b"\n")
            except OSError:
                pass


def main():
    global rounds, problem
    signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    children = [Child(slot, 0) for slot in range(CHILDREN)]
    # Only now a thread: a child of a process with threads would have to be careful.
    threading.Thread(target=serve, args=(int(sys.argv[1]),), daemon=True).start()
    while problem is None:
        for each in children:
            problem = problem or each.round()
        rounds += 1
        if rounds % 5 == 0:
            old = children.pop(0)
            problem = problem or old.end()
            children.append(Child(old.slot, old.sent))
        time.sleep(0.01)
    while True:
        time.sleep(1)


main()
