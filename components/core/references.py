"""References: where a server reads a secret. A reference never contains a secret value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pulumi


class ReferenceKind(StrEnum):
    """How a server reads secrets. The module `matrix` maps pairs of store and server to these kinds."""

    NATIVE_REF = "NativeRef"  # the platform injects variables from the store
    SYNCED_KEY = "SyncedKey"  # External Secrets copies secrets into Kubernetes Secrets
    MOUNTED_FILES = "MountedFiles"  # the store or the platform mounts files
    FETCHED = "Fetched"  # the launcher reads the store with the workload's identity


@dataclass(frozen=True, kw_only=True)
class MountedFiles:
    """Secrets in files. `source` is the launcher's argument `--from`, e.g. "dotenv:/etc/coreflux-mcp"."""

    source: str
    secrets: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class InjectedFiles(MountedFiles):
    """Secrets that Vault's agent writes into files. An injector adds that agent to each pod."""

    annotations: Mapping[str, str]
    """Annotations for each pod: what the agent reads, with which role, and into which files it writes."""
    files: Mapping[str, str]
    """Texts of public files for Vault's agent, by file name."""
    address: str
    """URL at which the agent reads the store."""
    token_for: str | None
    """Audience of the agent's login token; None means the audience of the cluster's API server."""


@dataclass(frozen=True, kw_only=True)
class SyncedKey:
    """Secrets that External Secrets copies into Kubernetes Secrets."""

    provider: Mapping[str, Any]
    """Entry `provider` of External Secrets' SecretStore."""
    secrets: tuple[str, ...]
    remotes: Mapping[str, str]
    """Name of each secret in the store."""
    version: str = ""
    """Key under which the store returns a secret's version; empty if there is none."""


@dataclass(frozen=True, kw_only=True)
class NativeRef:
    """Secrets that the platform injects as variables when it starts the server."""

    secrets: tuple[str, ...]
    """Names of the injected secrets. A new version of any of them starts a deployment."""
    variables: Mapping[str, pulumi.Input[str]]
    """Location of each variable's value, in the platform's syntax, such as arn:…:password:: for ECS."""
    source: str = "env:"
    """The launcher's argument `--from`."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """Secrets that the launcher fetches. `source` is its argument `--from`, e.g. "aws-sm:…"."""

    source: str
    secrets: tuple[str, ...]
    login_variable: str | None = None
    """Environment variable with the path of a mounted login file."""
    ca_file: str | None = None
    """PEM file on this machine with the CAs that sign the store's certificate."""


Reference = MountedFiles | SyncedKey | NativeRef | Fetched
