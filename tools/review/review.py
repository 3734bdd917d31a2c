"""The words of a review, and its file: what goes from the job that runs a pull request's code to the one that comments.

The file is the only thing that the second job takes from the first, so reading it refuses whatever is not of its form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeVar

FORM = 1
MOST_BYTES = 2_000_000
"""Of the file; a thousand resources take a tenth of it."""
MOST = 5_000
"""Of entries in a list."""

_NAME = re.compile(r"[A-Za-z0-9 ._:/$+?-]{1,120}")
_OTHER = re.compile(r"[^A-Za-z0-9 ._:/$+?-]")
_PROPERTY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


class NoReviewError(Exception):
    """What was given is not a review. The text says which part, and never what was in it."""


class Op(StrEnum):
    """What would be done to a resource, the worst first."""

    REPLACE = "replace"
    DELETE = "delete"
    UPDATE = "update"
    CREATE = "create"


class Provider(StrEnum):
    """Whom a preview asked."""

    OWN = "own"
    """Pulumi's own provider, with the credentials of the job."""
    STANDIN = "stand-in"
    NONE = "none"
    """It was not previewed: what it takes to be is not here."""


class Against(StrEnum):
    """What a preview is compared with."""

    DEPLOYED = "deployed"
    """What the stack's state says."""
    BASE = "base"
    """A preview of the commit that the pull request would be merged into."""
    INSTEAD = "base instead"
    """The same, for the state that was chosen can't be read."""
    NOTHING = "nothing"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One resource that would not stay as it is."""

    op: Op
    type: str
    name: str
    properties: tuple[str, ...] = ()
    """Names of the inputs that change; of one within another the outer's, for what is within may be anybody's words."""
    protected: bool = False


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A rule of the policies that a stack would break, and the resource that breaks it."""

    rule: str
    name: str


@dataclass(frozen=True, kw_only=True)
class StackReview:
    """One stack."""

    stack: str
    provider: Provider
    against: Against
    failed: bool = False
    """The preview ended with an error: what is told of it is not all."""
    unchanged: int = 0
    changes: tuple[Change, ...] = ()
    rules: int = 0
    """How many rules were kept; with none broken and none kept, none was asked."""
    later: int = 0
    """How many hang on what only the provider knows, and are judged once that is made."""
    broken: tuple[Broken, ...] = ()


def name(text: str) -> str:
    """A name as a review may hold it: cut, and `?` in the place of all that Markdown, HTML or GitHub would read."""
    return _OTHER.sub("?", text)[:120].strip() or "?"


def is_property(text: str) -> bool:
    """Whether it is what an SDK calls a property. Anything else may be somebody's words."""
    return bool(_PROPERTY.fullmatch(text))


def written(stacks: tuple[StackReview, ...]) -> str:
    """The file."""
    return json.dumps({"form": FORM, "stacks": [asdict(one) for one in stacks]}, indent=1) + "\n"


def read(text: str) -> tuple[StackReview, ...]:
    """The review in a file that anybody may have written. Raises NoReviewError."""
    if len(text.encode()) > MOST_BYTES:
        raise NoReviewError(f"more than {MOST_BYTES} bytes")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NoReviewError("no JSON") from error
    top = _entries(document, {"form", "stacks"}, "the file")
    if top["form"] != FORM:
        raise NoReviewError(f"not of form {FORM}")
    return tuple(_stack(one) for one in _list(top["stacks"], "stacks"))


def _stack(given: object) -> StackReview:
    entries = _entries(given, set(StackReview.__annotations__), "a stack")
    return StackReview(
        stack=_name(entries["stack"], "stack"),
        provider=_one_of(Provider, entries["provider"], "provider"),
        against=_one_of(Against, entries["against"], "against"),
        failed=_bool(entries["failed"], "failed"),
        unchanged=_count(entries["unchanged"], "unchanged"),
        changes=tuple(_change(one) for one in _list(entries["changes"], "changes")),
        rules=_count(entries["rules"], "rules"),
        later=_count(entries["later"], "later"),
        broken=tuple(_broken(one) for one in _list(entries["broken"], "broken")),
    )


def _change(given: object) -> Change:
    entries = _entries(given, set(Change.__annotations__), "a change")
    properties = _list(entries["properties"], "properties")
    if not all(isinstance(one, str) and is_property(one) for one in properties):
        raise NoReviewError("properties: not names of properties")
    return Change(
        op=_one_of(Op, entries["op"], "op"),
        type=_name(entries["type"], "type"),
        name=_name(entries["name"], "name"),
        properties=tuple(properties),
        protected=_bool(entries["protected"], "protected"),
    )


def _broken(given: object) -> Broken:
    entries = _entries(given, set(Broken.__annotations__), "a broken rule")
    return Broken(rule=_name(entries["rule"], "rule"), name=_name(entries["name"], "name"))


def _entries(given: object, keys: set[str], what: str) -> Mapping[str, Any]:
    if not isinstance(given, dict) or given.keys() != keys:
        raise NoReviewError(f"{what}: not an object of {', '.join(sorted(keys))}")
    return given


def _list(given: object, what: str) -> list[Any]:
    if not isinstance(given, list) or len(given) > MOST:
        raise NoReviewError(f"{what}: not a list of at most {MOST}")
    return given


def _name(given: object, what: str) -> str:
    if not isinstance(given, str) or not _NAME.fullmatch(given) or given != given.strip():
        raise NoReviewError(f"{what}: not a name")
    return given


def _bool(given: object, what: str) -> bool:
    if not isinstance(given, bool):
        raise NoReviewError(f"{what}: not true or false")
    return given


def _count(given: object, what: str) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= 10**6:
        raise NoReviewError(f"{what}: not a count")
    return given


_Word = TypeVar("_Word", bound=StrEnum)


def _one_of(words: type[_Word], given: object, what: str) -> _Word:
    try:
        return words(str(given))
    except ValueError as error:
        raise NoReviewError(f"{what}: none of {', '.join(words)}") from error
