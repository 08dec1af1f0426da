"""Watches the memory of Martlet's processes in this host until SIGTERM, then prints the peaks as one line of JSON.

Own memory is every mapping's proportional share (Pss of /proc/PID/smaps) but the page store's: the memfd "martlet-pages", or a file in
the spill folder. The store's index, code and heap count. Sampled every 30 ms; a peak between two samples is missed.
"""
import json
import os
import signal
import socket
import sys
import time

STORE = ("/memfd:martlet-pages", "/var/lib/martlet/spill/")
over = False


def stop(*_):
    global over
    over = True


def role_of(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read().split(b"\0")
    return words[1].decode() if os.path.basename(words[0]) == b"martlet" and len(words) > 1 else None


def shares(pid):
    """(own, store) in bytes."""
    own = store = 0
    stored = False
    with open(f"/proc/{pid}/smaps", "r", errors="replace") as file:
        for line in file:
            first = line.split(" ", 1)[0]
            if not first.endswith(":"):
                stored = any(name in line for name in STORE)
            elif first == "Pss:":
                size = int(line.split()[1]) << 10
                if stored:
                    store += size
                else:
                    own += size
    return own, store


def main():
    signal.signal(signal.SIGTERM, stop)
    roles, total, store = {}, 0, 0
    print("watching", flush=True)
    while not over:
        sum_own = sum_store = 0
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                role = role_of(name)
                if role is None:
                    continue
                own, stored = shares(name)
            except (OSError, ProcessLookupError):
                continue
            roles[role] = max(roles.get(role, 0), own)
            sum_own += own
            sum_store += stored
        total, store = max(total, sum_own), max(store, sum_store)
        time.sleep(0.03)
    print(json.dumps({"host": socket.gethostname(), "total": total, "roles": roles, "store": store}))


sys.exit(main())
