"""Find secret values by name or form. No result contains the value."""

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
# Locations, which may contain random names: ARNs, addresses, Azure's ids, images.
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
# Text that is no secret value: empty, true or false, a file mode, a location, a path, an id, or a secret's name.
_REFERENCE = re.compile(
    r"(?i)^(\d{0,4}|true|false|arn:.*|https?://.*|/.*|\{\{.*|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|[\w.@-]+(/[\w.@-]+)+|[a-z]+(-[a-z]+)+)$"
    r"|(?<![a-z])(pass(word|phrase)|secret|token|key)s?(?![a-z])",
    re.DOTALL,
)
# One word of 12 to 64 characters with a symbol that is unusual in names. It has no colon and no slash, as locations do.
_SYMBOLS = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)(?=.*[!#$%^&*~?])[^\s:/{}\[\]]{12,64}")
_OF_A_FILE = base64.b64encode(b"-----BEGIN ").decode()[:14]
# Limit of entropy in bits per character: 32 random letters and digits have more, words have less.
_RANDOM = 3.8
# Limit of the share of neighboring characters of different kinds (lower case, upper case, digit): random text has more,
# WordsInThisStyle1 has fewer.
_CHANGES = 0.37


def names(entry: Any) -> frozenset[str]:
    """Return the parts of public names, such as readers, that look like secret values: 32 or more letters, digits and
    +."""
    return frozenset(_DENSE.findall(json.dumps(entry, ensure_ascii=False, default=str)))


def values(entry: Any, known: frozenset[str] | None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, bool]]:
    """Yield the path of each entry that is or may be a secret value, and True if that is certain.

    JSON in texts and lists of pairs are searched, too. `known` has random-looking names that are no secret values; None
    disables the search for random-looking text.
    """
    match entry:
        case Mapping():
            pair = entry.get("name")
            for key, inner in entry.items():
                named = pair if key == "value" and isinstance(pair, str) else key
                yield from values(inner, known, (*path, named))
        case list():
            for inner in entry:  # a list of texts contains names, not credentials
                yield from values(inner, known, path if isinstance(inner, Mapping | list) else (*path, ""))
        case str() if (inner := _document(entry)) is not None:
            yield from values(inner, known, path)
        case _:
            if (there := _is_value(path[-1] if path else "", entry, known)) is not None:
                yield ".".join(path).rstrip("."), there


def _document(text: str) -> Any:
    with suppress(ValueError):
        return json.loads(text) if text.startswith(("{", "[")) else None


def _is_value(name: str, entry: Any, known: frozenset[str] | None) -> bool | None:
    """Return True for a secret value, False for an unknown entry that may be one, None otherwise."""
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
    # Text that contains the variable's own name is not a value.
    return True if named and name not in text and not _REFERENCE.search(text) else None


def _decoded(text: str) -> str:
    """Decode base64 of a PEM file, as Kubernetes and clouds store certificates. Return other text unchanged."""
    with suppress(ValueError):
        return base64.b64decode(text, validate=True).decode() if text.startswith(_OF_A_FILE) else text
    return text


def _is_dense(run: str) -> bool:
    mixed = all(re.search(kind, run) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    kinds = [(one.islower(), one.isupper()) for one in run]
    changes = sum(one != other for one, other in pairwise(kinds)) / (len(run) - 1)
    bits = -sum(n / len(run) * math.log2(n / len(run)) for n in Counter(run).values())
    return mixed and changes > _CHANGES and bits > _RANDOM
