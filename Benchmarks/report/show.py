"""Prints what a run kept: show.py RESULTS.json [--write]. With --write also the table (.md) and the charts (.svg) beside it."""
import json
import os
import signal
import sys

signal.signal(signal.SIGPIPE, signal.SIG_DFL)
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cascade  # noqa: E402
import plots  # noqa: E402
import table  # noqa: E402


def main():
    path = sys.argv[1]
    with open(path) as file:
        results = json.load(file)
    is_cascade = "moves" in results
    text = cascade.table(results) if is_cascade else table.table(results)
    print(text)
    if "--write" in sys.argv:
        base = path.removesuffix(".json")
        with open(base + ".md", "w") as file:
            file.write(text + "\n")
        for name, drawing in (cascade if is_cascade else plots).all_plots(results):
            if drawing:
                with open(f"{base}-{name}.svg", "w") as file:
                    file.write(str(drawing))


main()
