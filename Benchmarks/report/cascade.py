"""The frozen window: its steps as a table and as a waterfall, with the least that each could take beside it."""
from svg import Axes, Drawing, short

LEAST = 0.2
KINDS = [("phase", "#7d8ea3"), ("Martlet, source", "#4c9be8"), ("Martlet, destination", "#55b36b"), ("CRIU's dump", "#e8884c"),
         ("CRIU's restore", "#d65f8f"), ("the least it could take", "#c2a53a")]
# A step, and what was measured alone that it can't be quicker than.
FLOORS = [
    ("freeze", ["cgroup: freeze"]), ("capture", ["criu dump of one sleeping process"]), ("restore", ["criu restore of one sleeping process"]),
    ("ship", ["tcp: a byte there and back"]), ("decide", ["journal: append 128 bytes and fsync"]),
    ("release", ["tcp: a byte there and back", "journal: append 128 bytes and fsync", "cgroup: thaw"]),
    ("source: criu: dump", ["criu dump of one sleeping process"]), ("destination: thaw", ["cgroup: thaw"]),
    ("destination: open the network", ["bridge: a port in"]), ("destination: wait for images", ["tcp: a byte there and back"]),
    ("restore: first task, in new namespaces",
     ["fork, exec and end of /bin/true", "namespace: a new mount namespace", "namespace: a new IPC namespace", "namespace: a new UTS namespace"]),
]
PER_GB = {"source: find the last pages": "scan: page tables of 1 GB", "source: list live pages": "scan: page tables of 1 GB"}


def median(values):
    values = sorted(values)
    return values[(len(values) - 1) // 2] if values else None


def number(value):
    return "" if value is None else f"{value:.2f}" if value < 1 else f"{value:.1f}"


def label(size):
    return "empty" if size == "empty" else f"{size} GB"


def floor_of(results, name, size):
    """ms, or None where nothing was measured that belongs to this step."""
    times = {key: min(value) for key, value in results["floor"].items() if value}
    if "journal" in name:
        return times.get("journal: append 128 bytes and fsync")
    if name in PER_GB and size != "empty":
        walk = times.get(PER_GB[name])
        return walk * float(size) if walk else None
    names = dict(FLOORS).get(name)
    return sum(times[n] for n in names) if names and all(n in times for n in names) else None


def sizes(results):
    return list(dict.fromkeys(move["size"] for move in results["moves"]))


def moves_of(results, size):
    return [move for move in results["moves"] if move["size"] == size]


def merged(move):
    """A step that comes several times (a journal, a part of CRIU's for each task) is one: from its first start, with all its time."""
    steps = {}
    for step in move["steps"]:
        key = (step["level"], step["name"])
        start, ms = steps.get(key, (step["start"], 0))
        steps[key] = (min(start, step["start"]), ms + step["ms"])
    return steps


def medians(results, size, logged=True):
    """(level, name) → (start, ms), medians of the moves with CRIU's log, or of those without."""
    every = [merged(move) for move in moves_of(results, size) if move["logged"] == logged]
    keys = dict.fromkeys(key for steps in every for key in steps)
    return {key: (median([s[key][0] for s in every if key in s]), median([s[key][1] for s in every if key in s])) for key in keys}


def ordered(results):
    """Rows of all sizes: phases, below each what began in it, below that CRIU's parts."""
    last = medians(results, sizes(results)[-1])
    every = {}
    for size in sizes(results):
        for key, value in medians(results, size).items():
            every.setdefault(key, value)
    every.update(last)
    return sorted(every, key=lambda key: (round(every[key][0], 1), key[0]))


def table(results):
    machine, columns = results["machine"], sizes(results)
    values = {size: medians(results, size) for size in columns}
    plain = {size: medians(results, size, False) for size in columns}

    def cell(size, key):
        if key not in values[size]:
            return ""
        text = number(values[size][key][1])
        # Without the log, where Martlet's own clock tells it.
        return f"{text} ({number(plain[size][key][1])})" if key[0] < 2 and key in plain[size] else text

    head = ["step"] + [f"{label(size)}: ms" for size in columns] + [f"at ({label(columns[-1])})", "least, ms"]
    rows = []
    for key in ordered(results):
        level, name = key
        if all(values[size].get(key, (0, 0))[1] < LEAST for size in columns):
            continue
        least = floor_of(results, name, columns[-1])
        at = next((values[size][key][0] for size in reversed(columns) if key in values[size]), 0)
        rows.append(["&nbsp;" * 4 * level + (f"**{name}**" if level == 0 else name)]
                    + [cell(size, key) for size in columns] + [f"{at:.1f}", number(least)])
    whole = ["**stood still, all of it**"]
    for size in columns:
        times = [median([m["downtime_ms"] for m in moves_of(results, size) if m["logged"] == logged]) for logged in (True, False)]
        whole.append(" ".join(text for text in (number(times[0]), f"({number(times[1])})" if times[1] else "") if text))
    rows.append(whole + ["", ""])
    floors = [["alone", "median, ms", "from", "to"]] + [
        [name, f"{median(times):.3f}", f"{min(times):.3f}", f"{max(times):.3f}"] for name, times in sorted(results["floor"].items())]
    lines = lambda table_rows: "\n".join(  # noqa: E731
        ["| " + " | ".join(table_rows[0]) + " |", "|" + " --- |" * len(table_rows[0])] + ["| " + " | ".join(row) + " |" for row in table_rows[1:]])
    counts = ", ".join(f"{label(size)} {len(moves_of(results, size))} ({number(min(m['downtime_ms'] for m in moves_of(results, size)))} to "
                       f"{number(max(m['downtime_ms'] for m in moves_of(results, size)))} ms)" for size in columns)
    return (
        f"{machine['cores']} cores ({machine['processor']}), {short(machine['memory'])}B, Linux {machine['kernel']}, CRIU {machine['criu']}, runc "
        f"{machine['runc']}, {machine['martlet']}; load average at the start {results['loadAtStart']:.2f}. Idle containers with an address of their own, moved "
        f"there and back: {counts}. Medians.\n\nEvery step of at least {LEAST} ms between freeze and release. Steps lie beside and inside each other; CRIU's own "
        "parts (dump:, restore:) are from its log, which every other move wrote and which costs time itself; in brackets the moves without it. "
        "Least: the quickest of what belongs to the step, measured alone on the same machine (below); of CRIU's a whole program's start and end.\n\n" + lines([head] + rows)
        + "\n\nWhat the kernel and CRIU need at least, each alone:\n\n" + lines(floors))


def kind(level, name):
    if level == 0:
        return KINDS[0][1]
    if level == 1:
        return KINDS[1 if name.startswith("source") else 2][1]
    return KINDS[3 if name.startswith("dump") else 4][1]


def waterfall(results, size):
    """Of the median move that wrote CRIU's log, segment by segment."""
    logged = sorted((m for m in moves_of(results, size) if m["logged"]), key=lambda m: m["downtime_ms"])
    if not logged:
        return None
    move = logged[(len(logged) - 1) // 2]
    rows = {}
    for step in move["steps"]:
        rows.setdefault((step["level"], step["name"]), []).append(step)
    rows = {key: steps for key, steps in rows.items() if sum(step["ms"] for step in steps) >= LEAST}
    ordered_rows = sorted(rows, key=lambda key: (rows[key][0]["start"], key[0]))
    end = max(step["start"] + step["ms"] for steps in rows.values() for step in steps)
    height = 150 + 18 * len(ordered_rows) + 110
    drawing = Drawing(1000, height, f"The frozen window: {'an empty container' if size == 'empty' else f'redis of {size} GB'}, {move['downtime_ms']:.1f} ms",
                      "Every step of at least 0.2 ms, ms after the freeze; one move, with CRIU's own log switched on")
    top = 70
    axes = Axes(drawing, (330, top, 600, 18 * len(ordered_rows)), [0, end], [0, 1], names=("ms", ""), most=(10, 0))
    for row, key in enumerate(ordered_rows):
        level, name = key
        y = top + 18 * row
        drawing.text(10 + 14 * level, y + 13, name)
        for step in rows[key]:
            drawing.box(axes.x(step["start"]), y + 3, axes.x(step["ms"]) - axes.x(0), 12, kind(level, name), f"{name}: {number(step['ms'])} ms", 0.9)
        least = floor_of(results, name, size)
        first, total = rows[key][0], sum(step["ms"] for step in rows[key])
        if least:
            drawing.box(axes.x(first["start"]), y + 12, axes.x(min(least, end)) - axes.x(0), 4, KINDS[5][1], f"at least {number(least)} ms")
        last = rows[key][-1]
        drawing.text(axes.x(last["start"] + last["ms"]) + 5, y + 13, number(total), "faint")
    drawing.legend(20, top + 18 * len(ordered_rows) + 60, KINDS)
    return drawing


def all_plots(results):
    for size in sizes(results):
        yield label(size).replace(" GB", "gb").replace(".", "-"), waterfall(results, size)
