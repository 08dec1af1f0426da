"""Everything on a lab host that a migration might leave behind, as one JSON object. Tests compare two of them."""
import json
import os
import subprocess


def text(path):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def names(folder):
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def ancestors():
    pids, pid = set(), os.getpid()
    while pid > 1:
        pids.add(pid)
        pid = int(text(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[1])
    return pids


def processes():
    ours = ancestors()
    for name in names("/proc"):
        if not name.isdigit() or int(name) in ours:
            continue
        stat = text(f"/proc/{name}/stat")
        # Zombies are what their parent has still to reap; init does it in a moment.
        if not stat or stat.rsplit(")", 1)[1].split()[0] in "ZX":
            continue
        group = [line[3:] for line in text(f"/proc/{name}/cgroup").splitlines() if line.startswith("0::")]
        yield {
            "pid": int(name),
            "cgroup": group[0] if group else "",
            "comm": text(f"/proc/{name}/comm").strip(),
            "arguments": text(f"/proc/{name}/cmdline").replace("\0", " ").strip(),
        }


def cgroups():
    root = "/sys/fs/cgroup"
    for folder, _, _ in os.walk(root):
        if folder != root:
            events = dict(line.split() for line in text(f"{folder}/cgroup.events").splitlines())
            yield {
                "path": folder[len(root):],
                "populated": events.get("populated") == "1",
                "frozen": events.get("frozen") == "1",
            }


def tables():
    answer = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True)
    return sorted(answer.stdout.splitlines())


def journals():
    """What a migration left to be finished or undone; an end without any output is good order."""
    answer = subprocess.run(["martlet", "status", "--json"], capture_output=True, text=True)
    return answer.stdout.splitlines()


FOLDERS = [
    "/run", "/run/martlet", "/run/martlet/sessions", "/run/runc", "/run/crun", "/run/netns", "/data", "/tmp", "/dev/shm",
    "/var/tmp",
]

print(json.dumps({
    "processes": list(processes()),
    "mounts": sorted(line.split()[4] for line in text("/proc/self/mountinfo").splitlines()),
    "cgroups": sorted(cgroups(), key=lambda group: group["path"]),
    "files": [f"{folder}/{name}" for folder in FOLDERS for name in names(folder)],
    "links": names("/sys/class/net"),
    "tables": tables(),
    "journals": journals(),
}))
