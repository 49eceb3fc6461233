#!/usr/bin/env python3
"""Draws the rows of report.sql, as CSV on standard input, as an SVG on standard output. Needs nothing but Python."""
import csv
import sys
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, PANEL, GAP = 880, 64, 210, 130, 52
COLOURS = ["#0b6e99", "#c44f1c", "#5b8c2a", "#7a4fa3", "#8a6d00"]
# By panel: its title, the ends of its scale, and its series: column, name, and what stands at the ends of the scale where it isn't the panel's.
PANELS = [
    ("Answers", (0, 10), [("pain_nrs", "pain 0 to 10", None), ("odi_percent", "Oswestry index 0 to 60 %", (0, 60))]),
    ("Movement", (0, 20), [("lumbar_extension_deg", "lumbar extension 0 to 20°", None), ("gluteus_maximus_delay_ms", "left gluteus late 0 to 150 ms", (0, 150))]),
    ("Prescribed: from the easiest to the hardest of each safe range; a mark below: a proposal was approved", (0, 1),
     [("load_kg", "load 0 to 20 kg", (0, 20)), ("hold_s", "hold 2 to 6 s", (2, 6)), ("repetitions", "repetitions 4 to 10", (4, 10)),
      ("eccentric_s", "lowering 1.5 to 4 s", (1.5, 4)), ("feedback_percent", "feedback 100 to 20 %", (100, 20))]),
    ("Done: the target is 80 % of good repetitions", (0, 100), [("good_percent", "good repetitions %", None), ("cues_percent", "with a cue %", None)]),
]


def main() -> None:
    rows = list(csv.DictReader(sys.stdin))
    days = [float(row["day"]) for row in rows]
    weeks = int(max(days)) // 7 + 1
    across = lambda day: LEFT + (WIDTH - LEFT - RIGHT) * day / (7 * weeks)
    height = len(PANELS) * (PANEL + GAP) + 40
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>']
    for number, (title, ends, series) in enumerate(PANELS):
        top = 34 + number * (PANEL + GAP)
        up = lambda value, scale: top + PANEL * (1 - (value - scale[0]) / (scale[1] - scale[0]))
        out.append(f'<text x="{LEFT}" y="{top - 10}" font-weight="bold" fill="#222">{escape(title)}</text>')
        for share in (0, 0.5, 1):
            value, y = ends[0] + share * (ends[1] - ends[0]), top + PANEL * (1 - share)
            out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
            out.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#555">{value:g}</text>')
        if title.startswith("Prescribed"):
            approved = [across(day) for day, row in zip(days, rows) if row["approved_by"]]
            out += [f'<path d="M{x:.1f},{top + PANEL + 8} l4,8 h-8 z" fill="#333"/>' for x in approved]
        if "target" in title:
            y = up(80, ends)
            out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#999" stroke-dasharray="4 4"/>')
        for week in range(weeks + 1):
            x = across(7 * week)
            out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + PANEL}" stroke="#eee"/>')
        for place, (column, name, scale) in enumerate(series):
            colour = COLOURS[place]
            known = [(across(day), up(float(row[column]), scale or ends)) for day, row in zip(days, rows) if row[column]]
            # Lines of one value lie on each other: each is a little lower than the one before.
            points = " ".join(f"{x:.1f},{y + 1.5 * place:.1f}" for x, y in known)
            out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
            out += [f'<circle cx="{x:.1f}" cy="{y + 1.5 * place:.1f}" r="2.6" fill="{colour}"/>' for x, y in known]
            out.append(f'<text x="{WIDTH - RIGHT + 14}" y="{top + 14 + 18 * place}" fill="{colour}">{escape(name)}</text>')
    bottom = 34 + len(PANELS) * (PANEL + GAP) - GAP + 16
    out += [f'<text x="{across(7 * week + 3.5):.1f}" y="{bottom}" text-anchor="middle" fill="#555">week {week + 1}</text>' for week in range(weeks)]
    print("\n".join(out + ["</svg>"]))


main()
