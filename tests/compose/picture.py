#!/usr/bin/env python3
"""Draws the dashboard from the answers of a Prometheus to its own queries: there is no Grafana where this is tested.

    picture.py PROMETHEUS_URL SECONDS OUT.html

The panels stand where the dashboard has them. Grafana draws them finer.
"""

import html
import json
import math
import os
import sys
import time
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DASHBOARD = os.path.join(ROOT, "envoy", "grafana", "dana-failover.json")
COLOURS = ["#3274d9", "#e0752d", "#508642", "#c15c17", "#6d1f62", "#0a437c", "#967302", "#890f02", "#447ebc", "#aea2e0"]
COLUMN, ROW = 52, 30
STEP_S = 2


def filled(expression):
    """An expression with the dashboard's variables filled in."""
    for name, value in [("$job", ".*"), ("$instance", ".*"), ("$__rate_interval", "30s"), ("$__range", "10m")]:
        expression = expression.replace(name, value)
    return expression


def ask(url, path, **parameters):
    with urllib.request.urlopen(f"{url}{path}?{urllib.parse.urlencode(parameters)}", timeout=30) as answer:
        return json.load(answer)["data"]["result"]


def name_of(target, metric):
    """The legend of a series."""
    text = target["legendFormat"]
    for label, value in metric.items():
        text = text.replace("{{" + label + "}}", value)
    return text if "__auto" not in text else ", ".join(metric.values()) or "value"


def number(value, unit=""):
    """A number as short as it can be read."""
    if math.isnan(value):
        return "-"
    if unit == "percentunit":
        return f"{value:.2%}"
    if unit == "s":
        return f"{value:,.0f} s"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def chart(series, width, height, begin, end, is_state):
    """Lines of all series, each from its own colour; or bars where a series says in which state somebody is."""
    values = [value for _, points in series for _, value in points if math.isfinite(value)]
    top = max(values, default=0) or 1
    x = lambda at: (at - begin) / (end - begin) * width
    marks = []
    for at, (_, points) in enumerate(series):
        colour = COLOURS[at % len(COLOURS)]
        if is_state:
            tall = height / max(len(series), 1)
            states = {0: "#508642", 1: "#e0752d", 2: "#bf1b00"} if top > 1 else {0: "#bf1b00", 1: "#508642"}
            marks += [f'<rect x="{x(when):.1f}" y="{at * tall + 2:.1f}" width="{x(begin + STEP_S) + 1:.1f}" height="{tall - 4:.1f}" fill="{states.get(int(value), "#999")}"/>' for when, value in points]
            continue
        line = " ".join(f"{x(when):.1f},{height - value / top * (height - 4):.1f}" for when, value in points if math.isfinite(value))
        marks.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return f'<svg width="{width}" height="{height}">{"".join(marks)}</svg>'


def panel(of, url, begin, end):
    """A panel as HTML, at its place."""
    place = of["gridPos"]
    style = f'left:{place["x"] * COLUMN}px;top:{place["y"] * ROW}px;width:{place["w"] * COLUMN - 8}px;height:{place["h"] * ROW - 8}px'
    title = html.escape(of["title"])
    if of["type"] == "row":
        return f'<h2 style="{style}">{title}</h2>'
    series = []
    for target in of["targets"]:
        for one in ask(url, "/api/v1/query_range", query=filled(target["expr"]), start=begin, end=end, step=STEP_S):
            series.append((name_of(target, one["metric"]), [(float(at), float(value)) for at, value in one["values"]]))
    width, height = place["w"] * COLUMN - 24, place["h"] * ROW - 40
    if of["type"] in ("stat", "table"):
        defaults = of["fieldConfig"]["defaults"]
        is_name = of["type"] == "table" or of["options"].get("textMode") == "name"
        last = [name if is_name else number(points[-1][1], defaults.get("unit", "")) for name, points in series]
        steps = defaults.get("thresholds", {}).get("steps", [])
        reached = [one["color"] for one in steps if one["value"] is None or (series and series[0][1][-1][1] >= one["value"])]
        colour = {"green": "#1a7f37", "orange": "#bf6a02", "red": "#bf1b00"}.get((reached or ["blue"])[-1], "#3274d9")
        inside = f'<p class="stat" style="color:{colour}">{html.escape("; ".join(last[:1]) or "-")}</p>'
    else:
        legend = " ".join(f'<i style="color:{COLOURS[at % len(COLOURS)]}">{html.escape(name)}</i>' for at, (name, _) in enumerate(series[:8]))
        is_state = of["type"] == "state-timeline"
        inside = chart(series, width, height - 18, begin, end, is_state) + f"<small>{legend}</small>"
    return f'<div style="{style}"><b>{title}</b>{inside}</div>'


def main():
    url, seconds, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    end = int(time.time())
    with open(DASHBOARD, encoding="utf-8") as file:
        panels = json.load(file)["panels"]
    body = "".join(panel(one, url, end - seconds, end) for one in panels)
    bottom = max((one["gridPos"]["y"] + one["gridPos"]["h"]) * ROW for one in panels)
    style = (
        "body{margin:0;background:#f4f5f7;font:12px sans-serif;width:1256px;position:relative}"
        "div,h2{position:absolute;box-sizing:border-box;overflow:hidden}div{background:#fff;border:1px solid #dcdee2;padding:4px 8px}"
        "h2{font-size:14px;margin:6px 0}.stat{font-size:26px;text-align:center;margin:12px 0;color:#1a7f37}svg{display:block}"
        "small i{font-style:normal;margin-right:8px}"
    )
    with open(out, "w", encoding="utf-8") as file:
        file.write(f'<!doctype html><meta charset="utf-8"><style>{style}</style><body style="height:{bottom}px">{body}</body>')
    print(f"{out}: 1256 x {bottom}")


if __name__ == "__main__":
    main()
