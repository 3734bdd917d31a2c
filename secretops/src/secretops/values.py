"""The value of a secret: named fields that are never printed by accident. Its public metadata is `manifest.Secret`."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterator, Mapping
from typing import NoReturn

from secretops.redaction import HIDDEN, remember

# Fields that are not secret, since they grant no access. All others are hidden.
PUBLIC_FIELDS = frozenset({"username", "ca.crt", "client.crt"})

# Characters of a generated password: 62 symbols, so about 238 bits.
PASSWORD_LENGTH = 40

_ALPHABET = string.ascii_letters + string.digits


class Value(Mapping[str, str]):
    """An immutable mapping of fields, for example {"username": …, "password": …}. Hidden in repr, str and logs."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = dict(fields)
        for name, text in self._fields.items():
            if name not in PUBLIC_FIELDS:
                remember(text)

    def __getitem__(self, name: str) -> str:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def as_dict(self) -> dict[str, str]:
        """Return a copy of the fields, which is not hidden when printed."""
        return dict(self._fields)

    def __repr__(self) -> str:
        return f"Value({', '.join(f'{name}={HIDDEN}' for name in self._fields)})"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret value is not pickled")


def new_password() -> str:
    """Return a password of letters and digits only, because brokers split commands at spaces and quotes."""
    return "".join([secrets.choice(_ALPHABET) for _ in range(PASSWORD_LENGTH)])
