"""Small SVG charts without any package: self-contained, readable on white and in the dark."""
import math
from html import escape

COLOURS = ["#4c9be8", "#e8884c", "#55b36b", "#d65f8f", "#9b7fe0", "#c2a53a", "#3fb3b0", "#b0563f", "#7d8ea3", "#8fae3c", "#d08fd0", "#5f7fd6", "#999"]
STYLE = """
svg { background: #fff } text { font: 12px system-ui, sans-serif; fill: #222 } .title { font-size: 15px; font-weight: 600 }
.faint { fill: #666 } .grid { stroke: #ddd } .axis { stroke: #888 }
@media (prefers-color-scheme: dark) { svg { background: #16181c } text { fill: #ddd } .faint { fill: #999 } .grid { stroke: #333 } .axis { stroke: #777 } }
"""


class Drawing:
    def __init__(self, width, height, title, note=""):
        self.width, self.height, self.parts = width, height, []
        self.text(16, 24, title, css="title")
        if note:
            self.text(16, 42, note, css="faint")

    def text(self, x, y, words, css="", anchor="start"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{css}" text-anchor="{anchor}">{escape(words)}</text>')

    def line(self, x1, y1, x2, y2, css="grid"):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>')

    def box(self, x, y, width, height, colour, words="", opacity=1.0):
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.8):.1f}" height="{height:.1f}" fill="{colour}" opacity="{opacity}">'
            f"<title>{escape(words)}</title></rect>")

    def path(self, points, colour, width=2):
        if points:
            words = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            self.parts.append(f'<polyline points="{words}" fill="none" stroke="{colour}" stroke-width="{width}"/>')

    def dot(self, x, y, colour, words=""):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{escape(words)}</title></circle>')

    def legend(self, x, y, names):
        for number, (name, colour) in enumerate(names):
            self.box(x, y + 18 * number - 9, 12, 10, colour)
            self.text(x + 18, y + 18 * number, name)

    def __str__(self):
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" width="{self.width}" '
                f'height="{self.height}"><style>{STYLE}</style>\n' + "\n".join(self.parts) + "\n</svg>\n")


def short(number):
    """1500 as 1.5 k."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


class Axes:
    """A rectangle with scales; `log` for either axis."""

    def __init__(self, drawing, box, x, y, log=(False, False), names=("", ""), most=(8, 8)):
        """`most`: how many ticks an axis has at most; 0 for none."""
        self.drawing, self.box, self.log, self.most = drawing, box, log, most
        self.ranges = [self.span(values, is_log) for values, is_log in zip((x, y), log)]
        left, top, width, height = box
        for tick in self.ticks(0):
            at = self.x(tick)
            drawing.line(at, top, at, top + height)
            drawing.text(at, top + height + 16, short(tick), "faint", "middle")
        for tick in self.ticks(1):
            at = self.y(tick)
            drawing.line(left, at, left + width, at)
            drawing.text(left - 6, at + 4, short(tick), "faint", "end")
        drawing.text(left + width, top + height + 34, names[0], "faint", "end")
        drawing.text(left, top - 8, names[1], "faint")
        drawing.line(left, top + height, left + width, top + height, "axis")

    @staticmethod
    def span(values, is_log):
        low, high = min(values), max(values)
        if is_log:
            return math.log10(low) - 0.1, math.log10(high) + 0.1
        return min(low, 0 if low >= 0 else low), high if high > low else low + 1

    def ticks(self, axis):
        low, high = self.ranges[axis]
        if not self.most[axis]:
            return []
        if self.log[axis]:
            return [d * 10.0 ** p for p in range(math.floor(low), math.ceil(high) + 1) for d in (1, 2, 5)
                    if low <= math.log10(d * 10.0 ** p) <= high]
        step = 10 ** math.floor(math.log10((high - low) / self.most[axis]))
        step *= next((m for m in (1, 2, 5, 10) if (high - low) / (step * m) <= self.most[axis]), 10)
        return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]

    def place(self, axis, value):
        low, high = self.ranges[axis]
        return ((math.log10(max(value, 1e-9)) if self.log[axis] else value) - low) / (high - low)

    def x(self, value):
        return self.box[0] + self.box[2] * self.place(0, value)

    def y(self, value):
        return self.box[1] + self.box[3] * (1 - self.place(1, value))
