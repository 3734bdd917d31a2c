"""A preview as the CLI writes it, an event a line, reduced to what a review may hold.

Everything else ends here: inputs are compared and never kept, messages are not even read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tools.review.review import Change, Op, is_property, name

_OPS = {
    "create": Op.CREATE,
    "update": Op.UPDATE,
    "delete": Op.DELETE,
    "replace": Op.REPLACE,
    "create-replacement": Op.REPLACE,
    "delete-replaced": Op.REPLACE,
}
"""The engine's words for what it would do. The three of a replacement are one."""
_PROVIDER = "pulumi:providers:"
_SAME = ("same", "refresh", "read")

Inputs = Mapping[str, Any]
Replacing = Callable[[str, frozenset[str]], frozenset[str]]
"""Of a type's properties that change, those that make a new resource."""


class NoStreamError(Exception):
    """What was given is not the event stream of a preview."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Planned:
    """A resource as a preview has it. It has inputs, and so no repr."""

    urn: str
    type: str
    op: str
    properties: frozenset[str]
    inputs: Inputs
    protected: bool


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What one preview said."""

    resources: Mapping[str, Planned]
    failed: bool

    @property
    def packages(self) -> frozenset[str]:
        """Of Pulumi's providers that it asked."""
        return frozenset(
            one.type.removeprefix(_PROVIDER) for one in self.resources.values() if one.type.startswith(_PROVIDER)
        )


def preview(text: str) -> Preview:
    """Of the event stream. Raises NoStreamError."""
    resources: dict[str, Planned] = {}
    summary: dict[str, Any] = {}
    for event in _events(text):
        summary = event.get("summaryEvent") or summary
        told = (event.get("resourcePreEvent") or {}).get("metadata")
        if told:
            before = resources.get(told["urn"])
            # Of a refreshed resource the first event is that it was looked at; what is done to it comes after.
            if before is None or before.op not in _OPS or told["op"] == "replace":
                resources[told["urn"]] = _planned(told)
    return Preview(resources=resources, failed=summary.get("result") != "succeeded")


def _events(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            event = json.loads(line)
        except ValueError as error:
            raise NoStreamError("a line that is no JSON") from error
        if not isinstance(event, dict):
            raise NoStreamError("a line that is no event")
        yield event


def _planned(told: Mapping[str, Any]) -> Planned:
    old, new = told.get("old") or {}, told.get("new") or {}
    named = (*(told.get("diffs") or ()), *(told.get("keys") or ()), *(told.get("detailedDiff") or ()))
    return Planned(
        urn=told["urn"],
        type=told["type"],
        op=told["op"],
        properties=frozenset(map(outermost, named)),
        inputs=new.get("inputs") or {},
        protected=bool(new.get("protect") or old.get("protect")),
    )


def outermost(path: str) -> str:
    """The property of a path such as `tags["a.b"]` or `code.assets[0]`."""
    for stop, char in enumerate(path):
        if char in ".[":
            return path[:stop]
    return path


def changes(found: Preview) -> tuple[tuple[Change, ...], int]:
    """What a preview against a stack's state says, and how many resources stay as they are."""
    own = [one for one in found.resources.values() if _is_a_resource(one)]
    told = tuple(_change(one, _OPS[one.op], one.properties) for one in own if one.op in _OPS)
    return told, sum(one.op in _SAME for one in own)


def compared(base: Preview, head: Preview, replacing: Replacing) -> tuple[tuple[Change, ...], int]:
    """What two previews of the same empty state differ in: what would change of a stack that is as the base has it."""
    told, same = [], 0
    for urn, one in head.resources.items():
        before = base.resources.get(urn)
        if not _is_a_resource(one):
            continue
        if before is None:
            told.append(_change(one, Op.CREATE, frozenset()))
            continue
        changed = frozenset(key for key in before.inputs.keys() | one.inputs.keys() if _differs(before, one, key))
        if not changed:
            same += 1
            continue
        told.append(_change(one, Op.REPLACE if replacing(one.type, changed) else Op.UPDATE, changed))
    told += [
        _change(one, Op.DELETE, frozenset())
        for urn, one in base.resources.items()
        if urn not in head.resources and _is_a_resource(one)
    ]
    return tuple(told), same


def _differs(before: Planned, after: Planned, key: str) -> bool:
    """A name that the engine makes up ends otherwise each time; that is no change."""
    values = [one.inputs.get(key) for one in (before, after)]
    made_up = re.compile(rf"{re.escape(after.urn.rpartition('::')[2])}-[0-9a-f]{{7}}")
    if all(isinstance(one, str) and made_up.fullmatch(one) for one in values):
        return False
    return bool(values[0] != values[1])


def _is_a_resource(one: Planned) -> bool:
    """And neither one of the engine's own, the stack or a provider, nor a component, which is only a name."""
    return not one.type.startswith("pulumi:") and not one.type.startswith("coreflux-mcp-secrets:")


def _change(one: Planned, op: Op, properties: frozenset[str]) -> Change:
    shown = sorted(each for each in properties if is_property(each)) if op in (Op.UPDATE, Op.REPLACE) else ()
    return Change(
        op=op,
        type=name(one.type),
        name=name(one.urn.rpartition("::")[2]),
        properties=tuple(shown),
        protected=one.protected,
    )
