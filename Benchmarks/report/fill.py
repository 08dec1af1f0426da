"""Moves a redis under a writer between the lab's hosts alpha and beta by several methods, and keeps what its clients saw while the memory was filled
in behind it: fill.py LAB-FOLDER RESULT.json GB RATE RUNS OTHER METHOD... (OTHER: another build of martlet to compare with, or nothing)"""
import json
import os
import statistics
import subprocess
import sys
import time

ID, ADDRESS, KEYS = "bench-fill", "10.77.1.92", 50_000
HOSTS = {"alpha": "10.77.0.1", "beta": "10.77.0.2"}
FINE, WINDOW = 5, 50  # ms: how finely the client counts, and what is looked at
BEFORE, AFTER = 1.5, 1.0  # seconds


class Lab:
    def __init__(self, folder):
        self.folder = folder

    def run(self, script, *words, check=True):
        answer = subprocess.run([f"{self.folder}/{script}", *words], capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
        if check and answer.returncode != 0:
            sys.exit(f"fill: lab/{script} {' '.join(words)} ended with {answer.returncode}:\n{answer.stdout[-2000:]}{answer.stderr[-2000:]}")
        return answer.stdout

    def install(self, program, name):
        for host in HOSTS:
            with open(program, "rb") as file:
                subprocess.run([f"{self.folder}/in", host, "sh", "-c", f"cat >/usr/local/bin/martlet-{name} && chmod 755 /usr/local/bin/martlet-{name}"],
                               stdin=file, check=True)

    def use(self, name):
        for host in HOSTS:
            # Not replaced: an agent that runs would look for the file that it was started from.
            words = "umount -l /usr/local/bin/martlet 2>/dev/null; true"
            self.run("in", host, "sh", "-c", words if name == "this" else f"{words}; mount --bind /usr/local/bin/martlet-{name} /usr/local/bin/martlet")

    def start(self, gigabytes):
        self.clean()
        self.run("redis", "alpha", "--ip", ADDRESS, ID)
        self.run("in", "client", "downtime", "fill", ADDRESS, "6379", str(int(gigabytes * (1 << 30))))

    def clean(self):
        for host in HOSTS:
            self.run("rm", host, ID, check=False)

    def move(self, source, destination, method):
        """The result, and by this machine's clock when each phase began and the command ended."""
        command = [f"{self.folder}/in", source, "martlet", "migrate", ID, "--to", HOSTS[destination], "--method", method, "--json"]
        began, result, words = {}, {}, []
        with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
            for line in process.stdout:
                words.append(line)
                event = json.loads(line)
                if event["event"] == "phase":
                    began[event["phase"]] = time.monotonic_ns()
                elif event["event"] == "result":
                    result = event
        if result.get("outcome") != "migrated":
            sys.exit(f"fill: {method}: {''.join(words)[-2000:]}")
        return result, began, time.monotonic_ns()


def trial(lab, source, destination, method, rate):
    watch = subprocess.Popen([f"{lab.folder}/in", "client", "downtime", "watch", ADDRESS, "6379", str(rate), str(KEYS), str(FINE)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    watch.stdout.readline()
    time.sleep(BEFORE + 0.2)
    load, start = os.getloadavg()[0], time.monotonic_ns()
    result, began, end = lab.move(source, destination, method)
    time.sleep(AFTER)
    seen = json.loads(watch.communicate()[0].splitlines()[-1])
    phases = {phase["name"]: phase for phase in result["phases"]}
    fill = phases["fill"]["duration_ms"]
    # The fill's phase begins with the release: the word of it reaches us when the source has heard of it.
    filled = began["clean"]
    released = filled - int(fill * 1e6)
    return {"method": method, "loadAverage": load, "downtime_ms": result["downtime_ms"], "total_ms": result["total_ms"],
            "fill_ms": round(fill, 1), "fill_gb_s": round(result["memory_bytes"] / fill / 1e6, 2), "lost": seen["lost"],
            "problem": seen.get("problem"), **sight(seen, start, released, filled)}


def sight(seen, start, released, filled):
    fine, zero = seen["windows"], seen["start"]
    step = FINE * 1_000_000

    def count(at, length):
        first, last = (at - zero) // step, (at + length - zero) // step
        return sum(fine[max(first, 0):max(last, 0)])

    before = count(start - int(BEFORE * 1e9), int(BEFORE * 1e9)) / BEFORE
    # Windows from the first one that begins after the release to the first that begins after the fill.
    shares, at = [], released
    while at < filled:
        shares.append(count(at, WINDOW * 1_000_000) / (before * WINDOW / 1000))
        at += WINDOW * 1_000_000
    gaps = [gap["milliseconds"] for gap in seen["gaps"] if gap["start"] + gap["milliseconds"] * 1e6 > start]
    return {"rate_before": round(before), "gap_ms": round(max(gaps, default=0), 1), "writer_gap_ms": gap_of(fine, zero, start, step),
            "worst_percent": round(100 * min(shares, default=1)), "below_80_ms": WINDOW * sum(share < 0.8 for share in shares),
            "percent": [round(100 * share) for share in shares], "released_ns": released,
            "first_writes": fine[max((released - zero) // step - 20, 0):(released - zero) // step + 60]}


def gap_of(fine, zero, start, step):
    """The longest row of empty windows."""
    longest = row = 0
    for number in fine[max(0, (start - zero) // step):]:
        row = row + 1 if number == 0 else 0
        longest = max(longest, row)
    return longest * FINE


COLUMNS = [("client's gap, ms", "gap_ms"), ("writer's gap, ms", "writer_gap_ms"), ("worst 50 ms, % of before", "worst_percent"),
           ("below 80 %, ms", "below_80_ms"), ("fill, ms", "fill_ms"), ("GB/s", "fill_gb_s")]


def table(results):
    head = "| method | moves | " + " | ".join(name for name, _ in COLUMNS) + " | writes lost |"
    lines = [f"Redis of {results['gigabytes']} GB, {results['rate']} writes a second, load average at the start {results['loadAtStart']:.2f}; medians (least-most).",
             "", head, "| --- " * (len(COLUMNS) + 3) + "|"]
    names = {(trial["method"], trial["build"]): None for trial in results["trials"]}
    for method, build in names:
        trials = [trial for trial in results["trials"] if (trial["method"], trial["build"]) == (method, build)]
        cells = []
        for _, key in COLUMNS:
            values = [trial[key] for trial in trials]
            cells.append(f"{statistics.median(values):g} ({min(values):g}-{max(values):g})")
        lines.append(f"| {method} {build} | {len(trials)} | " + " | ".join(cells) + f" | {sum(trial['lost'] for trial in trials)} |")
    return "\n".join(lines)


def main():
    lab, path, gigabytes, rate, runs, methods = Lab(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), sys.argv[7:]
    builds = [""]
    if sys.argv[6]:
        builds = ["other", "this"]
        lab.install(sys.argv[6], "other")
    results = {"date": int(time.time()), "loadAtStart": os.getloadavg()[0], "kernel": os.uname().release, "cores": os.cpu_count(),
               "gigabytes": gigabytes, "rate": rate, "methods": methods, "trials": []}
    lab.start(gigabytes)
    here, there = "alpha", "beta"
    # Interleaved: what disturbs the machine for a minute disturbs all methods.
    for method, build in [(method, build) for _ in range(runs) for method in methods for build in builds]:
        if build:
            lab.use(build)
        found = trial(lab, here, there, method, rate)
        found["build"] = build
        results["trials"].append(found)
        here, there = there, here
        print(f"{method} {build}: " + ", ".join(f"{name} {found[key]}" for name, key in COLUMNS), file=sys.stderr, flush=True)
    lab.clean()
    if builds != [""]:
        lab.use("this")
    with open(path, "w") as file:
        # A trial a line.
        rest = json.dumps({k: v for k, v in results.items() if k != "trials"})
        file.write(rest[:-1] + ', "trials": [\n' + ",\n".join(json.dumps(trial) for trial in results["trials"]) + "\n]}\n")
    with open(path.removesuffix(".json") + ".md", "w") as file:
        file.write(table(results) + "\n")
    print(table(results))


main()
