"""Reduce the event stream of a preview to what a review may contain.

Inputs are compared, but not kept. From messages, only the paths of rejected settings are read.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tools.review.replacing import Replaces
from tools.review.review import Change, Op, Statement, is_property, name
from tools.review.settings_page import known
from tools.review.statements import UNKNOWN, Names, is_unread
from tools.review.statements import compared as of_statements

# The engine's ops -> kinds of change. The three ops of a replacement are one change.
_OPS = {
    "create": Op.CREATE,
    "update": Op.UPDATE,
    "delete": Op.DELETE,
    "replace": Op.REPLACE,
    "create-replacement": Op.REPLACE,
    "delete-replaced": Op.REPLACE,
}
_PROVIDER = "pulumi:providers:"
_STACK = "pulumi:pulumi:Stack"
_SAME = ("same", "refresh", "read")
# Inputs of a provider that decide where it creates resources.
_PLACES = frozenset(
    {
        *("region", "allowedAccountIds", "assumeRoles", "profile", "endpoints"),
        *("subscriptionId", "tenantId", "location", "environment"),
        *("context", "clusterIdentifier", "cluster", "kubeconfig", "address", "namespace", "host"),
    }
)
_PLACE = re.compile(r"[^\s\[\]{}'\",]+")
# The program's messages start with a setting's path (components/settings/problems.py).
_REFUSED = re.compile(r"^ {0,4}([a-z][a-z_.]*)(?:\[\d+\])?: ", re.MULTILINE)

Inputs = Mapping[str, Any]
# Type of a function: does a change of these properties replace a resource of this type?
Replacing = Callable[[str, frozenset[str]], Replaces]
Granted = tuple[tuple[Statement, ...], tuple[Statement, ...]]


class NoStreamError(Exception): ...


@dataclass(frozen=True, kw_only=True, repr=False)
class Planned:
    """A resource in a preview. It has no repr, since its inputs may be secret."""

    urn: str
    type: str
    op: str
    properties: frozenset[str]
    inputs: Inputs
    before: Inputs
    provider: str
    arn: str
    protected: bool

    @property
    def name(self) -> str:
        return self.urn.rpartition("::")[2]


@dataclass(frozen=True, kw_only=True, repr=False)
class Preview:
    """The content of a preview. `secrets` has the names of the stack's secrets; None if the preview failed before they
    were known."""

    resources: Mapping[str, Planned]
    failed: bool
    secrets: frozenset[str] | None = None
    secrets_before: frozenset[str] | None = None
    refused: tuple[str, ...] = ()

    @property
    def packages(self) -> frozenset[str]:
        return frozenset(
            one.type.removeprefix(_PROVIDER) for one in self.resources.values() if one.type.startswith(_PROVIDER)
        )

    @property
    def unread(self) -> int:
        return sum(is_unread(one.inputs) for one in self.resources.values())

    def names(self, *, before: bool = False) -> Names:
        return Names.of(
            (one.type, one.name, one.before if before else one.inputs, one.arn) for one in self.resources.values()
        )


@dataclass(frozen=True, kw_only=True)
class Found:
    changes: tuple[Change, ...]
    unchanged: int
    values_lost: tuple[str, ...] = ()
    values_new: tuple[str, ...] = ()


def preview(text: str) -> Preview:
    resources: dict[str, Planned] = {}
    summary: dict[str, Any] = {}
    secrets: list[frozenset[str] | None] = [None, None]
    refused: dict[str, None] = {}
    for event in _events(text):
        summary = event.get("summaryEvent") or summary
        outputs = (event.get("resOutputsEvent") or {}).get("metadata") or {}
        if outputs.get("type") == _STACK:
            found = [_secrets(outputs.get(side) or {}) for side in ("new", "old")]
            secrets = [one if one is not None else was for one, was in zip(found, secrets, strict=True)]
        diagnostic = event.get("diagnosticEvent") or {}
        if diagnostic.get("severity") == "error":
            refused |= dict.fromkeys(map(known, _REFUSED.findall(str(diagnostic.get("message", "")))))
        planned = (event.get("resourcePreEvent") or {}).get("metadata")
        if planned:
            before = resources.get(planned["urn"])
            # For a resource that is refreshed, the first event is about the refresh.
            if before is None or before.op not in _OPS or planned["op"] == "replace":
                resources[planned["urn"]] = _planned(planned)
    return Preview(
        resources=resources,
        failed=summary.get("result") != "succeeded",
        secrets=secrets[0],
        secrets_before=secrets[1],
        refused=tuple(one for one in refused if one),
    )


def _events(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            event = json.loads(line)
        except ValueError as error:
            raise NoStreamError("a line is not JSON") from error
        if not isinstance(event, dict):
            raise NoStreamError("a line is not an event")
        yield event


def _secrets(state: Mapping[str, Any]) -> frozenset[str] | None:
    manifest = (state.get("outputs") or {}).get("secretops")
    if not isinstance(manifest, dict) or not isinstance(manifest.get("secrets"), list):
        return None
    return frozenset(name(str(one["name"])) for one in manifest["secrets"] if isinstance(one, dict) and "name" in one)


def _planned(event: Mapping[str, Any]) -> Planned:
    old, new = event.get("old") or {}, event.get("new") or {}
    named = (*(event.get("diffs") or ()), *(event.get("keys") or ()), *(event.get("detailedDiff") or ()))
    return Planned(
        urn=event["urn"],
        type=event["type"],
        op=event["op"],
        properties=frozenset(map(outermost, named)),
        inputs=new.get("inputs") or {},
        before=old.get("inputs") or {},
        provider=str(new.get("provider") or old.get("provider") or "").rpartition("::")[0],
        arn=str((new.get("outputs") or {}).get("arn") or (old.get("outputs") or {}).get("arn") or ""),
        protected=bool(new.get("protect") or old.get("protect")),
    )


def outermost(path: str) -> str:
    """Return the outermost property in a path such as `tags["a.b"]` or `code.assets[0]`."""
    for stop, char in enumerate(path):
        if char in ".[":
            return path[:stop]
    return path


def changes(found: Preview) -> Found:
    names, was = found.names(), found.names(before=True)
    all_of = Counter(one.provider for one in found.resources.values())
    providers = [one for one in found.resources.values() if _is_provider(one)]
    gone = {one.type: one.before for one in providers if one.op == "delete"}
    reported: list[Change] = []
    places: dict[str, str] = {}
    for one in providers:
        before = one.before or gone.get(one.type)  # a renamed provider is a deletion and a creation
        if one.op != "delete" and before and (moved := _moved(before, one.inputs)):
            reported.append(_move(one, moved, all_of[one.urn]))
            places |= _places(before, one.inputs)
    for one in found.resources.values():
        if _is_a_resource(one) and one.op in _OPS:
            granted = of_statements(one.type, one.name, one.before, one.inputs, old=was, new=names)
            follows = _follows(one.before, one.inputs, places)
            reported.append(_change(one, _OPS[one.op], one.properties, granted, follows=follows))
    lost, new = _values(found.secrets_before, found)
    same = sum(_is_a_resource(one) and one.op in _SAME for one in found.resources.values())
    return Found(changes=tuple(reported), unchanged=same, values_lost=lost, values_new=new)


def compared(base: Preview, head: Preview, replacing: Replacing) -> Found:
    was, names = base.names(), head.names()
    all_of = Counter(one.provider for one in base.resources.values())
    gone = {one.type: one for urn, one in base.resources.items() if _is_provider(one) and urn not in head.resources}
    reported: list[Change] = []
    places: dict[str, str] = {}
    same = 0
    for urn, one in head.resources.items():
        before = base.resources.get(urn) or gone.get(one.type)
        if _is_provider(one) and before and (moved := _moved(before.inputs, one.inputs)):
            reported.append(_move(one, moved, all_of[before.urn]))
            places |= _places(before.inputs, one.inputs)
    for urn, one in head.resources.items():
        before = base.resources.get(urn)
        if not _is_a_resource(one):
            continue
        if before is None:
            reported.append(
                _change(
                    one, Op.CREATE, frozenset(), of_statements(one.type, one.name, None, one.inputs, old=was, new=names)
                )
            )
            continue
        changed = frozenset(key for key in before.inputs.keys() | one.inputs.keys() if _differs(before, one, key))
        if not changed:
            same += 1
            continue
        replaces = replacing(one.type, changed)
        op = Op.REPLACE if replaces is Replaces.YES else Op.UPDATE
        granted = of_statements(one.type, one.name, before.inputs, one.inputs, old=was, new=names)
        was_then, is_now = ({key: side.inputs.get(key) for key in changed} for side in (before, one))
        follows = _follows(was_then, is_now, places)
        reported.append(_change(one, op, changed, granted, may_replace=replaces is Replaces.MAYBE, follows=follows))
    reported += [
        _change(one, Op.DELETE, frozenset(), of_statements(one.type, one.name, one.inputs, None, old=was, new=names))
        for urn, one in base.resources.items()
        if urn not in head.resources and _is_a_resource(one)
    ]
    lost, new = _values(base.secrets, head)
    return Found(changes=tuple(reported), unchanged=same, values_lost=lost, values_new=new)


def _moved(before: Inputs, after: Inputs) -> frozenset[str]:
    return frozenset(key for key in _PLACES if before.get(key) != after.get(key))


def _places(before: Inputs, after: Inputs) -> dict[str, str]:
    found: dict[str, str] = {}
    for key in _PLACES:
        old, new = (_PLACE.findall(str(inputs.get(key) or "")) for inputs in (before, after))
        found |= dict(zip(old, new, strict=False))
    return found


def _follows(before: Any, after: Any, places: Mapping[str, str]) -> bool:
    """Return whether an input only becomes unknown, or changes only by `places`: old -> new text, such as a provider's
    region."""
    if isinstance(before, dict) and isinstance(after, dict):
        return before.keys() == after.keys() and all(_follows(before[key], after[key], places) for key in before)
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(_follows(*both, places) for both in zip(before, after, strict=True))
    if isinstance(before, str) and isinstance(after, str):
        for old, new in places.items():
            before = before.replace(old, new)
        return before == after or UNKNOWN in after
    return bool(before == after)


def _move(provider: Planned, moved: frozenset[str], resources: int) -> Change:
    return Change(
        op=Op.MOVE,
        type=name(provider.type),
        name=name(provider.name),
        properties=tuple(sorted(moved)),
        resources=resources,
    )


def _values(before: frozenset[str] | None, found: Preview) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if before is None or (found.secrets is None and found.failed):
        return (), ()
    after = found.secrets or frozenset()
    return tuple(sorted(before - after)), tuple(sorted(after - before))


def _differs(before: Planned, after: Planned, key: str) -> bool:
    values = [one.inputs.get(key) for one in (before, after)]
    made_up = re.compile(rf"{re.escape(after.name)}-[0-9a-f]{{7}}")
    if all(isinstance(one, str) and made_up.fullmatch(one) for one in values):
        return False
    return bool(values[0] != values[1])


def _is_provider(one: Planned) -> bool:
    return one.type.startswith(_PROVIDER)


def _is_a_resource(one: Planned) -> bool:
    return not one.type.startswith("pulumi:") and not one.type.startswith("coreflux-mcp-secrets:")


def _change(
    one: Planned,
    op: Op,
    properties: frozenset[str],
    granted: Granted,
    *,
    may_replace: bool = False,
    follows: bool = False,
) -> Change:
    shown = sorted(each for each in properties if is_property(each)) if op in (Op.UPDATE, Op.REPLACE) else ()
    return Change(
        op=op,
        type=name(one.type),
        name=name(one.name),
        properties=tuple(shown),
        protected=one.protected,
        may_replace=may_replace,
        follows=follows and op in (Op.UPDATE, Op.REPLACE),
        gained=granted[0],
        lost=granted[1],
    )
