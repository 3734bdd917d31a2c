"""What gives a value away: by what it is named, or by its own form. Nothing here repeats one."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from policies.plan import CONCEALED, UNKNOWN

_PUBLIC = re.compile(r"-----BEGIN (CERTIFICATE|CERTIFICATE REQUEST|PUBLIC KEY)-----.*?-----END \1-----", re.DOTALL)
_FORMS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b(AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\bgh[pousr]_\w{36}|\bgithub_pat_\w{22}"
    r"|\bxox[abprs]-[\w-]{10}|\bhv[sbr]\.[\w-]{20}|\bdop_v1_[0-9a-f]{64}|\bpul-[0-9a-f]{40}"
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.|AccountKey=[\w+/]{40}|://[^/\s:@]+:[^/\s:@]+@"
)
"""Private keys, tokens that say what they are, and passwords within an address."""
_DENSE = re.compile(r"[A-Za-z0-9+]{32,}")
_LOCATOR = re.compile(
    r"\barn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:\d*:[\w+=,.@:/*?-]+"
    r"|\bhttps?://[\w.:-]+(/[\w.~/-]*)?(?![\w?#@])"
    r"|^/subscriptions/[\w.()/-]+$"
    r"|^[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)+:[\w.-]+(@sha256:[0-9a-f]{64})?$"
)
"""What says where something is, however random the names in it: ARNs, addresses, Azure's ids, images."""
_NAMED = re.compile(
    r"^([\w.$/-]*[-_./])?"
    r"(pass(word|wd|phrase)|secret|token|credentials?|(api|access|private|secret|account)[-_.]?key)$"
)
_REFERENCE = re.compile(
    r"(?i)^(\d{0,4}|true|false|arn:.*|https?://.*|/.*|\{\{.*|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|[\w.@-]+(/[\w.@-]+)+|[a-z]+(-[a-z]+)+)$"
    r"|pass(word|phrase)|secret|token|key",
    re.DOTALL,
)
"""An empty text, a switch, a mode, a locator, a path, an id, or a name that says itself that it is a secret's."""
_OF_A_FILE = base64.b64encode(b"-----BEGIN ").decode()[:14]
_RANDOM = 3.8
"""Bits a character: of 32 random letters and digits there are more, of words fewer."""
_CHANGES = 0.37
"""How often a neighbour is of another kind (small, capital, digit): less often where WordsAreSetLikeThis1."""


def names(entry: Any) -> frozenset[str]:
    """What may be a name as random as a value, in what says who reads or where: roles, users, logs."""
    match entry:
        case Mapping():
            return names(list(entry.values()))
        case list():
            return frozenset[str]().union(*map(names, entry))
        case str():
            return frozenset(_DENSE.findall(entry))
    return frozenset()


def values(entry: Any, known: frozenset[str], path: tuple[str, ...] = ()) -> Iterator[tuple[str, bool]]:
    """Where a value lies, or may: the place, and whether that is known yet. Looks into JSON and into lists of pairs.

    `known` are the names that are no values.
    """
    match entry:
        case Mapping():
            pair = entry.get("name")
            for key, inner in entry.items():
                named = pair if key == "value" and isinstance(pair, str) else key
                yield from values(inner, known, (*path, named))
        case list():
            for inner in entry:  # a name of many is of no credential: such a list is of names
                yield from values(inner, known, path if isinstance(inner, Mapping | list) else (*path, ""))
        case str() if (inner := _document(entry)) is not None:
            yield from values(inner, known, path)
        case _:
            if (there := _is_value(path[-1] if path else "", entry, known)) is not None:
                yield ".".join(path).rstrip("."), there


def _document(text: str) -> Any:
    """What is in a JSON text, if it is one."""
    if text[:1] not in "{[" or not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _is_value(name: str, entry: Any, known: frozenset[str]) -> bool | None:
    """True: a value. False: one may be there, which is not known yet. None: no value."""
    named = bool(_NAMED.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
    if entry is CONCEALED:
        return True
    if entry is UNKNOWN:
        return False if named else None
    if not isinstance(entry, str):
        return None
    text = _PUBLIC.sub("", _decoded(entry))
    runs = {*_DENSE.findall(_LOCATOR.sub("", text))} - known
    if _FORMS.search(text) or any(map(_is_dense, runs)):
        return True
    return True if named and name not in text and not _REFERENCE.search(text) else None  # its own name is none


def _decoded(text: str) -> str:
    """What a Kubernetes object or a cloud has as base64, where it begins as a file of certificates does."""
    if not text.startswith(_OF_A_FILE):
        return text
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return text


def _is_dense(run: str) -> bool:
    """Whether a run of letters and digits is as random as a password that a machine made."""
    mixed = all(re.search(kind, run) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    kinds = [(one.islower(), one.isupper()) for one in run]
    changes = sum(one != other for one, other in pairwise(kinds)) / (len(run) - 1)
    bits = -sum(n / len(run) * math.log2(n / len(run)) for n in Counter(run).values())
    return mixed and changes > _CHANGES and bits > _RANDOM
