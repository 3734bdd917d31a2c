"""References: where a server reads a secret. A reference never contains a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pulumi


class ReferenceKind(StrEnum):
    """`matrix` maps pairs of store and server to kinds of reference."""

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
    """Secrets that a store's agent writes into files. An injector adds the agent to each pod."""

    annotations: Mapping[str, str]
    """Annotations of each pod: what the agent reads, with which role, and into which files."""
    files: Mapping[str, str]
    """Public files for the agent: name -> text."""
    address: str
    """URL of the store for the agent."""
    token_for: str | None
    """Audience of the agent's login token. None: the cluster's API server."""


@dataclass(frozen=True, kw_only=True)
class SyncedKey:
    """Secrets that External Secrets copies into Kubernetes Secrets."""

    provider: Mapping[str, Any]
    """`provider` of the SecretStore."""
    secrets: tuple[str, ...]
    remotes: Mapping[str, str]
    """Secret -> its name in the store."""
    version: str = ""
    """Key of the version, besides the fields; empty if the store has no version."""


@dataclass(frozen=True, kw_only=True)
class NativeRef:
    """Secrets that the platform injects as variables when it starts the server."""

    secrets: tuple[str, ...]
    """Names. A new version of any starts a deployment."""
    variables: Mapping[str, pulumi.Input[str]]
    """Variable -> the platform's name of the value, e.g. arn:…:password:: for ECS."""
    source: str = "env:"
    """The launcher's argument."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """Secrets that the launcher fetches. `source` is its argument, e.g. "aws-sm:…"."""

    source: str
    secrets: tuple[str, ...]
    login_variable: str | None = None
    """Variable with the path of a mounted login file."""
    ca_file: str | None = None
    """PEM file on this machine with the CAs of the store's server."""


Reference = MountedFiles | SyncedKey | NativeRef | Fetched
