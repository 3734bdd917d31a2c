"""How a chart is drawn: rows with a label, a figure, and marks between them, as SVG by Vega-Lite.

No script, no font, no request. Colours are the style sheet's variables, so that one drawing is dark, light and on
paper. Each chart is drawn for a wide page and for a phone; the style sheet shows one of them.
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

Layer = dict[str, Any]
"""A layer of Vega-Lite: a mark, where it is, and data of its own."""

LETTER = 8
"""Pixels that a letter of a label is wide at most, in any usual font."""


@dataclass(frozen=True)
class Shape:
    """What a chart is drawn for. Pixels."""

    name: str
    width: int
    left: int
    right: int
    row: int
    letters: int
    """Of a row's label, at most."""
    label_above: bool
    """Whether a row's label and figure stand above what is drawn, which then has the whole width."""

    @property
    def inner(self) -> int:
        return self.width - self.left - self.right


WIDE = Shape("wide", width=1040, left=0, right=150, row=28, letters=32, label_above=False)
"""Its left is as wide as the labels are."""
NARROW = Shape("narrow", width=330, left=10, right=14, row=46, letters=21, label_above=True)


@dataclass(frozen=True)
class Point:
    """What stands for one kind of event: told apart by its shape, too."""

    shape: str
    fill: str
    edge: str


def draw(rows: Sequence[tuple[str, str]], layers: Sequence[Layer]) -> dict[str, Markup]:
    """Name of a shape -> the drawing of these labels and figures; the data of `layers` name a row by its number."""
    longest = min(max(len(label) for label, _ in rows), WIDE.letters)
    wide = replace(WIDE, left=24 + LETTER * longest)
    return {shape.name: _svg(rows, layers, shape) for shape in (wide, NARROW)}


def bars(values: Sequence[Mapping[str, Any]], colours: Mapping[str, str], **x: Any) -> Layer:
    """A bar for each of `values`: `row`, `kind`, `length`. Those of a row are in the order of `colours`."""
    order = list(colours)
    return {
        "data": {"values": [{**value, "order": order.index(value["kind"])} for value in values]},
        "mark": {"type": "bar", "height": 14, "stroke": "var(--ink)", "strokeWidth": 0.6},
        "encoding": {
            "x": {"field": "length", "type": "quantitative", "stack": "zero", **x},
            "color": {**_kinds(colours), "scale": {"domain": order, "range": list(colours.values())}},
            "order": {"field": "order", "type": "ordinal"},
        },
    }


def points(values: Sequence[Mapping[str, Any]], begin: datetime, end: datetime, kinds: Mapping[str, Point]) -> Layer:
    """A point for each of `values`: `row`, `kind`, `time` as `at` gives it. The later ones lie on the earlier ones."""
    channels = {
        "shape": [point.shape for point in kinds.values()],
        "fill": [point.fill for point in kinds.values()],
        "stroke": [point.edge for point in kinds.values()],
    }
    begin = min(begin, end - timedelta(days=1))
    spans = end - begin
    form = "%b %Y" if spans > timedelta(days=60) else "%d %b" if spans > timedelta(days=4) else "%d %b %H:%M"
    return {
        "data": {"values": list(values)},
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
                for channel, scale in channels.items()
            },
        },
    }


def rule(where: float | str) -> Layer:
    """A line across all rows, at a number or at a time as `at` gives it."""
    kind = "temporal" if isinstance(where, str) else "quantitative"
    return {
        "data": {"values": [{"where": where}]},
        "mark": {"type": "rule", "strokeWidth": 2, "color": "var(--ink)"},
        "encoding": {"x": {"field": "where", "type": kind}},
    }


def axis(**given: Any) -> dict[str, Any]:
    """An axis whose labels stay apart, also in a wider font than Vega measures by."""
    kept = {"labelFlush": True, "labelBound": 8, "labelOverlap": True, "labelSeparation": 14}
    return {"title": None, "tickCount": 5, **kept, **given}


def at(time: datetime) -> str:
    """A time as Vega reads it."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def short(name: str, letters: int) -> str:
    """`name` without its middle: the end is what tells one role's session from another's."""
    name = printable(name)
    if len(name) <= letters:
        return name
    begin = letters // 3
    return f"{name[:begin]}…{name[begin + 1 - letters :]}"


def _kinds(kinds: Mapping[str, object]) -> dict[str, Any]:
    """What tells one kind from another, with a legend where there is more than one."""
    legend = {
        "title": None,
        "orient": "none",
        "direction": "horizontal",
        "legendX": 0,
        "legendY": -30,
        "columnPadding": 14,
        "symbolSize": 90,
    }
    return {"field": "kind", "type": "nominal", "legend": legend if len(kinds) > 1 else None}


def _svg(rows: Sequence[tuple[str, str]], layers: Sequence[Layer], shape: Shape) -> Markup:
    texts = (
        (("label", 0, "left", -13), ("figure", shape.inner, "right", -13))
        if shape.label_above
        else (("label", -12, "right", 0), ("figure", shape.inner + 14, "left", 0))
    )
    words: list[Layer] = [
        {
            "mark": {"type": "text", "align": align, "dy": dy, "limit": 0, "baseline": "middle"},
            "encoding": {"x": {"value": x}, "text": {"field": field, "type": "nominal"}},
        }
        for field, x, align, dy in texts
    ]
    lower = {"yOffset": 9 if shape.label_above else 0}
    document = {
        "width": shape.inner,
        "height": shape.row * len(rows),
        "autosize": {"type": "none"},
        "padding": {"left": shape.left, "right": shape.right, "top": 38, "bottom": 26},
        "data": {
            "values": [
                {"row": index, "label": short(label, shape.letters), "figure": figure}
                for index, (label, figure) in enumerate(rows)
            ]
        },
        "layer": [
            *(_in_rows({**layer, "mark": {**layer["mark"], **lower}}, len(rows)) for layer in layers),
            *(_in_rows(layer, len(rows)) for layer in words),
        ],
        "config": _CONFIG,
    }
    svg = vl_convert.vegalite_to_svg(document, allowed_base_urls=[])
    drawn = re.sub(r"<svg [^>]*?viewBox", '<svg aria-hidden="true" viewBox', svg, count=1)
    return Markup(drawn)  # noqa: S704  # nosec B704 - Vega escapes text


def _in_rows(layer: Layer, count: int) -> Layer:
    """Each mark in its row; a rule goes across all."""
    if layer["mark"]["type"] == "rule":
        return layer
    place = {
        "field": "row",
        "type": "ordinal",
        "axis": None,
        "scale": {"type": "band", "domain": list(range(count)), "padding": 0},
    }
    return {**layer, "encoding": {**layer["encoding"], "y": place}}


_CONFIG: dict[str, Any] = {
    "aria": False,
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "labelFontSize": 12,
        "gridColor": "var(--line)",
        "tickColor": "var(--line)",
        "domainColor": "var(--line)",
    },
    "legend": {"labelColor": "var(--ink)", "labelFontSize": 12},
    "text": {"color": "var(--ink)", "fontSize": 13},
}
