"""All that is wrong with a manifest, in one error: each place and value, the rule it breaks, the remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from secretops.errors import UsageError
from secretops.manifest.field_types import WRITE_AGAIN
from secretops.printable import printable

MOST_ERRORS = 20
"""Errors that are printed of one manifest; the rest is counted."""

LONGEST = 80
"""Characters that are printed of a value, or of a place."""

_ONE_VERSION = "the program and secretops are of one version, and a manifest is written by pulumi up"


class ManifestError(UsageError):
    """The manifest is refused. Nothing was read, sent or written by it."""


def not_a_manifest(where: str, error: ValueError | RecursionError) -> ManifestError:
    """Return the error for what `where` has, from what pydantic or the JSON parser found."""
    if not isinstance(error, ValidationError):
        return ManifestError(f"{where} is not a manifest: not JSON", rule=_ONE_VERSION, remedy="pulumi up writes it")
    details = error.errors(include_url=False)
    found = list(dict.fromkeys(_shown(detail) for detail in details))
    lines = [line for problem in found[:MOST_ERRORS] for line in problem]
    if len(found) > MOST_ERRORS:
        lines.append(f"and {len(found) - MOST_ERRORS} more")
    return ManifestError(
        f"{where} is not a manifest of this version of secretops", rule="\n".join(lines), remedy=_remedy(details)
    )


def _shown(detail: ErrorDetails) -> tuple[str, str]:
    place = ".".join(_place(detail))
    what, rule = _wrong(detail)
    return f"  {_cut(place) or 'all of it'}: {what}", f"    {rule}"


def _place(detail: ErrorDetails) -> Iterator[str]:
    """The keys that lead there, without the names that pydantic adds for a union's member or for a key."""
    above = ""
    for part in detail["loc"]:
        text = str(part)
        if not (text in ("external", "owned") and above == "agent") and text != "[key]":
            yield text
        above = text


def _wrong(detail: ErrorDetails) -> tuple[str, str]:
    """Return the value, and the rule that it breaks."""
    what, context = _value(detail["input"]), detail.get("ctx", {})
    match detail["type"]:
        case "refused":
            what, rule = context["shown"] or what, str(context["rule"])
        case "missing":
            what, rule = "missing", "it has no default"
        case "extra_forbidden":
            what, rule = "unknown key", "a manifest of this version has no such key"
        case "union_tag_not_found":
            what, rule = "no kind", "it says its kind"
        case "union_tag_invalid":
            what, rule = f"kind {_value(context['tag'])}", _one_of(context["expected_tags"])
        case "literal_error" | "enum":
            rule = _one_of(context["expected"])
        case "json_invalid":
            what, rule = "not JSON", str(context.get("error", "JSON"))
        case _:
            rule = detail["msg"][0].lower() + detail["msg"][1:]
    return printable(what), rule


def _one_of(quoted: str) -> str:
    known = re.findall("'([^']+)'", quoted)
    return f"one of {', '.join(known)}"


def _remedy(details: list[ErrorDetails]) -> str:
    remedies = [str(each["ctx"]["remedy"]) for each in details if each["type"] == "refused" and "ctx" in each]
    return remedies[0] if remedies else WRITE_AGAIN


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a section"
    if isinstance(value, list | tuple):
        return "a list"
    return _cut(json.dumps(value, ensure_ascii=False, default=str))


def _cut(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST // 2]} ... {shown[-LONGEST // 3 :]}"
