"""Translate pydantic's errors to problems: unknown keys, missing keys, entries of the wrong type."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ..core import registry
from .plain_values import secret_meant, shown_key, shown_name
from .problems import Problem, did_you_mean, shown
from .section import place_of_output

A_SECTION = "a section: keys with entries"

# Kind -> key -> an example of its entry, or None. The kind is "" for a section without kinds, and kind.key for an inner
# section.
Keys = Mapping[str, Mapping[str, str | None]]


def explain(section: str, error: ValidationError, keys: Keys, *, reported: Iterable[str] = ()) -> Iterator[Problem]:
    """Yield a problem for each of pydantic's errors, except for missing keys at or above a path in `reported`."""
    details = error.errors(include_url=False)
    wrong_keys = {detail["loc"][:-1] for detail in details if detail["loc"][-1:] == ("[key]",)}
    for detail in details:
        place = detail["loc"]
        if place in wrong_keys:  # the entry may be valid for the key that is meant
            continue
        kind = str(place[0]) if place and place[0] in keys else ""
        parts = (shown_key(str(part)) for part in place[1 if kind else 0 :] if part != "[key]")
        where = ".".join([shown_key(section), *parts])
        follows = detail["type"] == "too_short" and any(
            other["loc"][: len(place)] == place and other is not detail for other in details
        )
        hidden = detail["type"] == "missing" and any(f"{was}.".startswith(f"{where}.") for was in reported)
        if place_of_output(detail["input"]):
            rule = "the value must be known before the deployment, because the value decides which resources exist"
            yield Problem(
                f"{where}: must not be a Pulumi output",
                rule,
                "write the value itself, or read it from the configuration (pulumi.Config)",
                code="output-decides-resources",
            )
        elif not follows and not hidden:
            yield _explained(where, detail, section, keys, kind)


def without_unknown(section: Any, error: ValidationError, keys: Keys) -> Any:
    """Return the section without its unknown keys, or None if it has errors of another kind.

    Cross-field rules can then report their problems at the same time.
    """
    rest = copy.deepcopy(section)
    for detail in error.errors(include_url=False):
        place = detail["loc"]
        if detail["type"] != "extra_forbidden":
            return None
        *above, key = place[1:] if place[0] in keys else place
        inner = rest
        for part in above:
            inner = inner[part]
        del inner[key]
    return rest


def _explained(where: str, detail: ErrorDetails, section: str, keys: Keys, kind: str) -> Problem:
    key = where.rpartition(".")[2]
    kinds = [name for name in keys if "." not in name]
    match detail["type"]:
        case "union_tag_not_found":
            return Problem(
                f"{where}.kind: missing",
                f"a section {where} must have the key kind",
                f"add the key kind, with one of these values: {', '.join(kinds)}",
                code="kind-missing",
            )
        case "union_tag_invalid":
            return _unknown_kind(section, detail["input"]["kind"], kinds)
        case "json_invalid":
            return Problem(
                f"{where}: a lone surrogate such as \\ud800, or too many levels",
                "text must be valid Unicode, and a section may be at most a hundred levels deep",
                f"remove the surrogate or the inner levels; {key} must have the form that it has in examples/",
                code="not-json",
            )
        case "missing":
            return Problem(
                f"{where}: missing",
                "this key is required",
                f"add {_written(keys.get(kind, {}).get(key), key)}",
                code="key-missing",
            )
        case "extra_forbidden":
            of = f"section {section} of kind {kind}" if kind else f"section {section}"
            within = ".".join(map(str, detail["loc"][:-1]))
            if "." in within and within in keys:
                kind, of = within, f"section {within.rpartition('.')[2]}"
            known = list(keys[kind])
            inner = next((name for name in keys if name.startswith(f"{kind}.") and key in keys[name]), None)
            remedy = (
                f"did you mean {section}.{inner.partition('.')[2]}.{key}?"
                if inner
                else did_you_mean(key, known, otherwise=_by_its_secret(key, known))
            )
            return Problem(
                f"{where}: unknown key", f"a key of {of} must be one of {', '.join(known)}", remedy, code="unknown-key"
            )
        case _:
            return _wrong_entry(where, detail, keys.get(kind, {}).get(key))


def _by_its_secret(key: str, known: Iterable[str]) -> str:
    """Return the remedy for a key with another word for a secret, such as password_days for mqtt_days."""
    called, _, measure = key.rpartition("_")
    secret = secret_meant(called) or ""
    meant = f"{secret.replace('-', '_')}_{measure}"
    return f"did you mean {meant}?" if meant in known else "remove this key"


def _written(form: str | None, key: str) -> str:
    return f"{key}: {form}" if form else key


def _wrong_entry(where: str, detail: ErrorDetails, form: str | None) -> Problem:  # noqa: PLR0912
    entry, context = detail["input"], detail.get("ctx", {})
    key = where.rpartition(".")[2]
    named = shown_name(entry) if isinstance(entry, str) else None
    what = "invalid name" if detail["loc"][-1:] == ("[key]",) else named or shown(entry)
    match detail["type"]:
        case "refused":
            rule, remedy, what = context["rule"], context["remedy"], context.get("shown", what)
        case "literal_error" | "enum":
            known = re.findall(r"'([^']+)'", context["expected"])
            what = shown(entry, known)
            rule, remedy = (
                f"one of {', '.join(known)}",
                did_you_mean(str(entry), known, otherwise="write one of these words"),
            )
            if str(entry) in known:  # a number in place of text
                remedy = f'write the entry in quotes: "{entry}"'
        case "model_type" | "model_attributes_type" | "dict_type":
            what = "text" if isinstance(entry, str) else what  # not shown: it may be a secret value
            rule, remedy = A_SECTION, f"put keys below {key}:"
            if form:
                remedy = f"write {_written(form, key)}, or {remedy}"
        case "bool_type":
            rule, remedy = "true or false", "write true or false, without quotes"
        case "int_type" | "int_from_float":
            rule, remedy = "a whole number", "write digits alone, without quotes"
        case "string_type":
            rule, remedy = "text", "write one text" if isinstance(entry, Mapping | list) else _IN_QUOTES
        case "tuple_type":
            rule, remedy = "a list", f"write a list: {key}: [...]"
            if entry is False and form == "[]":
                remedy += f"; for none {_written(form, key)}"
        case "too_short":
            what, rule = "an empty list", "a list of at least one entry"
            remedy = f"add an entry: {key}: {form}" if form else "add an entry"
        case _:
            rule, remedy = (
                f"the entry must be valid: {detail['msg'][0].lower()}{detail['msg'][1:]}",
                "correct the entry",
            )
    code = context.get("code") or _CODES.get(detail["type"], "wrong-type")
    if detail["type"] in _TYPES and entry is None:
        code, remedy = "entry-empty", "write an entry, or remove the key to use its default"
    rule = rule if " must " in f" {rule}" else f"the entry must be {rule}"
    return Problem(f"{where}: {what}", rule, remedy, code=code)


_IN_QUOTES = "put the entry in quotes, if it is the text that you mean"
_TYPES = ("string_type", "int_type", "bool_type")
_CODES = {"literal_error": "unknown-word", "enum": "unknown-word", "too_short": "list-empty"}


def _unknown_kind(section: str, kind: Any, known: list[str]) -> Problem:
    where, rule = f"{section}.kind", f"the kind must be one of {', '.join(known)}"
    for other in ("store", "server"):
        if section in ("store", "server") and kind in registry.kinds(other) and kind not in known:
            return Problem(
                f"{where}: {kind} is a {other}, not a {section}", rule, "write one of these kinds", code="unknown-kind"
            )
    return Problem(
        f"{where}: {shown(kind, known)}",
        rule,
        did_you_mean(str(kind), known, otherwise="write one of these kinds"),
        code="unknown-kind",
    )


def unknown_section(name: str, known: Iterable[str], keys: Mapping[str, Keys]) -> Problem:
    """Return the problem for an unknown section. If its name is a key of a section in `keys`, the remedy names that
    section."""
    key = name.rpartition(".")[2]
    above = next(
        (section for section, kinds in keys.items() if key in {one for each in kinds.values() for one in each}), ""
    )
    remedy = f"put {key} below {above}:" if above else did_you_mean(name, known, otherwise="remove this section")
    return Problem(
        f"{shown_key(name)}: unknown section",
        f"the section must be one of {', '.join(known)}",
        remedy,
        code="unknown-section",
    )
