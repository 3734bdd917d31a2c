"""A single error for all mistakes in a manifest: each key, its entry and the rule that it breaks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from secretops.errors import UsageError
from secretops.printable import printable

# Printed errors of a manifest; the others are counted.
MOST_ERRORS = 20

# Printed characters of an entry or a key.
LONGEST = 80

_REMEDY = "run pulumi up, which writes the manifest; do not edit a manifest by hand"

# Type of a pydantic error -> problem and rule.
_TEXTS = {
    "missing": ("missing", "the key is required"),
    "extra_forbidden": ("unknown key", "a manifest of this version must not have this key"),
    "union_tag_not_found": ("no kind", "the section must have a kind"),
}


class ManifestError(UsageError):
    """The manifest is invalid. Nothing was read, sent or written."""


def manifest_error(where: str, error: ValueError | RecursionError) -> ManifestError:
    if not isinstance(error, ValidationError):
        rule = "a manifest must be a JSON object, written by the program of the same version as secretops"
        return ManifestError(f"{where}: not JSON", rule=rule, remedy=_REMEDY, code="manifest-not-json")
    found = list(dict.fromkeys(_explain(detail) for detail in error.errors(include_url=False)))
    more = [f"and {len(found) - MOST_ERRORS} more"] if len(found) > MOST_ERRORS else []
    what = f"{where} is not a manifest of this version of secretops"
    rule = "\n".join([*found[:MOST_ERRORS], *more])
    return ManifestError(what, rule=rule, remedy=_REMEDY, code="manifest-invalid")


def _explain(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    what, rule = _TEXTS.get(detail["type"], (_value(detail["input"]), detail["msg"][0].lower() + detail["msg"][1:]))
    match detail["type"]:
        case "refused":
            what, rule = context["shown"] or what, str(context["rule"])
        case "union_tag_invalid":
            what, rule = f"kind {_value(context['tag'])}", _one_of(context["expected_tags"])
        case "literal_error" | "enum":
            rule = _one_of(context["expected"])
        case "json_invalid":
            what, rule = "not JSON", str(context.get("error", "JSON"))
    return f"  {_cut(_key(detail)) or 'the manifest'}: {printable(what)}\n    {rule}"


def _key(detail: ErrorDetails) -> str:
    path, above = list[str](), ""
    for part in map(str, detail["loc"]):
        if part != "[key]" and not (part in ("external", "owned") and above == "agent"):
            path.append(part)
        above = part
    return ".".join(path)


def _one_of(quoted: str) -> str:
    known = re.findall("'([^']+)'", quoted)
    return f"the value must be one of {', '.join(known)}"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a section"
    if isinstance(value, list | tuple):
        return "a list"
    return _cut(json.dumps(value, ensure_ascii=False, default=str))


def _cut(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST // 2]} ... {shown[-LONGEST // 3 :]}"
