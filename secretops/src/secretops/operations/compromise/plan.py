"""What `secretops compromise` would do about a secret, for whoever asks before."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from secretops.manifest import Manifest, OwnedAgent, Reader, Secret, SecretKind
from secretops.operations.certificate import is_asked_for
from secretops.operations.compromise import advice
from secretops.operations.compromise.incident import Incident, Step
from secretops.operations.compromise.kept import files_of
from secretops.operations.rotate import LONGEST_WAIT
from secretops.operations.session import Session
from secretops.platform import platform_of


def cost(manifest: Manifest, secret: Secret) -> str:
    """What it costs the servers that work."""
    if secret.kind is SecretKind.MQTT_USER:
        return f"Servers are without the broker until they have the new one: {platform_of(manifest.store).arrival}."
    if isinstance(secret.agent, OwnedAgent):
        return f"Servers are without the agent until they have the new one: {platform_of(manifest.store).arrival}."
    return "Servers that work go on."


def plan(session: Session, secret: Secret, incident: Incident, *, folder: Path, files: tuple[str, ...]) -> list[str]:
    """Each step in a line. Nothing is changed, and no value is read."""
    for_programs, for_people = files_of(incident, folder)
    done = f"; gone on with, done: {', '.join(incident.done)}" if incident.moments else ""
    return [
        f"incident: {for_programs} and {for_people.name}{done}",
        f"{Step.FREEZE}: hold the lease of store {incident.store}: ticks and other commands answer that it is busy",
        f"{Step.REPLACE}: {_replacing(session, secret, incident)}",
        *([f"{Step.BOTH_SLOTS}: the other one gets a new password, too"] if secret.kind.alternates else []),
        f"{Step.PROOF}: {_proof(session, secret)}",
        f"{Step.READERS}: {_readers(session, secret)}",
        f"{Step.TRAIL}: {_trail(session, files, incident.since)}",
        f"cost: {cost(session.manifest, secret)}",
        *(f"left to you: {text}" for text in advice.elsewhere(secret, incident)),
    ]


def _replacing(session: Session, secret: Secret, incident: Incident) -> str:
    out = ", ".join(f"{one.id}{f' of {one.user}' if one.user else ''}" for one in incident.out) or "no version"
    if secret.kind.alternates:
        broker = session.manifest.broker
        return (
            f"the idle one of {' and '.join(secret.users)} gets a new password, is proven at {broker.host}:"
            f"{broker.port} and published; then {out}: password scrambled, sessions ended"
        )
    if secret.is_made:
        return f"a new one is made, proven and published; then {out}: {advice.end_of(secret)}"
    return f"you supply a new value, as for secretops put; then {out}: forgotten"


def _readers(session: Session, secret: Secret) -> str:
    if Reader.SERVER not in secret.readers:
        return "none to wait for: only the rotator reads it"
    if secret.kind is SecretKind.MQTT_USER:
        limit = max(session.manifest.grace_seconds, LONGEST_WAIT)
        return f"wait until every server reports the new version, {limit:.0f} s at most"
    return "servers take it by themselves, and report nothing of it"


def _proof(session: Session, secret: Secret) -> str:
    if secret.kind.alternates:
        return "log in by each value that was out: refused"
    if secret.kind is SecretKind.X509 and is_asked_for(session.manifest.broker):
        return "show the broker each certificate that was out; without a revocation it is taken until it ends"
    return "ask the agent by each key that was out" if secret.agent else advice.UNTRIED


def _trail(session: Session, files: tuple[str, ...], since: datetime) -> str:
    start = f"who read it since {since:%Y-%m-%d %H:%M} UTC, from "
    if files:
        return start + ", ".join(files)
    if session.manifest.store.folder or session.platform.query_trail(session.manifest.store):
        return start + "the stack's own trail"
    return f"not known without files: --trail FILE; docs/operations/{session.manifest.store.kind}.md says where from"
