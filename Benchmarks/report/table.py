"""The big table in Markdown, from what `downtime table` kept."""
from published import PUBLISHED
from svg import short

METHODS = ["auto", "stop-copy", "page-server", "pre-copy", "pre-copy-page-server", "post-copy", "hybrid", "auto-converge"]
PEERS = ["runc-tar", "runc-scp", "runc-shared", "criu-page-server", "criu-lazy-pages", "podman"]
LINKS = {"none": "as the machine is", "10g": "10 Gbit/s", "1g": "1 Gbit/s", "long": "1 Gbit/s, 50 ms there and back"}


def median(values):
    values = sorted(value for value in values if value is not None)
    return values[(len(values) - 1) // 2] if values else None


def ms(value):
    return "-" if value is None else f"{value:.1f}" if value < 10 else f"{value:.0f}"


def rows_of(text):
    widths = [max(len(row[i]) for row in text) for i in range(len(text[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in text]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|"] + lines[1:])


def order(key):
    workload, load, link, way = key
    kind, size = workload.split(":")
    place = (METHODS + PEERS).index(way) if way in METHODS + PEERS else 99
    return ["redis", "postgres", "nginx", "torture"].index(kind), list(LINKS).index(link), float(size), load, place


def name_of(workload):
    kind, size = workload.split(":")
    return {"redis": f"redis {size} GB", "postgres": f"PostgreSQL, {size} GB buffers", "nginx": f"nginx, {size} workers",
            "torture": f"torture, {size} GB"}[kind]


def grouped(entries):
    groups = {}
    for entry in entries:
        groups.setdefault((entry["workload"], entry["load"], entry["link"], entry["way"]), []).append(entry)
    return dict(sorted(groups.items(), key=lambda item: order(item[0])))


def spread(values, show):
    values = sorted(value for value in values if value is not None)
    if not values:
        return "-"
    return show(median(values)) if len(values) == 1 else f"{show(median(values))} ({show(values[0])}-{show(values[-1])})"


def p99(entries, key):
    return ms(median([(entry.get(key) or {}).get("p99") for entry in entries]))


def row(key, entries):
    workload, load, link, way = key
    good = [entry for entry in entries if not entry.get("problem")]
    became = {entry["method"] for entry in good if entry.get("method")} if way == "auto" else set()
    before, during = (median([entry.get(name) for entry in good]) for name in ("rateBefore", "rateDuring"))
    kept = f"{100 * during / before:.0f} %" if before and during is not None else ""
    right = sum(1 for entry in good if entry.get("sameState") and entry.get("lost") == 0)
    size = median([entry.get("bytesSent") for entry in good])
    return [
        name_of(workload), "its own" if workload.startswith("torture") else load, link,
        ("Martlet " if way in METHODS else "") + way + (f" ({', '.join(sorted(became))})" if became else ""),
        spread([entry.get("downtimeMS") for entry in good], ms), spread([entry.get("openGapMS") for entry in good], ms),
        spread([entry["totalMS"] / 1000 for entry in good], lambda s: f"{s:.2f}" if s < 10 else f"{s:.1f}"),
        short(size) + "B" if size is not None else "-", short(before) if before else "", kept,
        p99(good, "before"), p99(good, "during"), p99(good, "after"), f"{right} of {len(entries)}",
    ]


HEAD = ["container", "load", "link", "way", "downtime ms", "on open connections", "total s", "sent", "work/s before", "kept", "p99 ms before",
        "during", "after", "right"]


def facts(results):
    machine = results["machine"]
    return (f"{machine['cores']} cores ({machine['processor']}), {short(machine['memory'])}B of memory, Linux {machine['kernel']}, CRIU "
            f"{machine['criu']}, runc {machine['runc']}, Podman {machine.get('podman') or '-'}, {machine.get('martlet')}; load average at the start "
            f"{results['loadAtStart']:.2f}. Both hosts, the clients and the links between them are this one machine.")


def left_out(results):
    """What the list had and time did not allow; and what a table of everything would have beside."""
    lines = []
    if results["leftOut"]:
        lines.append("Left out for lack of time: " + "; ".join(results["leftOut"]) + ".")
    done = {(e["workload"], e["load"], e["link"], e["way"]) for e in results["entries"]}
    workloads = ["redis:0.1", "redis:0.85", "redis:3", "redis:8", "postgres:2", "nginx:32", "torture:0.25"]
    whole = [(w, load, link, way) for w in workloads for load in ("idle", "load") for link in ("10g", "1g", "long")
             for way in METHODS[:-1] + PEERS if (way != "podman" or w.startswith("redis")) and (load == "load" or not w.startswith("torture"))]
    missing = [key for key in whole if key not in done]
    if missing:
        lines.append(f"Of the whole matrix ({len(whole)} cells: every workload idle and under load, three links, every way) "
                     f"{len(whole) - len(missing)} are measured here; `Benchmarks/table --full` has all.")
    bad = [entry for entry in results["entries"] if entry.get("problem") or not entry.get("sameState") or entry.get("lost")]
    for entry in bad:
        why = " ".join((entry.get("problem") or f"state equal: {entry.get('sameState')}, writes lost: {entry.get('lost')}").split())
        lines.append(f"Not good: {entry['workload']} {entry['load']} {entry['link']} {entry['way']}: {why[-300:]}")
    return "\n\n".join(lines)


def table(results):
    body = [row(key, entries) for key, entries in grouped(results["entries"]).items()]
    links = "; ".join(f"{name}: {words}" for name, words in LINKS.items())
    parts = [
        facts(results), rows_of([HEAD] + body),
        f"Links: {links}. Downtime: the longest time without an answer to a client that asks every millisecond and tries new connections too; on open "
        "connections: of the load's own, which it opens again only after a second of silence while others are answered. p99: of the question asked every millisecond (those not asked while "
        "one waits are counted as waiting). Work: redis writes, transactions, requests, rewritten pages. Right: same data before and after, no acknowledged "
        "write missing.",
        left_out(results), "What others have published, on their own machines, beside it:", rows_of(PUBLISHED),
    ]
    return "\n\n".join(part for part in parts if part)
