"""What is wrong with a stack file, told to a person: the value, the rule, the remedy, and never a secret."""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from components.matrix import ServerKind, StoreKind


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: what and where, the rule it breaks, the remedy."""

    what: str
    rule: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}\n    {self.rule}\n    -> {self.remedy}"


_VALUE_LIKE_KEY = re.compile(
    r"(pass(word|wd|phrase)?|pwd|token|secret|api[_-]?key|private[_-]?key|client[_-]?key|credentials?"
    r"|connection[_-]?string)$",
    re.IGNORECASE,
)
_VALUE_LIKE_TEXT = re.compile(r"-----BEGIN |[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@", re.IGNORECASE)
_SECRET_OF = (
    (re.compile(r"admin", re.IGNORECASE), "broker-admin"),
    (re.compile(r"api|agent|token", re.IGNORECASE), "agent-key"),
    (re.compile(r"private|client|cert|-----BEGIN", re.IGNORECASE), "client-cert"),
    (re.compile(r"connection|://", re.IGNORECASE), "NAME"),
)


def values_in(where: str, entry: Any) -> Iterator[Problem]:
    """A problem for each entry below `where` that looks like a secret's value. What it says is never repeated."""
    key = where.rpartition(".")[2]
    if isinstance(entry, Mapping):
        for name, inner in entry.items():
            yield from values_in(f"{where}.{name}", inner)
    elif isinstance(entry, list):
        for at, inner in enumerate(entry):
            yield from values_in(f"{where}.{at}", inner)
    elif _VALUE_LIKE_KEY.search(key) or (isinstance(entry, str) and _VALUE_LIKE_TEXT.search(entry)):
        yield _value(where, f"{where} {entry if isinstance(entry, str) else ''}")


def encrypted(section: str) -> Problem:
    """A section with a `secure:` entry."""
    return _value(section, section, "a secure: entry")


def _value(where: str, hints: str, found: str = "what looks like a secret's value (not shown)") -> Problem:
    name = next((secret for pattern, secret in _SECRET_OF if pattern.search(hints)), "mqtt")
    return Problem(
        f"{where}: {found}",
        "no value is configuration, encrypted or not: Pulumi would keep it in its state",
        f"take it out, change it if it was ever committed, and give the new one to: secretops put {name}",
    )


def explain(section: str, error: ValidationError) -> Iterator[Problem]:
    """Each thing that pydantic found wrong with a section."""
    for detail in error.errors(include_url=False):
        place = [str(part) for part in detail["loc"] if part not in set(StoreKind) | set(ServerKind) | _TAGS]
        where = ".".join([section, *place])
        yield _explained(where, detail)


_TAGS = {"embedded", "coreflux", "mosquitto"}


def _explained(where: str, detail: ErrorDetails) -> Problem:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            return Problem(
                f"{where}: unknown key", "an unknown key is refused, not ignored", "take it out or correct it"
            )
        case "missing" | "union_tag_not_found":
            lacking = where if detail["type"] == "missing" else f"{where}.kind"
            return Problem(f"{lacking}: missing", "it has no default", f"add {lacking.rpartition('.')[2]}")
        case "union_tag_invalid":
            return _unknown_kind(where, str(context["tag"]), re.findall(r"'([^']+)'", context["expected_tags"]))
        case "string_pattern_mismatch":
            rule = f"it must match {context['pattern']}"
        case _:
            rule = detail["msg"][0].lower() + detail["msg"][1:]
    return Problem(f"{where}: {_shown(detail['input'])}", rule, f"correct {where} in the stack file")


def _unknown_kind(where: str, kind: str, known: list[str]) -> Problem:
    if kind in set(StoreKind) | set(ServerKind):
        return Problem(
            f"{where}.kind: {kind} arrives with {kind}",
            f"the {kind} platform is not built yet",
            f"until then one of {', '.join(known)}",
        )
    return Problem(f"{where}.kind: {_shown(kind)}", f"one of {', '.join(known)}", did_you_mean(kind, known))


def unknown_section(name: str, known: Iterable[str]) -> Problem:
    """A section that no stack file has."""
    return Problem(f"{name}: unknown section", f"one of {', '.join(known)}", did_you_mean(name, known))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The nearest word there is, as a remedy."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]}?" if near else "take it out"


def _shown(entry: Any) -> str:
    return textwrap.shorten(repr(entry), 60, placeholder=" ...")
