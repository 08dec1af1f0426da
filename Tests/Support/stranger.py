"""Peers that a martlet must not fall over, for the lab's tests. Prints one line when it is ready, and one of what it saw.

    dial HOST PORT KIND      a source:      old, new (another protocol version), bad-kind, too-long, no-json (under TLS)
    listen PORT KIND         an agent:      old, new, silent, noise, closes, bad-kind, too-long, no-json (under TLS)
    between PORT HOST PORT ROLE BYTES       passes on, and flips one bit behind so many bytes of the first connection of a role:
                                            1 control, 2 data, 3 files; a negative number means the way back
"""
import os
import socket
import ssl
import struct
import sys
import threading

CREDENTIALS = "/etc/martlet"
VERSION = 1


def preamble(version, role=1):
    return b"MARTLET\n" + struct.pack("<HBBI", version, role, 0, 0) + os.urandom(16)


def refusal(version):
    return b"MARTLET!" + struct.pack("<HBB", version, 1, 0) + b"speaks another".ljust(20, b"\0")


def told(answer):
    if answer[:8] == b"MARTLET!":
        version, code = struct.unpack("<HB", answer[8:11])
        return "refused version=%d code=%d note=%s" % (version, code, answer[12:].rstrip(b"\0").decode())
    return "answered %r" % answer[:32]


def exactly(peer, count):
    data = b""
    while len(data) < count:
        piece = peer.recv(count - len(data))
        if not piece:
            break
        data += piece
    return data


NONSENSE = {
    "bad-kind": struct.pack("<IBBH", 4, 77, 0, 0) + b"what",
    "too-long": struct.pack("<IBBH", 0xfffffff0, 1, 0, 0),
    "no-json": struct.pack("<IBBH", 9, 1, 0, 0) + b'{"message',
}


def secure(peer, server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(CREDENTIALS + "/host.pem", CREDENTIALS + "/host.key")
    context.load_verify_locations(CREDENTIALS + "/authority.pem")
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context.wrap_socket(peer, server_side=server)


def dial(host, port, kind):
    peer = socket.create_connection((host, int(port)), timeout=10)
    first = preamble({"old": VERSION - 1, "new": VERSION + 1}.get(kind, VERSION))
    peer.sendall(first)
    if kind in NONSENSE:
        peer = secure(peer, False)
        exactly(peer, 32)
        peer.sendall(first)
        peer.sendall(NONSENSE[kind])
        data = b"".join(iter(lambda: quiet(peer), b""))
        return print("closed", data[8:200], flush=True)
    print(told(exactly(peer, 32)), flush=True)


def quiet(peer):
    try:
        return peer.recv(4096)
    except OSError:
        return b""


def serve(port, handle):
    listener = socket.create_server(("", int(port)), reuse_port=False)
    print("ready", flush=True)
    while True:
        peer, _ = listener.accept()
        threading.Thread(target=handle, args=(peer,), daemon=True).start()


def listen(port, kind):
    def handle(peer):
        first = exactly(peer, 32)
        if kind in ("old", "new"):
            peer.sendall(refusal(VERSION - 1 if kind == "old" else VERSION + 1))
        elif kind == "noise":
            peer.sendall(os.urandom(4096))
        elif kind in NONSENSE:
            peer = secure(peer, True)
            peer.sendall(first)
            exactly(peer, 32)
            peer.sendall(NONSENSE[kind])
        if kind != "closes":
            while quiet(peer):
                pass
        peer.close()
    serve(port, handle)


def between(port, host, target, role, count):
    role, count, done = int(role), int(count), threading.Lock()

    def carry(source, sink, flip):
        seen = 0
        while True:
            data = quiet(source)
            if not data:
                break
            if flip is not None and seen <= flip < seen + len(data) and done.acquire(blocking=False):
                data = bytearray(data)
                data[flip - seen] ^= 4
                print("flipped", flush=True)
            seen += len(data)
            try:
                sink.sendall(data)
            except OSError:
                break
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def handle(peer):
        first = exactly(peer, 32)
        if len(first) < 32:
            return
        other = socket.create_connection((host, int(target)))
        other.sendall(first)
        mine = first[10] == role
        threading.Thread(
            target=carry, args=(other, peer, -count if mine and count < 0 else None), daemon=True).start()
        carry(peer, other, count if mine and count >= 0 else None)
    serve(port, handle)


{"dial": dial, "listen": listen, "between": between}[sys.argv[1]](*sys.argv[2:])
