"""The model of a review, and its file. The job that runs the pull request's code passes the file to the job that
comments.

The reader rejects everything unexpected.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeVar

FORM = 2
# Maximum bytes of the file; a thousand resources need a tenth.
MOST_BYTES = 2_000_000
# Maximum entries of a list.
MOST = 5_000

_NAME = re.compile(r"[A-Za-z0-9 ._:/$+?-]{1,120}")
_OTHER = re.compile(r"[^A-Za-z0-9 ._:/$+?-]")
_PROPERTY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_SETTING = re.compile(r"[a-z][a-z_]{0,30}(\.[a-z][a-z_]{0,30}){0,4}")

# AWS services. Only those with digits in their names may have digits: random values contain digits.
_DIGITS = "s3|ec2|route53|wafv2"
SERVICE = re.compile(rf"(?:[a-z-]{{1,30}}\.|(?:{_DIGITS})\.){{1,2}}amazonaws\.com")
# Actions: `secretsmanager:Get*` (AWS), `secrets:get` or `pods/log:get` (Kubernetes), `vault:read`.
ACTION = re.compile(rf"\*|(?:[a-z][a-z./-]{{0,60}}|{_DIGITS}|\*):[A-Za-z*]{{1,60}}")
# Built-in roles by GUID, which is the same in every tenant:
# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
AZURE_ROLES = {
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
    "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
    "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9": "User Access Administrator",
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": "Reader",
    "00482a5a-887f-4fb3-b363-3b7fe8e74483": "Key Vault Administrator",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "73c42c96-874c-492b-b04d-ab87d138a893": "Log Analytics Reader",
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": "AcrPull",
    "b93aa761-3e63-49ed-ac28-beffa264f7ac": "Container Registry Repository Reader",
}

ALL, ELSE = "*", "something else"


class NoReviewError(Exception):
    """The input is not a review. The text names the wrong part, but never its content."""


class Op(StrEnum):
    """Kinds of changes of a resource, worst first."""

    # A provider changes its account, region or cluster: resources are created there, and lost here.
    MOVE = "move"
    REPLACE = "replace"
    DELETE = "delete"
    UPDATE = "update"
    CREATE = "create"


class Provider(StrEnum):
    # Pulumi's own provider, with the job's credentials.
    OWN = "own"
    STANDIN = "stand-in"
    # Pulumi's own provider without a cluster, which returns objects as written.
    RENDERED = "rendered"
    # There is no preview.
    NONE = "none"


class Against(StrEnum):
    """What a preview was compared with."""

    # The stack's state.
    DEPLOYED = "deployed"
    # A preview of the base commit.
    BASE = "base"
    # A preview of the base commit, because the chosen state is unreadable.
    INSTEAD = "base instead"
    # Nothing, because the base can't be previewed.
    NO_BASE = "no base"
    NOTHING = "nothing"


class Effect(StrEnum):
    ALLOW = "Allow"
    DENY = "Deny"


class Conditions(StrEnum):
    """Whether a statement has conditions, apart from those on principals."""

    NONE = ""
    SOME = "some"
    CHANGED = "changed"


class Judge(StrEnum):
    """Whose rules report a broken rule: base, pull request (head), or both."""

    BOTH = "both"
    HEAD = "head"
    # Only the base, because the pull request changes the rules.
    BASE = "base"


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A statement about who may do what, in the vocabulary of statements.py."""

    effect: Effect
    actions: tuple[str, ...]
    principals: tuple[str, ...]
    resources: tuple[str, ...]
    # Whether it exempts the principals from a Deny.
    exempt: bool = False
    conditions: Conditions = Conditions.NONE


@dataclass(frozen=True, kw_only=True)
class Change:
    op: Op
    type: str
    name: str
    # Names of changed inputs. Inner keys are left out, because anybody may choose them.
    properties: tuple[str, ...] = ()
    protected: bool = False
    # The update may be a replacement: there was no provider with a state.
    may_replace: bool = False
    # The update or replacement only follows from a provider's move.
    follows: bool = False
    # Number of resources of a provider that moves.
    resources: int = 0
    gained: tuple[Statement, ...] = ()
    lost: tuple[Statement, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Broken:
    rule: str
    name: str
    judge: Judge = Judge.HEAD


@dataclass(frozen=True, kw_only=True)
class StackReview:
    stack: str
    provider: Provider
    against: Against
    # The preview failed, so its changes are incomplete.
    failed: bool = False
    unchanged: int = 0
    changes: tuple[Change, ...] = ()
    # Number of kept rules. If no rule is kept or broken, the stack was not judged.
    rules: int = 0
    # Number of rules that can only be judged once the provider has created resources.
    later: int = 0
    # Number of policies and roles with statements that are unknown before the deployment.
    unread: int = 0
    broken: tuple[Broken, ...] = ()
    # Names of removed or renamed secrets, whose values are lost.
    values_lost: tuple[str, ...] = ()
    values_new: tuple[str, ...] = ()
    # Paths of settings that the program rejects.
    errors: tuple[str, ...] = ()


def name(text: str) -> str:
    """Return a name for a review: shortened, and with `?` for special characters of Markdown, HTML and GitHub."""
    return _OTHER.sub("?", text)[:120].strip() or "?"


def is_property(text: str) -> bool:
    return bool(_PROPERTY.fullmatch(text))


def is_setting(text: str) -> bool:
    return bool(_SETTING.fullmatch(text))


def written(stacks: tuple[StackReview, ...]) -> str:
    return json.dumps({"form": FORM, "stacks": [asdict(one) for one in stacks]}, indent=1) + "\n"


def read(text: str) -> tuple[StackReview, ...]:
    """Return the review in a file's text, which anybody may have written. Raises NoReviewError."""
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
        unread=_count(entries["unread"], "unread"),
        broken=tuple(_broken(one) for one in _list(entries["broken"], "broken")),
        values_lost=_texts(entries["values_lost"], "values_lost", is_name),
        values_new=_texts(entries["values_new"], "values_new", is_name),
        errors=_texts(entries["errors"], "errors", is_setting),
    )


def _change(given: object) -> Change:
    entries = _entries(given, set(Change.__annotations__), "a change")
    return Change(
        op=_one_of(Op, entries["op"], "op"),
        type=_name(entries["type"], "type"),
        name=_name(entries["name"], "name"),
        properties=_texts(entries["properties"], "properties", is_property),
        protected=_bool(entries["protected"], "protected"),
        may_replace=_bool(entries["may_replace"], "may_replace"),
        follows=_bool(entries["follows"], "follows"),
        resources=_count(entries["resources"], "resources"),
        gained=tuple(_statement(one) for one in _list(entries["gained"], "gained")),
        lost=tuple(_statement(one) for one in _list(entries["lost"], "lost")),
    )


def _statement(given: object) -> Statement:
    entries = _entries(given, set(Statement.__annotations__), "a statement")
    return Statement(
        effect=_one_of(Effect, entries["effect"], "effect"),
        actions=_texts(entries["actions"], "actions", _is_action),
        principals=_texts(entries["principals"], "principals", _is_term),
        resources=_texts(entries["resources"], "resources", _is_term),
        exempt=_bool(entries["exempt"], "exempt"),
        conditions=_one_of(Conditions, entries["conditions"], "conditions"),
    )


def _is_action(text: str) -> bool:
    return bool(ACTION.fullmatch(text)) or text in AZURE_ROLES.values() or text == ELSE


def _is_term(text: str) -> bool:
    return text == ALL or is_name(text)


def _broken(given: object) -> Broken:
    entries = _entries(given, set(Broken.__annotations__), "a broken rule")
    return Broken(
        rule=_name(entries["rule"], "rule"),
        name=_name(entries["name"], "name"),
        judge=_one_of(Judge, entries["judge"], "judge"),
    )


def _entries(given: object, keys: set[str], what: str) -> Mapping[str, Any]:
    if not isinstance(given, dict) or given.keys() != keys:
        raise NoReviewError(f"{what}: not an object of {', '.join(sorted(keys))}")
    return given


def _list(given: object, what: str) -> list[Any]:
    if not isinstance(given, list) or len(given) > MOST:
        raise NoReviewError(f"{what}: not a list of at most {MOST}")
    return given


def _texts(given: object, what: str, form: Callable[[str], bool]) -> tuple[str, ...]:
    texts = _list(given, what)
    if not all(isinstance(one, str) and form(one) for one in texts):
        raise NoReviewError(f"{what}: an entry has the wrong form")
    return tuple(texts)


def is_name(text: str) -> bool:
    return bool(_NAME.fullmatch(text)) and text == text.strip()


def _name(given: object, what: str) -> str:
    if not isinstance(given, str) or not is_name(given):
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
