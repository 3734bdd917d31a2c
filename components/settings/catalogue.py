"""The secrets of a stack, from the sections of its file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from secretops import manifest
from secretops.manifest import HTTP_TOKEN, Agent, ExternalAgent, Reader, Secret

from ..core import secrets
from .sections import AgentSettings, DeclaredSecret, OutsideBroker, OwnedAgent, PrivateCa, Rotation


def secrets_of(stack: str, sections: Mapping[str, Any]) -> Iterator[Secret]:
    """Yield the secrets of a stack whose file has `sections`, by name, as `schema.read` returns them."""
    store, server, broker = sections["store"], sections["server"], sections["broker"]
    issuer, agent, rotation = sections.get("issuer"), sections.get("agent"), sections.get("rotation", Rotation())
    own: Mapping[str, DeclaredSecret] = sections.get("secrets", {})
    yield secrets.broker_admin(stack, rotation.broker_admin_days)
    yield secrets.mqtt(stack, rotation.mqtt_days)
    yield secrets.agent_key(rotation.agent_key_days, _agent(stack, agent))
    if isinstance(agent, OwnedAgent):
        yield secrets.agent_admin()
    if isinstance(broker, OutsideBroker) and broker.client_certificate:
        own_issuer = issuer.issuer_of(secrets.client_name(stack)) if issuer else None
        signs, authority = own_issuer or store.certificate_issuer(stack), broker.ca_file is not None
        if isinstance(issuer, PrivateCa):
            yield secrets.client_ca(issuer.ca_days)
        if not server.has_own_issuer:
            yield secrets.client_cert(issuer=signs, authority=authority)
        elif store.kind != server.kind:  # the rotator of another platform can't read what the server's one signs
            yield secrets.client_cert((Reader.ROTATOR,), issuer=signs, authority=authority)
    if server.is_remote and HTTP_TOKEN[0] not in own:
        yield secrets.http_token()
    for name, secret in own.items():
        yield secrets.declared(name, secret.fields, secret.readers, secret.remind_after_days)


def _agent(stack: str, section: AgentSettings | None) -> Agent:
    if isinstance(section, OwnedAgent):
        return manifest.OwnedAgent(url=section.url, id=section.id, prefix=secrets.client_name(stack))
    return ExternalAgent(url=section.url) if section and section.url else ExternalAgent()
