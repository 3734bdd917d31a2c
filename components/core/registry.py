"""The registered platforms. A stack imports only the modules of its kinds of store and server."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .platform import Platform

Section = Literal["store", "server", "issuer"]


@dataclass(frozen=True, kw_only=True)
class Registered:
    module: str
    """Module with the constant PLATFORM, absolute or relative to this package."""
    store: str | None = None
    server: str | None = None
    issuer: str | None = None
    sdk: str | None = None
    """Pulumi SDK for the platform's resources. The Python extra named in `extra` installs it."""
    extra: str | None = None


PLATFORMS: list[Registered] = [
    Registered(module="..dotenv.platform", store="dotenv", server="local"),
    Registered(module="..swarm.platform", store="swarm", server="swarm", sdk="pulumi_docker", extra="swarm"),
    Registered(
        module="..kubernetes.platform",
        store="kubernetes",
        server="kubernetes",
        sdk="pulumi_kubernetes",
        extra="kubernetes",
    ),
    Registered(
        module="..aws.platform", store="aws", server="ecs", issuer="aws-private-ca", sdk="pulumi_aws", extra="aws"
    ),
    Registered(
        module="..azure.platform", store="azure", server="containerapp", sdk="pulumi_azure_native", extra="azure"
    ),
    Registered(module="..vault.platform", store="vault", sdk="pulumi_vault", extra="vault"),
]


def kinds(section: Section) -> tuple[str, ...]:
    """Return the kinds of a section, in the order of the tables in docs/stores.md."""
    return tuple(kind for each in PLATFORMS if (kind := getattr(each, section)))


def platform_of(section: Section, kind: str) -> Platform:
    """Return the platform of a kind. Raises KeyError for an unknown kind."""
    for each in PLATFORMS:
        if getattr(each, section) == kind:
            found: Platform = importlib.import_module(each.module, __package__).PLATFORM
            return found
    raise KeyError(kind)


def sdks(store: str, server: str) -> tuple[str, ...]:
    return tuple(each.sdk for each in PLATFORMS if each.sdk and (each.store == store or each.server == server))


def packages(store: str, server: str) -> tuple[str, ...]:
    return tuple(sdk.removeprefix("pulumi_").replace("_", "-") for sdk in sdks(store, server))


def extras() -> Mapping[str, str]:
    """Map each Pulumi SDK to the Python extra that installs it."""
    return {each.sdk: each.extra for each in PLATFORMS if each.sdk and each.extra}
