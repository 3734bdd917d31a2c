"""How a server reaches a secret. A reference is a locator: nothing here is, or can hold, a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class ReferenceKind(StrEnum):
    """The kinds of reference there are. Which pair of store and server uses which: `matrix`."""

    NATIVE_REF = "NativeRef"  # the platform injects it from the store by ARN or URL
    SYNCED_KEY = "SyncedKey"  # an operator copies it into a key of a platform's own secret
    MOUNTED_FILES = "MountedFiles"  # files that the store or the platform lays down
    FETCHED = "Fetched"  # the launcher asks the store, with the workload's identity


@dataclass(frozen=True, kw_only=True)
class MountedFiles:
    """Secrets that lie in files. `source` is what the launcher is started with, e.g. "dotenv:/etc/coreflux-mcp"."""

    source: str
    secrets: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SyncedKey:
    """A secret that an operator copies from its store into keys of the platform's own secret.

    Only its tests use it until a store does that is not the cluster's: aws is the first.
    """

    secret: str
    remote: str
    """What the store calls it: an ARN, a path, a name."""
    keys: Mapping[str, str]
    """field -> key in the platform's secret."""


Reference = MountedFiles
"""The union grows by one member with each platform that brings a kind."""
