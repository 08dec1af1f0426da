#!/usr/bin/env python3
"""A redis client that tells what a user would have noticed of a migration.

Writes numbered values and reads each back, polls on a second connection every millisecond, and reconnects when a connection breaks.
At the end (SIGTERM, or --seconds) it reads every acknowledged value again. Prints one JSON object:

    writes        acknowledged writes
    lost          acknowledged values that are missing or differ
    wrong_reads   values that read back differently right after the write
    reconnects    connections that broke
    longest_gap_ms    longest time between two replies, either connection
    poll_gap_ms       longest time between two replies to the poller
    poll_gaps_ms      all gaps of the poller of at least 5 ms, in order
    throughput    acknowledged operations per second in windows of --window seconds: [[start, ops/s], ...]

Only the Python standard library, so that it runs on any host.
"""
import argparse
import json
import os
import select
import signal
import socket
import threading
import time

stop = threading.Event()


class Connection:
    """One connection that is opened again when it breaks, with the shortest waits that do not spin."""

    def __init__(self, address):
        self.address = address
        self.socket = None
        self.reconnects = -1
        self.buffer = b""

    def ensure(self):
        while self.socket is None and not stop.is_set():
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A SYN that is lost in the blackout is repeated after a second: give up sooner and try again.
            s.settimeout(0.05)
            try:
                s.connect(self.address)
            except OSError:
                s.close()
                time.sleep(0.001)
                continue
            s.settimeout(None)
            self.socket, self.buffer = s, b""
            self.reconnects += 1

    def drop(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def call(self, *words):
        """One command and its reply, or None when the connection broke (the command may or may not have happened)."""
        self.ensure()
        if self.socket is None:
            return None
        request = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
        try:
            self.socket.sendall(request)
            return self.reply()
        except OSError:
            self.drop()
            return None

    def insist(self, *words):
        """A command that may happen twice: again until there is a reply, for ten tries."""
        for _ in range(10):
            answer = self.call(*words)
            if answer is not None:
                return answer
        return None

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def more(self):
        # A server that vanished without a word never answers: its new place must be asked over a new connection.
        # Three seconds is far above any downtime that is measured here.
        if not select.select([self.socket], [], [], 3)[0]:
            raise OSError("no answer")
        data = self.socket.recv(65536)
        if not data:
            raise OSError("closed")
        self.buffer += data

    def reply(self):
        line = self.line()
        if line[:1] == b"$":
            length = int(line[1:])
            if length < 0:
                return b""
            while len(self.buffer) < length + 2:
                self.more()
            value, self.buffer = self.buffer[:length], self.buffer[length + 2:]
            return value
        if line[:1] == b"-":
            raise OSError(line.decode())
        return line[1:]


def value_of(number, size):
    seed = b"%d:" % number
    return (seed * (size // len(seed) + 1))[:size]


def writer(connection, arguments, result):
    number, last = 0, time.monotonic()
    window_start, window_ops = last, 0
    began = last
    while not stop.is_set():
        key, value = b"%s:%d" % (arguments.prefix, number), value_of(number, arguments.size)
        if connection.call(b"SET", key, value) is not None:
            now = time.monotonic()
            result["gap"] = max(result["gap"], now - last)
            last = now
            result["writes"] = number + 1
            read = connection.call(b"GET", key)
            if read is not None:
                now = time.monotonic()
                result["gap"] = max(result["gap"], now - last)
                last = now
                if read != value:
                    result["wrong"] += 1
            number += 1
            window_ops += 1
        if last - window_start >= arguments.window:
            result["throughput"].append([round(window_start - began, 3), round(window_ops / (last - window_start), 1)])
            window_start, window_ops = last, 0
        if arguments.pause:
            time.sleep(arguments.pause)


def poller(connection, result):
    last = None
    while not stop.is_set():
        if connection.call(b"PING") is not None:
            now = time.monotonic()
            if last is not None:
                gap = now - last
                result["poll_gap"] = max(result["poll_gap"], gap)
                if gap >= 0.005:
                    result["gaps"].append(round(gap * 1000, 2))
            last = now
        time.sleep(0.001)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("host")
    p.add_argument("--port", type=int, default=6379)
    p.add_argument("--prefix", type=str.encode, default=b"watch")
    p.add_argument("--size", type=int, default=128, help="bytes a value")
    p.add_argument("--pause", type=float, default=0.0, help="seconds between two writes")
    p.add_argument("--seconds", type=float, default=0.0, help="stop by itself after this time")
    p.add_argument("--window", type=float, default=0.5, help="seconds a throughput sample")
    p.add_argument("--no-writer", action="store_true", help="poll only")
    p.add_argument("--keep", action="store_true", help="leave the written keys in place")
    a = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())

    result = {"writes": 0, "wrong": 0, "gap": 0.0, "poll_gap": 0.0, "gaps": [], "throughput": []}
    address = (a.host, a.port)
    connections = [Connection(address), Connection(address)]
    threads = [threading.Thread(target=poller, args=(connections[0], result))]
    if not a.no_writer:
        threads.append(threading.Thread(target=writer, args=(connections[1], a, result)))
    connections[0].ensure()
    print(json.dumps({"event": "watching", "pid": os.getpid()}), flush=True)
    for t in threads:
        t.start()
    if a.seconds:
        stop.wait(a.seconds)
    while not stop.wait(0.2):
        pass
    for t in threads:
        t.join()

    stop.clear()
    lost, check = 0, Connection(address)
    for n in range(result["writes"]):
        key = b"%s:%d" % (a.prefix, n)
        if check.insist(b"GET", key) != value_of(n, a.size):
            lost += 1
        if not a.keep:
            check.insist(b"DEL", key)
    # The write that was in flight when we stopped may have happened without its reply.
    if not a.keep:
        check.insist(b"DEL", b"%s:%d" % (a.prefix, result["writes"]))
    print(json.dumps({
        "event": "watched", "writes": result["writes"], "lost": lost, "wrong_reads": result["wrong"],
        "reconnects": sum(max(c.reconnects, 0) for c in connections),
        "longest_gap_ms": round(max(result["gap"], result["poll_gap"]) * 1000, 2),
        "poll_gap_ms": round(result["poll_gap"] * 1000, 2), "poll_gaps_ms": result["gaps"],
        "throughput": result["throughput"],
    }), flush=True)


main()
