"""Which sections a stack file may have, the model of each kind of them, and the keys that these know."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Annotated, Any, get_args

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from ..aws.settings import ExistingTrail, LoadBalancer, Vpc
from ..azure.settings import DnsZones, PrivateEndpoint, VaultNetwork
from ..kubernetes.settings import CertificateIssuer, Resources
from ..swarm.settings import LogDriver
from ..vault.settings import VaultAppRole, VaultJwt, VaultKubernetes, VaultPki
from . import validation_errors
from .field_types import LogLevel, Name
from .section import Section
from .sections import (
    AgentSettings,
    BrokerSettings,
    DeclaredSecret,
    Environment,
    IssuerSettings,
    Rotation,
    ServerSettings,
    StoreSettings,
)

OF_KINDS = {
    "store": StoreSettings,
    "server": ServerSettings,
    "broker": BrokerSettings,
    "agent": AgentSettings,
    "issuer": IssuerSettings,
}
"""The sections that say their kind."""

_ASKED = ConfigDict(defer_build=True)
"""A stack file has a few of the sections, and a preview ends soon."""

SECTIONS: Mapping[str, TypeAdapter[Any]] = {
    "environment": TypeAdapter(Environment, config=_ASKED),
    "store": TypeAdapter(Annotated[StoreSettings, Field(discriminator="kind")], config=_ASKED),
    "server": TypeAdapter(Annotated[ServerSettings, Field(discriminator="kind")], config=_ASKED),
    "broker": TypeAdapter(Annotated[BrokerSettings, Field(discriminator="kind")], config=_ASKED),
    "agent": TypeAdapter(Annotated[AgentSettings, Field(discriminator="kind")], config=_ASKED),
    "issuer": TypeAdapter(Annotated[IssuerSettings, Field(discriminator="kind")], config=_ASKED),
    "rotation": TypeAdapter(Rotation),
    "secrets": TypeAdapter(dict[Name, DeclaredSecret], config=_ASKED),
    "log_level": TypeAdapter(LogLevel, config=_ASKED),
}
REQUIRED = ("store", "server", "broker")


def _kinds(model: type[Section]) -> tuple[str, ...]:
    """Those that it is the section of; one that has none is of kind ""."""
    return get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ("",)


_MODELS: Mapping[str, Mapping[str, type[Section]]] = {
    name: {kind: model for model in get_args(union) for kind in _kinds(model)} for name, union in OF_KINDS.items()
}
"""By their kinds."""


def _keys(*models: type[Section], within: validation_errors.Keys | None = None) -> validation_errors.Keys:
    """The keys of each kind of section; `within`, those of a section inside one."""
    found: dict[str, Iterable[str]] = dict(within or {})
    for model in models:
        found |= dict.fromkeys(_kinds(model), tuple(model.model_fields))
    return found


KEYS: Mapping[str, validation_errors.Keys] = {
    "store": _keys(
        *get_args(StoreSettings),
        within={
            "aws.vpc": tuple(Vpc.model_fields),
            "aws.existing_trail": tuple(ExistingTrail.model_fields),
            "azure.network": tuple(VaultNetwork.model_fields),
            "azure.network.private_endpoint": tuple(PrivateEndpoint.model_fields),
            "azure.network.private_endpoint.dns_zones": tuple(DnsZones.model_fields),
            "vault.approle": tuple(VaultAppRole.model_fields),
            "vault.jwt": tuple(VaultJwt.model_fields),
            "vault.kubernetes": tuple(VaultKubernetes.model_fields),
            "vault.pki": tuple(VaultPki.model_fields),
        },
    ),
    "server": _keys(
        *get_args(ServerSettings),
        within={
            "kubernetes.certificate_issuer": tuple(CertificateIssuer.model_fields),
            "kubernetes.resources": tuple(Resources.model_fields),
            "kubernetes.rotator_resources": tuple(Resources.model_fields),
            "ecs.load_balancer": tuple(LoadBalancer.model_fields),
            "swarm.log_driver": tuple(LogDriver.model_fields),
        },
    ),
    "broker": _keys(*get_args(BrokerSettings)),
    "agent": _keys(*get_args(AgentSettings)),
    "issuer": _keys(*get_args(IssuerSettings)),
    "rotation": _keys(Rotation),
    "secrets": _keys(DeclaredSecret),
}


def read(name: str, section: Any, kind: str | None) -> Any:
    """A section of kind `kind`, of what its JSON says. Raises ValidationError.

    What is right is read without building the models of other kinds: a preview ends soon.
    """
    text = json.dumps(section)
    if model := _MODELS.get(name, {}).get(kind or ""):
        with suppress(ValidationError):
            return model.model_validate_json(text)
    return SECTIONS[name].validate_json(text)
