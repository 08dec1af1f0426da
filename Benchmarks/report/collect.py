"""Moves containers there and back between the lab's hosts alpha and beta and keeps, for each move, every step of its frozen window as JSON:
collect.py LAB-FOLDER RESULT.json SIZE... (SIZE: empty, or GB of a redis, with :MOVES)."""
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import criulog  # noqa: E402

ID, ADDRESS, OPTIONS = "bench-wf", "10.77.1.91", "/run/bench-criu.conf"
HOSTS = {"alpha": "10.77.0.1", "beta": "10.77.0.2"}


class Lab:
    def __init__(self, folder):
        self.folder = folder

    def run(self, script, *words, check=True, timeout=900):
        answer = subprocess.run([f"{self.folder}/{script}", *words], capture_output=True, text=True, timeout=timeout,
                                stdin=subprocess.DEVNULL, errors="replace")
        if check and answer.returncode != 0:
            sys.exit(f"waterfall: lab/{script} {' '.join(words)} ended with {answer.returncode}:\n{answer.stdout[-2000:]}{answer.stderr[-2000:]}")
        return answer.stdout

    def shell(self, host, words, check=True):
        return self.run("in", host, "bash", "-c", words, check=check)

    def clean(self):
        for host in HOSTS:
            self.run("rm", host, ID, check=False)

    def start(self, size):
        self.clean()
        if size == "empty":
            self.run("bundle", "alpha", ID, "--ip", ADDRESS, "--program", "/usr/bin/sleep 1000000")
            self.shell("alpha", f"runc run -d --bundle /data/{ID} {ID} </dev/null >/dev/null 2>&1")
        else:
            self.run("redis", "alpha", "--ip", ADDRESS, ID)
            self.run("in", "client", "downtime", "fill", ADDRESS, "6379", str(int(float(size) * (1 << 30))))
        # Where CRIU's own words come from; empty but for the moves that are looked into.
        self.shell("alpha", f"cd /data/{ID} && jq '.annotations[\"org.criu.config\"] = \"{OPTIONS}\"' config.json >c && cat c >config.json && rm c")

    def move(self, source, destination, is_logged):
        for host in HOSTS:
            self.shell(host, f"echo '{'verbosity 4' if is_logged else ''}' >{OPTIONS}")
        before = set(self.shell(source, "ls /var/lib/martlet/migrations", check=False).split())
        output = self.shell(source, f"martlet migrate {ID} --to {HOSTS[destination]} --json", check=False)
        result = json.loads(output.splitlines()[-1])
        if result.get("outcome") != "migrated":
            sys.exit(f"waterfall: {output[-2000:]}")
        logs = None
        if is_logged:
            new = set(self.shell(source, "ls /var/lib/martlet/migrations").split()) - before
            folder = f"/var/lib/martlet/migrations/{new.pop()}"
            logs = (self.shell(source, f"cat {folder}/dump/dump.log"), self.shell(destination, f"cat {folder}/restore/restore.log"))
        return result, logs


def steps_of(result, logs):
    """{level, name, start, ms} with starts after the freeze: 0 phases, 1 Martlet's steps, 2 parts of CRIU's work."""
    frozen = [phase for phase in result["phases"] if phase["frozen"]]
    zero = frozen[0]["start_ms"]
    end = frozen[-1]["start_ms"] + frozen[-1]["duration_ms"]
    found = [{"level": 0, "name": phase["name"], "start": phase["start_ms"] - zero, "ms": phase["duration_ms"]} for phase in frozen]
    inside = [step for step in result["steps"] if zero <= step["start_ms"] <= end]
    found += [{"level": 1, "name": f"{step['side']}: {step['name']}", "start": step["start_ms"] - zero, "ms": step["duration_ms"]} for step in inside]
    if logs:
        at = next((step["start_ms"] - zero for step in inside if step["name"] == "criu: dump"), 0)
        found += [{"level": 2, "name": f"dump: {name}", "start": at + a, "ms": b - a} for name, a, b in criulog.dump(logs[0])]
        parts, anchor = criulog.restore(logs[1])
        told = next((step for step in inside if step["name"] == "criu: to post-setup-namespaces"), None)
        if anchor is not None and told:
            offset = told["start_ms"] + told["duration_ms"] - zero - anchor
            found += [{"level": 2, "name": f"restore: {name}", "start": offset + a, "ms": b - a} for name, a, b in parts]
    for step in found:
        step["start"], step["ms"] = round(step["start"], 3), round(step["ms"], 3)
    return found


def machine(lab):
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")
    return {"cores": os.cpu_count(), "processor": model, "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE"),
            "kernel": os.uname().release, "martlet": lab.shell("alpha", "martlet --version").strip(),
            "criu": lab.shell("alpha", "criu --version | sed -n 's/^Version: //p'").strip(),
            "runc": lab.shell("alpha", "runc --version | sed -n 's/^runc version //p'").strip()}


def floor(lab):
    with subprocess.Popen([f"{lab.folder}/in", "beta", "downtime", "echo", "7999"], stdout=subprocess.PIPE, text=True) as echo:
        echo.stdout.readline()
        try:
            return json.loads(lab.run("in", "alpha", "downtime", "floor", HOSTS["beta"], "7999"))
        finally:
            echo.terminate()


def main():
    lab, path = Lab(sys.argv[1]), sys.argv[2]
    results = {"name": os.path.basename(path).removesuffix(".json"), "date": int(time.time()), "loadAtStart": os.getloadavg()[0],
               "machine": machine(lab), "floor": floor(lab), "moves": []}
    for word in sys.argv[3:]:
        size, _, count = word.partition(":")
        lab.start(size)
        here, there = "alpha", "beta"
        for number in range(int(count or 4)):
            # Every other move without CRIU's words, which cost time of their own.
            is_logged = number % 2 == 0
            load = os.getloadavg()[0]
            result, logs = lab.move(here, there, is_logged)
            results["moves"].append({
                "size": size, "logged": is_logged, "loadAverage": load, "downtime_ms": result["downtime_ms"], "total_ms": result["total_ms"],
                "method": result["method"], "memory_bytes": result["memory_bytes"], "bytes_sent": result["bytes_sent"],
                "steps": steps_of(result, logs)})
            here, there = there, here
            print(f"{size}: move {number + 1}: stood still {result['downtime_ms']:.1f} ms, {result['total_ms'] / 1000:.1f} s"
                  f"{', with the log' if is_logged else ''}", file=sys.stderr, flush=True)
        lab.clean()
        write(path, results)


def write(path, results):
    """A move's step a line."""
    moves = ",\n".join(
        json.dumps({k: v for k, v in move.items() if k != "steps"})[:-1] + ', "steps": [\n' + ",\n".join(json.dumps(s) for s in move["steps"]) + "]}"
        for move in results["moves"])
    rest = json.dumps({k: v for k, v in results.items() if k != "moves"}, indent=None)
    with open(path + ".new", "w") as file:
        file.write(rest[:-1] + ', "moves": [\n' + moves + "\n]}\n")
    os.rename(path + ".new", path)


main()
