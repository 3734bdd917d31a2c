"""Checks of containers, for any platform."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from policies.matchers import judge, listed
from policies.plan import UNKNOWN, Finding, Resource

# Words in a variable's name that make its text a secret value, unless the text is a path.
_OF_A_VALUE = frozenset(
    ("PASSWORD", "PASSWD", "PASSPHRASE", "PASS", "PWD", "SECRET", "TOKEN", "KEY", "APIKEY", "CREDENTIALS", "CREDENTIAL")
)
UNPINNED = "has the tag latest or none, so the image can change without a review; set another tag, or a digest"
HAS_CREDENTIAL = "contains a credential, which others on the host can read; let the program read a file"
PLAIN = "has the name of a credential, or contains a private key"


def pinned(image: Any) -> bool:
    """Accept an image with a digest, or with a tag other than latest."""
    if not isinstance(image, str):
        return False
    tag = re.search(r":([\w.-]+)$", image.partition("@")[0])
    return "@sha256:" in image or (tag is not None and tag[1] != "latest")


def drops_all(drops: Any) -> bool:
    return any(one in ("ALL", "CAP_ALL") for one in listed(drops))


def of_a_value(name: Any) -> bool:
    return isinstance(name, str) and bool(_OF_A_VALUE & set(name.upper().split("_")))


def in_plain_sight(name: Any, text: Any) -> bool:
    """Return whether a variable has a credential's name, or its text contains a private key. Return False if that is
    unknown."""
    return of_a_value(name) or "PRIVATE KEY-----" in str(text)


def no_credential(arguments: Any) -> bool:
    """Return False for `NAME=text` or `--name text`, if NAME is a credential's name and the text is not a path."""
    command = " ".join(map(str, listed(arguments)))
    for word, after in pairwise([*command.split(), "-"]):
        name, assigned, text = word.lstrip("-").partition("=")
        is_flag = word.startswith("-") and not assigned
        last = re.split(r"[-_.]", name)[-1]
        if of_a_value(last) and (assigned or is_flag) and (after if is_flag else text)[:1] not in ("", "-", "/", "$"):
            return False
    return not in_plain_sight("", command)


def carries_value(of: Resource, container: str, name: Any, text: Any) -> Iterator[Finding]:
    if name is UNKNOWN or of_a_value(name):
        yield from judge(
            of,
            (name, text),
            lambda pair: pair[1] is None or (isinstance(pair[1], str) and pair[1].startswith("/")),
            f"{container}: the variable {name}",
            "contains a value, which others on the host can read; write the path of a file, as NAME_FILE",
        )
