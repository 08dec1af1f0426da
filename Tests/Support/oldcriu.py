#!/usr/bin/env python3
"""A CRIU that is 3.17 and can do nothing else: for what Martlet says to that."""
import socket
import sys

if sys.argv[1:] != ["swrk", "3"]:
    sys.exit(1)
server = socket.socket(fileno=3)
if server.recv(65536):
    # criu_resp: type VERSION, success, version {major 3, minor 17} (images/rpc.proto)
    server.send(bytes([1 << 3, 10, 2 << 3, 1, 10 << 3 | 2, 4, 1 << 3, 3, 2 << 3, 17]))
