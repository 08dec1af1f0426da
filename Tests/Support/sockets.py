#!/usr/bin/env python3
"""A server with every kind of connection that a container may have when it moves. For ports from the first argument on:

+0  echo: a line comes back; `finish` answers those of +3 who wait; `state` tells of the connection inside
+1  flood: numbers of eight bytes, one behind the other, as fast as the client takes them (20 MB/s at most)
+2  datagrams come back
+3  half closed: reads to the end, then waits for `finish` to say how many bytes came
+4  accepts one connection in 30 ms and answers with a line
+5  echo by epoll, where every other connection is watched under a number that is now another socket's

Inside, two of its own threads count to each other over 127.0.0.1. IPv4 and IPv6. Only the standard library.
"""
import os
import select
import selectors
import socket
import struct
import sys
import threading
import time

base = int(sys.argv[1])
finish = threading.Event()
inside = [0]


def listen(port, kind=socket.SOCK_STREAM):
    s = socket.socket(socket.AF_INET6, kind)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("::", port))
    if kind == socket.SOCK_STREAM:
        s.listen(512)
    return s


def echo(port):
    """One thread for all: 1,000 idle connections are 1,000 sockets, not as many threads."""
    poll = selectors.DefaultSelector()
    door = listen(port)
    poll.register(door, selectors.EVENT_READ, None)
    while True:
        for key, _ in poll.select():
            if key.data is None:
                s, _ = door.accept()
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                poll.register(s, selectors.EVENT_READ, bytearray())
                continue
            try:
                data = key.fileobj.recv(65536)
            except OSError:
                data = b""
            if not data:
                poll.unregister(key.fileobj)
                key.fileobj.close()
                continue
            key.data.extend(data)
            while b"\n" in key.data:
                line, rest = bytes(key.data).split(b"\n", 1)
                key.data[:] = rest
                if line == b"finish":
                    finish.set()
                if line == b"state":
                    line = b"%d" % inside[0]
                key.fileobj.sendall(line + b"\n")


def each(port, body):
    door = listen(port)
    while True:
        s, _ = door.accept()
        threading.Thread(target=body, args=(s,), daemon=True).start()


def flood(s):
    number = 0
    try:
        while True:
            s.sendall(struct.pack(">2500Q", *range(number, number + 2500)))
            number += 2500
            time.sleep(0.001)
    except OSError:
        s.close()


def half(s):
    count = 0
    while data := s.recv(65536):
        count += len(data)
    finish.wait()
    s.sendall(b"%d\n" % count)
    s.close()


def datagrams(port):
    s = listen(port, socket.SOCK_DGRAM)
    while True:
        data, peer = s.recvfrom(2048)
        s.sendto(data, peer)


def slow(port):
    door = listen(port)
    while True:
        s, _ = door.accept()
        s.sendall(b"accepted\n")
        s.close()
        time.sleep(0.03)


def watched(port):
    door, poll, answers, others = listen(port), select.epoll(), {}, []
    poll.register(door.fileno(), select.EPOLLIN)
    while True:
        for number, _ in poll.poll():
            if number == door.fileno():
                fd = door.accept()[0].detach()
                poll.register(fd, select.EPOLLIN)
                answers[fd] = os.dup(fd)
                if len(answers) % 2:
                    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    os.dup2(other.fileno(), fd)
                    others.append(other)
                continue
            data = os.read(answers[number], 4096)
            os.write(answers[number], data)
            if not data:  # such a registration can only be taken back with the number that it was made for
                os.dup2(answers[number], number)
                poll.unregister(number)


def within():
    door = socket.create_server(("127.0.0.1", 0))
    here = socket.create_connection(door.getsockname())
    there, _ = door.accept()

    def answer():
        while data := there.recv(8, socket.MSG_WAITALL):
            there.sendall(data)

    threading.Thread(target=answer, daemon=True).start()
    while True:
        here.sendall(struct.pack(">Q", inside[0]))
        came = struct.unpack(">Q", here.recv(8, socket.MSG_WAITALL))[0]
        assert came == inside[0]
        inside[0] += 1
        time.sleep(0.0005)


for body, arguments in [
    (each, (base + 1, flood)), (datagrams, (base + 2,)), (each, (base + 3, half)), (slow, (base + 4,)),
    (watched, (base + 5,)), (within, ()),
]:
    threading.Thread(target=body, args=arguments, daemon=True).start()
echo(base)
