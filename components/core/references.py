"""References: where a server reads a secret. A reference never contains a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pulumi


class ReferenceKind(StrEnum):
    """The kinds of reference. `matrix` says which pair of store and server uses which."""

    NATIVE_REF = "NativeRef"  # the platform injects variables from the store
    SYNCED_KEY = "SyncedKey"  # External Secrets copies it into a Kubernetes Secret
    MOUNTED_FILES = "MountedFiles"  # the store or the platform mounts files
    FETCHED = "Fetched"  # the launcher reads the store with the workload's identity


@dataclass(frozen=True, kw_only=True)
class MountedFiles:
    """Secrets in files. `source` is the launcher's argument, e.g. "dotenv:/etc/coreflux-mcp"."""

    source: str
    secrets: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class InjectedFiles(MountedFiles):
    """Secrets that an agent of their store writes into files. An injector adds it to each pod."""

    annotations: Mapping[str, str]
    """Annotations of each pod: what the agent reads, with which role, and into which files."""
    files: Mapping[str, str]
    """Public files for the agent: name -> text."""
    address: str
    """URL of the store, to which the agent connects."""
    token_for: str | None
    """Audience of the token with which the agent logs in; None for the cluster's API server."""


@dataclass(frozen=True, kw_only=True)
class SyncedKey:
    """Secrets that External Secrets copies from their store into Kubernetes Secrets."""

    provider: Mapping[str, Any]
    """The `provider` of its SecretStore."""
    secrets: tuple[str, ...]
    remotes: Mapping[str, str]
    """Secret -> its name in the store."""
    version: str = ""
    """The key with the version, in addition to the fields; empty if the store has none."""


@dataclass(frozen=True, kw_only=True)
class NativeRef:
    """Secrets that the platform injects as variables when it starts the server."""

    secrets: tuple[str, ...]
    """Their names. A new version of one starts a new deployment."""
    variables: Mapping[str, pulumi.Input[str]]
    """Variable -> the platform's name for the value's place, e.g. arn:…:password:: for ECS."""
    source: str = "env:"
    """The launcher's argument."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """Secrets that the launcher fetches. `source` is its argument, e.g. "aws-sm:…"."""

    source: str
    secrets: tuple[str, ...]
    login_variable: str | None = None
    """The variable with the path of the launcher's login file, if its platform mounts one."""
    ca_file: str | None = None
    """PEM file of this machine with the CAs of the store's server."""


Reference = MountedFiles | SyncedKey | NativeRef | Fetched
