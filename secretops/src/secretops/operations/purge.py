"""Take a stack's values away for good. Dry unless told otherwise: `pulumi destroy` never does this."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from secretops.engine.ports import NamedKey
from secretops.engine.state import Version
from secretops.errors import SecretopsError, UsageError
from secretops.manifest import OwnedAgent, SecretKind
from secretops.operations import broker
from secretops.operations.rotators import agent_key
from secretops.operations.session import Session, is_name, known_versions


def purge(
    session: Session, only: str | None = None, *, destroy: bool, say: Callable[[str], None] = lambda _: None
) -> dict[str, tuple[Version, ...]]:
    """Every version with a value, of every secret that the store keeps or of `only` one; with `destroy` all is gone,
    what is delivered, too.

    A broker's users stay as they are: without the values nobody can log in as them. The embedded broker goes whole,
    for its admin could never be found again. So does what commands were carried in, and the value that one of them had
    of its operator. Keys of an agent of ours are deleted there; `say` is told of those that could not be, which work
    on. Raises StoreError, LeaseHeldError, EmbeddedBrokerError, UsageError.
    """
    with session.lease("purge"):
        kept = session.store.secret_names()
        if only is not None:
            _check(session, only, kept)
        found = {name: known_versions(session, name).living for name in kept if only in (None, name)}
        if destroy:
            if only is None:
                if removed := broker.remove(session.manifest):
                    say(removed)
                session.platform.remove_leftovers(session.manifest.store)
            _end_agent_keys(session, found, say)
            for name in found:
                session.store.forget(name)
        return found


def _end_agent_keys(session: Session, found: Mapping[str, tuple[Version, ...]], say: Callable[[str], None]) -> None:
    """Before the values go: without the store nobody knows which keys of the agent those are."""
    secret = session.manifest.of_kind(SecretKind.AGENT_KEY)
    for version in found.get(secret.name, ()) if secret else ():
        if secret is None or not version.user or version.retired:
            continue
        try:
            if not isinstance(secret.agent, OwnedAgent):
                raise UsageError("the stack's agent is not your own any more")
            agent_key(session, secret, secret.agent).retire(version)
        except SecretopsError as error:
            key = NamedKey.of(version.user)
            say(f"{secret.name}: key {key.id} of agent {key.agent} works on, delete it at DigitalOcean ({error.what})")


def _check(session: Session, name: str, kept: tuple[str, ...]) -> None:
    """Raise UsageError unless the values of `name` alone can go."""
    if name not in kept:
        raise UsageError(
            f"{name if is_name(name) else 'that'}: no value of it is kept",
            rule="purge takes the name of a secret that has one, or none and then takes all",
            remedy=f"one of {', '.join(kept)}" if kept else "nothing to do",
        )
    admin = session.manifest.of_kind(SecretKind.BROKER_ADMIN)
    if session.manifest.broker.embedded and admin and name == admin.name:
        raise UsageError(
            f"{name}: the embedded broker has no other admin",
            rule="without it its users could never be changed again, so that both go together",
            remedy="secretops purge --destroy, which removes all of the stack",
        )
