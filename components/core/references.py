"""How a server reaches a secret. A reference is a locator: nothing here is, or can hold, a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pulumi


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
class InjectedFiles(MountedFiles):
    """Secrets that an agent of their store lays into files. Each pod asks an injector to put it beside the server."""

    annotations: Mapping[str, str]
    """Of each pod: what the agent reads, as whom, and into which files."""
    files: Mapping[str, str]
    """Public files beside the pods' own that the agent needs: name -> text."""
    address: str
    """URL of the store, which the agent connects to."""
    token_for: str | None
    """Whom the token is for that the agent logs in with; None is the cluster's API server."""


@dataclass(frozen=True, kw_only=True)
class SyncedKey:
    """Secrets that External Secrets copies from their store into keys of the platform's own."""

    provider: Mapping[str, Any]
    """How it reads there: the `provider` of its SecretStore."""
    secrets: tuple[str, ...]
    remotes: Mapping[str, str]
    """secret -> what the store calls it."""
    version: str = ""
    """The key, beside a secret's fields, that says which version it is; empty where the store has none."""


@dataclass(frozen=True, kw_only=True)
class NativeRef:
    """Secrets that the platform reads and injects as variables when it starts the server."""

    secrets: tuple[str, ...]
    """Their names. A new version of one starts a new deployment."""
    variables: Mapping[str, pulumi.Input[str]]
    """variable -> where its value is, as the platform names it, e.g. arn:…:password:: for ECS."""
    source: str = "env:"
    """What the launcher is started with."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """Secrets that the launcher asks the store for. `source` is what it is started with, e.g. "aws-sm:…"."""

    source: str
    secrets: tuple[str, ...]
    login_variable: str | None = None
    """The variable that names the file the launcher logs in with, where its platform gives it one."""
    ca_file: str | None = None
    """PEM file of this machine with the CA certificates by which the store's server is known."""


Reference = MountedFiles | SyncedKey | NativeRef | Fetched
"""The union grows by one member with each platform that brings a kind."""
