"""Draw charts as SVG with Vega-Lite. Each row of a chart has a label, marks and a figure.

The style sheet has the colors, and shows the wide or the narrow SVG, as fits the screen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import vl_convert
from markupsafe import Markup

from secretops.printable import printable

# A Vega-Lite layer.
Layer = dict[str, Any]

# Width of a letter in pixels, for any usual font.
LETTER = 8


@dataclass(frozen=True)
class Shape:
    name: str
    width: int
    left: int
    right: int
    row: int
    letters: int  # maximum letters of a label
    label_above: bool  # the label is above the marks, which then have the whole width

    @property
    def inner(self) -> int:
        return self.width - self.left - self.right


# On the left is room for the labels.
WIDE = Shape("wide", width=1040, left=0, right=150, row=28, letters=32, label_above=False)
NARROW = Shape("narrow", width=330, left=10, right=14, row=46, letters=21, label_above=True)


def draw(rows: Sequence[tuple[str, str]], layers: Sequence[Layer]) -> dict[str, Markup]:
    """Return an SVG per shape, wide and narrow. `rows` are labels and figures; `layers` refer to rows by index."""
    longest = min(max(len(label) for label, _ in rows), WIDE.letters)
    wide = replace(WIDE, left=24 + LETTER * longest)
    return {shape.name: _svg(rows, layers, shape) for shape in (wide, NARROW)}


def bars(values: Sequence[Mapping[str, Any]], colors: Mapping[str, str], **x: Any) -> Layer:
    """Return a bar per value (`row`, `kind`, `length`), stacked in the order of `colors`."""
    order = list(colors)
    return {
        "data": {"values": [{**value, "order": order.index(value["kind"])} for value in values]},
        "mark": {"type": "bar", "height": 14, "stroke": "var(--ink)", "strokeWidth": 0.6},
        "encoding": {
            "x": {"field": "length", "type": "quantitative", "stack": "zero", **x},
            "color": {**_kinds(colors), "scale": {"domain": order, "range": list(colors.values())}},
            "order": {"field": "order", "type": "ordinal"},
        },
    }


def points(
    values: Sequence[tuple[int, str, datetime]], begin: datetime, end: datetime, kinds: Mapping[str, tuple[str, str]]
) -> Layer:
    """Return a point per value (row, kind, time). `kinds` maps a kind to its shape and color."""
    shapes, colors = zip(*kinds.values(), strict=True)
    begin = min(begin, end - timedelta(days=1))
    spans = end - begin
    form = "%b %Y" if spans > timedelta(days=60) else "%d %b" if spans > timedelta(days=4) else "%d %b %H:%M"
    return {
        "data": {"values": [{"row": row, "kind": kind, "time": at(time)} for row, kind, time in values]},
        "mark": {"type": "point", "size": 90, "strokeWidth": 1.4, "opacity": 1},
        "encoding": {
            "x": {
                "field": "time",
                "type": "temporal",
                "scale": {"type": "utc", "domain": [at(begin), at(end)]},
                "axis": axis(format=form, tickCount=4 if spans > timedelta(days=4) else 3),
            },
            **{
                channel: {**_kinds(kinds), "scale": {"domain": list(kinds), "range": scale}}
                for channel, scale in (("shape", shapes), ("fill", colors), ("stroke", colors))
            },
        },
    }


def rule(where: float | str) -> Layer:
    """Return a line across all rows, at a number or a time from `at`."""
    kind = "temporal" if isinstance(where, str) else "quantitative"
    return {
        "data": {"values": [{"where": where}]},
        "mark": {"type": "rule", "strokeWidth": 2, "color": "var(--ink)"},
        "encoding": {"x": {"field": "where", "type": kind}},
    }


def axis(**options: Any) -> dict[str, Any]:
    """Return an axis with gaps between labels, because a browser's font may be wider than Vega's."""
    labels = {"labelFlush": True, "labelBound": 8, "labelOverlap": True, "labelSeparation": 14}
    return {"title": None, "tickCount": 5, **labels, **options}


def at(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def short(name: str, letters: int) -> str:
    """Shorten `name` in the middle, because the end of a role's name is its session."""
    name = printable(name)
    if len(name) <= letters:
        return name
    begin = letters // 3
    return f"{name[:begin]}…{name[begin + 1 - letters :]}"


def _kinds(kinds: Mapping[str, object]) -> dict[str, Any]:
    return {"field": "kind", "type": "nominal", "legend": _LEGEND if len(kinds) > 1 else None}


def _svg(rows: Sequence[tuple[str, str]], layers: Sequence[Layer], shape: Shape) -> Markup:
    texts = (
        (("label", 0, "left", -13), ("figure", shape.inner, "right", -13))
        if shape.label_above
        else (("label", -12, "right", 0), ("figure", shape.inner + 14, "left", 0))
    )
    captions: list[Layer] = [
        {
            "mark": {"type": "text", "align": align, "dy": dy, "limit": 0, "baseline": "middle"},
            "encoding": {"x": {"value": x}, "text": {"field": field, "type": "nominal"}},
        }
        for field, x, align, dy in texts
    ]
    lower = {"yOffset": 9 if shape.label_above else 0}
    labels = [
        {"row": index, "label": short(label, shape.letters), "figure": figure}
        for index, (label, figure) in enumerate(rows)
    ]
    document = {
        "width": shape.inner,
        "height": shape.row * len(rows),
        "autosize": {"type": "none"},
        "padding": {"left": shape.left, "right": shape.right, "top": 38, "bottom": 26},
        "data": {"values": labels},
        "layer": [
            *(_in_rows({**layer, "mark": {**layer["mark"], **lower}}, len(rows)) for layer in layers),
            *(_in_rows(layer, len(rows)) for layer in captions),
        ],
        "config": _CONFIG,
    }
    svg = vl_convert.vegalite_to_svg(document, allowed_base_urls=[])
    drawn = re.sub(r"<svg [^>]*?viewBox", '<svg aria-hidden="true" viewBox', svg, count=1)
    return Markup(drawn)  # noqa: S704  # nosec B704 - Vega escapes text


def _in_rows(layer: Layer, count: int) -> Layer:
    if layer["mark"]["type"] == "rule":
        return layer
    scale = {"type": "band", "domain": list(range(count)), "padding": 0}
    y = {"field": "row", "type": "ordinal", "axis": None, "scale": scale}
    return {**layer, "encoding": {**layer["encoding"], "y": y}}


_LEGEND = {"title": None, "orient": "none", "direction": "horizontal", "legendX": 0, "legendY": -30}
_LEGEND |= {"columnPadding": 14, "symbolSize": 90}

_GRID = ("gridColor", "tickColor", "domainColor")

_CONFIG: dict[str, Any] = {
    "aria": False,
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {"labelColor": "var(--muted)", "labelFontSize": 12, **dict.fromkeys(_GRID, "var(--line)")},
    "legend": {"labelColor": "var(--ink)", "labelFontSize": 12},
    "text": {"color": "var(--ink)", "fontSize": 13},
}
