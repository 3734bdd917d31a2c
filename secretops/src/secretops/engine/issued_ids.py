"""Under which settings a certificate was issued: its version's id tells, which every store keeps as it is."""

from __future__ import annotations

import hashlib

from secretops.manifest import Issuer

# Hex digits at the end of an id: one group says that the next one is there, and not random as in a supplied version's.
_MARK, _SETTINGS = 4, 6


def issued_id(token: str, issuer: Issuer) -> str:
    """Return `token`, a new version's id, with its last ten digits replaced by what `issued_otherwise` looks for."""
    stem = token[: -(_MARK + _SETTINGS)]
    return f"{stem}{_digest(stem, _MARK)}{_settings(issuer)}"


def issued_otherwise(version: str, issuer: Issuer) -> bool:
    """Return True if secretops had it issued under other settings: another issuer, name or life.

    A supplied one, or one that was issued before ids told, gives False. Of 65,536 supplied ones one looks issued.
    """
    stem, mark = version[: -(_MARK + _SETTINGS)], version[-(_MARK + _SETTINGS) : -_SETTINGS]
    return mark == _digest(stem, _MARK) and not version.endswith(_settings(issuer))


def _settings(issuer: Issuer) -> str:
    """The life of a private CA is its own: a longer one replaces no client's certificate."""
    return _digest(issuer.model_dump_json(exclude={"ca_seconds"}), _SETTINGS)


def _digest(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
