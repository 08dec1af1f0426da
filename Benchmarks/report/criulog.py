"""What CRIU's own log (verbosity 4) tells of the time it took: a line's stamp is when it was written, so what lies before a line was its work."""
import re

STAMPED = re.compile(r"^\((\d+\.\d+)\)\s+(.*)")

# The first words of a part, in order of what CRIU does; a part lasts until another one begins.
DUMP = [
    (r"irmap: Searching|cpu: fpu|cg-prop: Parsing", "set up: irmap, processor, cgroup properties"),
    (r"Preparing image inventory|Add pid ns \d+ pid", "inventory, own namespaces"),
    (r"Detected cgroup V2 freezer|freezing cgroup|SEIZE |Seized task|Seizing ", "seize the threads"),
    (r"Will take \w+ namespace", "look at the namespaces"),
    (r"Running network-lock|net: Lock network|RPC NOTIFY", "network lock"),
    (r"type \w+ source|mnt: Building", "read the mounts"),
    (r"net: Collecting netns|net: Switching to|unix: |inet: |sockets: |packet: |netlink: ", "collect the sockets"),
    (r"Dumping task \(pid|Obtaining task stat", "a task: status"),
    (r"Collecting mappings|Handling VMA", "read the mappings (smaps)"),
    (r"Dump private signals|Parasite syscall_ip|Set up parasite|Putting parasite|rseq of", "infect the task with the parasite"),
    (r"Dumping opened files|Dumping path for|fdinfo|epoll: Dumping|Dumping pipe|Dumping data from pipe", "open files"),
    (r"pagemap-cache: created|Dumping pages|page-pipe", "find the pages to write"),
    (r"page-xfer|Transferring pages", "write the pages"),
    (r"Dumping parasite|dumping \d+ nice|cg: Dumping cgroups for thread|Wait for ack 76", "ask the parasite, take it out"),
    (r"Dumping core for thread|Dumping GP/FPU", "threads' registers"),
    (r"Dumping mm", "memory map"),
    (r"Dumping mntns|mnt: \t\d+: ", "write the mounts"),
    (r"Dumping 1\(\d+\)'s namespaces|Dump UTS", "UTS namespace"),
    (r"Dump IPC namespace|IPC s", "IPC namespace"),
    (r"Dump NET namespace|net: Dumping", "network namespace"),
    (r"Namespaces dump complete|cg: Writing|Writing image inventory", "write inventory and cgroups"),
]
RESTORE = [
    (r"CRIU run id|Version: ", "start, features of the kernel"),
    (r"Reading image tree|Collecting \d+/", "read the images"),
    (r"Running pre-restore scripts|cg: cgroud|mnt: Reading mountpoint", "cgroups, images of the mounts"),
    (r"Forking task with|Creating process using", "first task, in new namespaces"),
    (r"Running setup-namespaces", "notify: setup-namespaces"),
    (r"Restoring namespaces|kernel/hostname", "UTS namespace"),
    (r"Restoring IPC namespace", "IPC namespace"),
    (r"No netns-|net: ", "network namespace"),
    (r"mnt: Restoring mount namespace|mnt: Move the root|mnt-v2", "mount namespace: the mounts"),
    (r"Running post-setup-namespaces", "notify: post-setup-namespaces"),
    (r"Preparing info about shared|Found \d+ VMAs|Forking task|vma 0x", "prepare files and mappings"),
    (r"premap 0x", "map the memory"),
    (r"pr\d+-\d+ Read|Read piov", "read pages of the images"),
    (r"nr_restored_pages|Opening fdinfo|Create fd|Receive fd|Further fle", "open files"),
    (r"uffd: ", "userfaultfd"),
    (r"Restore via sigreturn|Parsed [0-9a-f]+-", "build the restorer"),
    (r"pie: \d+: (lazy-pages|Mapping native|Switched|Remap)", "restorer: remap the memory"),
    (r"pie: \d+: (Using clone3|rseq)|pie: \d+: \d+: Restored", "restorer: threads"),
    (r"Running post-restore scripts|mnt: Switching to new ns", "notify: post-restore; ghost files"),
    (r"Running network-unlock|net: Unlock", "notify: network-unlock"),
    (r"seccomp: mode|was trapped|is going to execute", "last system calls of the threads"),
    (r"Running pre-resume", "notify: pre-resume"),
]


def lines(text):
    for line in text.splitlines():
        found = STAMPED.match(line)
        if found:
            yield float(found[1]) * 1000, found[2].strip()


def parts(stamped, rules):
    """[name, start, end] in ms of the log, neighbours of one name together."""
    rules = [(re.compile(r"^(?:\d+: )?(?:%s)" % rule), name) for rule, name in rules]
    found, last = [], None
    for at, words in stamped:
        words = re.sub(r"^\d+:\s+", "", words)
        name = next((name for rule, name in rules if rule.match(words)), None)
        if last is not None:
            found[-1][2] = at
        if name and (not found or found[-1][0] != name):
            found.append([name, at, at])
        elif not found:
            found.append(["begin", at, at])
        last = at
    return found


def dump(text):
    """The parts behind the notification at which Martlet holds the dump, from 0 on; until the one at its end."""
    stamped = list(lines(text))
    begin = next((i for i, (_, words) in enumerate(stamped) if words.startswith("Running pre-dump")), 0)
    end = next((i for i, (_, words) in enumerate(stamped) if words.startswith("Running post-dump")), len(stamped) - 1)
    inside = [line for line in stamped[begin + 1:end + 1] if line[1] != "RPC" or line[0] > stamped[begin][0] + 1]
    start = inside[0][0] if inside else 0
    return [[name, first - start, last - start] for name, first, last in parts(inside, DUMP)]


def restore(text):
    """The parts, and when the notification came by which they are laid beside Martlet's clock (None if it isn't there)."""
    stamped = list(lines(text))
    anchor = next((at for at, words in stamped if words.startswith("Running post-setup-namespaces")), None)
    end = next((i for i, (_, words) in enumerate(stamped) if words.startswith("Running pre-resume")), len(stamped) - 1)
    return parts(stamped[:end + 1], RESTORE), anchor
