"""Charts of the big table."""
from svg import COLOURS, Axes, Drawing
from table import METHODS, PEERS, grouped, median, ms, name_of


def colour(way):
    return COLOURS[(METHODS + PEERS).index(way) % len(COLOURS)]


def label(way):
    return ("Martlet " if way in METHODS else "") + way


def downtime_by_size(results):
    """Redis on the fastest link, a line for each way."""
    series = {}
    for (workload, load, link, way), entries in grouped(results["entries"]).items():
        value = median([entry.get("downtimeMS") for entry in entries if not entry.get("problem")])
        if workload.startswith("redis") and load == "load" and link in ("10g", "none") and value:
            series.setdefault(way, []).append((float(workload.split(":")[1]), value))
    points = [point for line in series.values() for point in line]
    if not points:
        return None
    drawing = Drawing(900, 520, "Downtime by size: redis under a writer", "Longest time without an answer, ms; both axes logarithmic")
    axes = Axes(drawing, (70, 80, 580, 370), [p[0] for p in points], [p[1] for p in points], (True, True), ("GB in redis", "ms"))
    for way, line in series.items():
        drawing.path([(axes.x(x), axes.y(y)) for x, y in line], colour(way))
        for x, y in line:
            drawing.dot(axes.x(x), axes.y(y), colour(way), f"{label(way)}, {x} GB: {ms(y)} ms")
    drawing.legend(670, 100, [(label(way), colour(way)) for way in series])
    return drawing


def bars(results):
    """Every way at one size, a bar each, logarithmic."""
    found = [(way, median([e.get("downtimeMS") for e in entries if not e.get("problem")]))
             for (workload, load, link, way), entries in grouped(results["entries"]).items()
             if (workload, load) == ("redis:0.85", "load") and link in ("10g", "none")]
    found = [(way, value) for way, value in found if value]
    if not found:
        return None
    drawing = Drawing(900, 110 + 26 * len(found), "Downtime: redis 0.85 GB under a writer", "Longest time without an answer, ms, logarithmic")
    axes = Axes(drawing, (210, 60, 600, 26 * len(found)), [min(v for _, v in found) / 2] + [v for _, v in found], [0, 1], (True, False),
                ("ms", ""), (8, 0))
    for number, (way, value) in enumerate(found):
        top = 64 + 26 * number
        drawing.text(200, top + 13, label(way), anchor="end")
        drawing.box(210, top, axes.x(value) - 210, 18, colour(way), f"{ms(value)} ms")
        drawing.text(axes.x(value) + 6, top + 13, ms(value))
    return drawing


def throughput(results, workload, title):
    """Work done while the container moves, a strip for each way, 50 ms a point; the command comes at 0."""
    found = [(way, entries[0]) for (name, load, link, way), entries in grouped(results["entries"]).items()
             if name == workload and load == "load" and link in ("10g", "none") and entries[0].get("throughput")]
    if not found:
        return None
    # What is longer is cut; a strip must show the freeze.
    longest = min(max(len(entry["throughput"]) for _, entry in found) / 20 - 2, 20)
    high = max(max(entry["throughput"]) for _, entry in found)
    drawing = Drawing(900, 80 + 76 * len(found), title, "Work a second in windows of 50 ms; the command to migrate comes at 0, the dashed line is its end")
    for number, (way, entry) in enumerate(found):
        top = 70 + 76 * number
        axes = Axes(drawing, (230, top, 640, 44), [-2, longest], [0, high], names=("s" if number == len(found) - 1 else "", ""), most=(10, 2))
        drawing.text(180, top + 26, label(way), anchor="end")
        points = [(axes.x(i / 20 - 2), axes.y(rate)) for i, rate in enumerate(entry["throughput"]) if i / 20 - 2 <= longest]
        drawing.path(points, colour(way), 1.5)
        for at in (0, entry["totalMS"] / 1000):
            if at <= longest:
                drawing.parts.append(f'<line x1="{axes.x(at):.1f}" y1="{top}" x2="{axes.x(at):.1f}" y2="{top + 44}" class="axis" '
                                     f'stroke-dasharray="{"0" if at == 0 else "4 3"}"/>')
    return drawing


def all_plots(results):
    """Names and drawings."""
    yield "downtime-by-size", downtime_by_size(results)
    yield "downtime", bars(results)
    for workload in ["redis:0.85", "postgres:2", "nginx:32", "torture:0.25"]:
        yield "throughput-" + workload.split(":")[0], throughput(results, workload, f"Throughput: {name_of(workload)}")
