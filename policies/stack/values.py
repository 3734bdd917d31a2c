"""Find secret values by name or form. No result contains a value."""

from __future__ import annotations

import base64
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any

from policies.plan import CONCEALED, UNKNOWN

_PUBLIC = re.compile(r"-----BEGIN (CERTIFICATE|CERTIFICATE REQUEST|PUBLIC KEY)-----.*?-----END \1-----", re.DOTALL)
# Private keys, tokens with a prefix, and passwords within an address.
_FORMS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b(AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\bgh[pousr]_\w{36}|\bgithub_pat_\w{22}"
    r"|\bxox[abprs]-[\w-]{10}|\bhv[sbr]\.[\w-]{20}|\bdop_v1_[0-9a-f]{64}|\bpul-[0-9a-f]{40}"
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.|AccountKey=[\w+/]{40}|://[^/\s:@]+:[^/\s:@]+@"
)
_DENSE = re.compile(r"[A-Za-z0-9+]{32,}")
# Locations, however random the names in them: ARNs, addresses, Azure's ids, images.
_LOCATOR = re.compile(
    r"\barn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:\d*:[\w+=,.@:/*?-]+"
    r"|\bhttps?://[\w.:-]+(/[\w.~/-]*)?(?![\w?#@])"
    r"|^/subscriptions/[\w.()/-]+$"
    r"|^[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)+:[\w.-]+(@sha256:[0-9a-f]{64})?$"
)
_NAMED = re.compile(
    r"^([\w.$/-]*[-_./])?"
    r"(pass(word|wd|phrase)|secret|token|credentials?|(api|access|private|secret|account)[-_.]?key)$"
)
# An empty text, a switch, a mode, a location, a path, an id, or a name that is a secret's.
_REFERENCE = re.compile(
    r"(?i)^(\d{0,4}|true|false|arn:.*|https?://.*|/.*|\{\{.*|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|[\w.@-]+(/[\w.@-]+)+|[a-z]+(-[a-z]+)+)$"
    r"|(?<![a-z])(pass(word|phrase)|secret|token|key)s?(?![a-z])",
    re.DOTALL,
)
# One word of 12 to 64 characters with a symbol that names do not have; a location has a colon or a slash.
_SYMBOLS = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)(?=.*[!#$%^&*~?])[^\s:/{}\[\]]{12,64}")
_OF_A_FILE = base64.b64encode(b"-----BEGIN ").decode()[:14]
# Bits per character: 32 random letters and digits have more, words have fewer.
_RANDOM = 3.8
# Share of neighbors of another kind (lower case, upper case, digit): WordsInThisStyle1 have fewer.
_CHANGES = 0.37


def names(entry: Any) -> frozenset[str]:
    """Return the random texts in outputs that name readers and logs."""
    return frozenset(_DENSE.findall(json.dumps(entry, ensure_ascii=False, default=str)))


def values(entry: Any, known: frozenset[str] | None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, bool]]:
    """Yield each place with a value or a possible value, and whether that is known yet.

    Reads JSON and lists of pairs. `known`: random names that are no values; None disables detection by randomness.
    """
    match entry:
        case Mapping():
            pair = entry.get("name")
            for key, inner in entry.items():
                named = pair if key == "value" and isinstance(pair, str) else key
                yield from values(inner, known, (*path, named))
        case list():
            for inner in entry:  # a key with a list of texts has names, and no credential
                yield from values(inner, known, path if isinstance(inner, Mapping | list) else (*path, ""))
        case str() if (inner := _document(entry)) is not None:
            yield from values(inner, known, path)
        case _:
            if (there := _is_value(path[-1] if path else "", entry, known)) is not None:
                yield ".".join(path).rstrip("."), there


def _document(text: str) -> Any:
    """Return None for other texts."""
    with suppress(ValueError):
        return json.loads(text) if text.startswith(("{", "[")) else None


def _is_value(name: str, entry: Any, known: frozenset[str] | None) -> bool | None:
    """Return True for a value, False if there may be an unknown one, None otherwise."""
    named = bool(_NAMED.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
    if entry is CONCEALED:
        return True
    if entry is UNKNOWN:
        return False if named else None
    if not isinstance(entry, str):
        return None
    text = _PUBLIC.sub("", _decoded(entry))
    runs = set() if known is None else {*_DENSE.findall(_LOCATOR.sub("", text))} - known
    if _FORMS.search(text) or any(map(_is_dense, runs)) or _SYMBOLS.fullmatch(text):
        return True
    return True if named and name not in text and not _REFERENCE.search(text) else None  # its own name is no value


def _decoded(text: str) -> str:
    """Return a certificate file's text: Kubernetes and clouds store it in base64."""
    with suppress(ValueError):
        return base64.b64decode(text, validate=True).decode() if text.startswith(_OF_A_FILE) else text
    return text


def _is_dense(run: str) -> bool:
    """Return whether it is as random as a generated password."""
    mixed = all(re.search(kind, run) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    kinds = [(one.islower(), one.isupper()) for one in run]
    changes = sum(one != other for one, other in pairwise(kinds)) / (len(run) - 1)
    bits = -sum(n / len(run) * math.log2(n / len(run)) for n in Counter(run).values())
    return mixed and changes > _CHANGES and bits > _RANDOM
