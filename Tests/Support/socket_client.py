#!/usr/bin/env python3
"""Clients of sockets.py; tells what they noticed. Works until SIGTERM, then prints one JSON object:

errors        what must not happen, in words: resets, lost, doubled, disordered or wrong data
stalls_ms     longest time without an answer, by kind of client
datagrams     {sent, lost, doubled}
connections   opened and answered by those that open one for each request

usage: socket_client.py ADDRESS[,ADDRESS...] PORT [--idle N] [--only KIND,...]
"""
import argparse
import json
import os
import signal
import socket
import struct
import threading
import time

p = argparse.ArgumentParser()
p.add_argument("addresses")
p.add_argument("port", type=int)
p.add_argument("--idle", type=int, default=20)
p.add_argument("--only", default="closed,open,fresh,slow,flood,datagrams,half,watched")
a = p.parse_args()
addresses, kinds = a.addresses.split(","), a.only.split(",")
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
errors, stalls, fresh = [], {}, {"opened": 0}
datagrams = {"sent": 0, "lost": 0, "doubled": 0}
lock = threading.Lock()


def wrong(words):
    with lock:
        errors.append(words)


def connect(address, port):
    s = socket.create_connection((address, port), timeout=30)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def ask(s, line, what):
    s.sendall(line + b"\n")
    answer = b""
    while not answer.endswith(b"\n"):
        data = s.recv(65536)
        if not data:
            raise OSError("closed")
        answer += data
    if answer != line + b"\n" and line != b"state":
        wrong(f"{what}: {line!r} was answered by {answer!r}")
    return answer


def note(what, gap):
    with lock:
        stalls[what] = round(max(stalls.get(what, 0), gap * 1000), 1)


def guarded(body, what):
    def run():
        try:
            body(what)
        except Exception as e:
            wrong(f"{what}: {type(e).__name__} {e}")

    return run


def closed_loop(address):
    def body(what):
        s, number, last = connect(address, a.port), 0, None
        while not stop.is_set():
            ask(s, b"%d" % number, what)
            number += 1
            now = time.monotonic()
            if last:
                note(what, now - last)
            last = now

    return body


def open_loop(address):
    """Sends whether or not answers come; each answer's age counts."""
    def body(what):
        s, sent, times = connect(address, a.port), 0, {}

        def send():
            nonlocal sent
            while not stop.is_set():
                times[sent] = time.monotonic()
                s.sendall(b"%d\n" % sent)
                sent += 1
                time.sleep(0.002)
            s.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        rest, due = b"", 0
        while data := s.recv(65536):
            rest += data
            *lines, rest = rest.split(b"\n")
            for line in lines:
                if int(line) != due:
                    raise OSError(f"{line!r} came, {due} was due")
                note(what, time.monotonic() - times.pop(due))
                due += 1
        sender.join()
        if due != sent:
            raise OSError(f"{due} of {sent} answers came")

    return body


def fresh_connections(address):
    def body(what):
        while not stop.is_set():
            began = time.monotonic()
            s = connect(address, a.port)
            ask(s, b"hello", what)
            s.close()
            note(what, time.monotonic() - began)
            fresh["opened"] += 1
            time.sleep(0.002)

    return body


def slow_accept(address):
    """Several at a time, so that there are always connections that nobody has accepted."""
    def body(what):
        while not stop.is_set():
            s = connect(address, a.port + 4)
            if s.recv(64) != b"accepted\n":
                wrong(f"{what}: was not answered")
            s.close()

    return body


def flood(address):
    def body(what):
        s, due, rest, last = connect(address, a.port + 1), 0, b"", None
        while not stop.is_set():
            data = s.recv(1 << 20)
            now = time.monotonic()
            if last:
                note(what, now - last)
            last = now
            if not data:
                raise OSError("closed")
            rest += data
            count = len(rest) // 8
            if struct.unpack(f">{count}Q", rest[:count * 8]) != tuple(range(due, due + count)):
                raise OSError(f"numbers from {due} on are wrong")
            due, rest = due + count, rest[count * 8:]

    return body


def datagram_loop(address):
    def body(what):
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        s.connect((address, a.port + 2))
        s.settimeout(0.5)
        seen, sent = {}, 0

        def receive():
            while True:
                try:
                    number = int(s.recv(64))
                except socket.timeout:
                    if stop.is_set():
                        return
                    continue
                seen[number] = seen.get(number, 0) + 1

        receiver = threading.Thread(target=receive)
        receiver.start()
        while not stop.is_set():
            s.send(b"%d" % sent)
            sent += 1
            time.sleep(0.002)
        receiver.join()
        with lock:
            datagrams["sent"] += sent
            datagrams["lost"] += sum(1 for n in range(sent) if n not in seen)
            datagrams["doubled"] += sum(1 for n in seen.values() if n > 1)

    return body


def main():
    idle = [connect(addresses[n % len(addresses)], a.port) for n in range(a.idle)]
    for n, s in enumerate(idle):
        ask(s, b"%d" % n, "idle")
    half = []
    if "half" in kinds:
        for n in range(5):
            s = connect(addresses[n % len(addresses)], a.port + 3)
            s.sendall(b"x" * (1000 + n))
            s.shutdown(socket.SHUT_WR)
            half.append(s)
    watched = [connect(addresses[n % len(addresses)], a.port + 5) for n in range(40 if "watched" in kinds else 0)]
    for n, s in enumerate(watched):
        ask(s, b"watched %d" % n, "watched")
    inside = int(ask(idle[0], b"state", "inside")) if idle else 0
    bodies = {
        "closed": closed_loop, "open": open_loop, "fresh": fresh_connections, "flood": flood, "datagrams": datagram_loop,
    }
    threads = []
    for address in addresses:
        for kind in bodies.keys() & set(kinds):
            threads.append(threading.Thread(target=guarded(bodies[kind](address), f"{kind} {address}")))
    if "slow" in kinds:
        threads += [threading.Thread(target=guarded(slow_accept(addresses[0]), "slow")) for _ in range(3)]
    for t in threads:
        t.start()
    print(json.dumps({"event": "connected", "pid": os.getpid()}), flush=True)
    while not stop.wait(0.2):
        pass
    for t in threads:
        t.join()
    for n, s in enumerate(idle):
        try:
            ask(s, b"again %d" % n, "idle")
        except OSError as e:
            wrong(f"idle {n}: {e}")
    for n, s in enumerate(watched):
        try:
            ask(s, b"still watched %d" % n, "watched")
        except OSError as e:
            wrong(f"watched {n}: {e}")
    if idle and int(ask(idle[0], b"state", "inside")) <= inside:
        wrong("the connection inside stands still")
    if half:
        ask(idle[0] if idle else connect(addresses[0], a.port), b"finish", "half")
    for n, s in enumerate(half):
        try:
            answer = s.makefile("rb").readline()
            if answer != b"%d\n" % (1000 + n):
                wrong(f"half closed: {answer!r} came, {1000 + n} was due")
        except OSError as e:
            wrong(f"half closed: {e}")
    print(json.dumps({
        "event": "done", "errors": errors[:20], "stalls_ms": stalls, "datagrams": datagrams, "connections": fresh["opened"],
        "idle": len(idle),
    }), flush=True)


main()
