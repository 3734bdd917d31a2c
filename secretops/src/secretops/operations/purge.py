"""Remove a stack's values permanently, which `pulumi destroy` never does. Without `destroy`, only list them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from secretops.engine.journal import DONE, PURGE, Entry
from secretops.engine.ports import NamedKey
from secretops.engine.state import Version, Versions
from secretops.errors import SecretopsError, UsageError, did_you_mean
from secretops.manifest import OwnedAgent, SecretKind
from secretops.operations import broker
from secretops.operations.rotators import agent_key
from secretops.operations.session import Session, is_name, known_versions


def purge(
    session: Session,
    only: str | None = None,
    *,
    destroy: bool,
    notify: Callable[[str], None] = lambda _: None,
    key_remains: Callable[[str], None] = lambda _: None,
) -> dict[str, tuple[Version, ...]]:
    """Return the versions with a value, of every secret in the store or only of `only`. If `destroy` is set, remove the
    values.

    Removal also deletes the keys of an owned agent; `key_remains` gets a line for each key that is still valid.
    Without `only`, it also removes the embedded broker and leftovers of remote commands. Raises StoreError,
    LeaseHeldError, EmbeddedBrokerError, UsageError.
    """
    with session.lease("purge"):
        stored = session.store.secret_names()
        if only is not None:
            _check(session, only, stored)
        versions = {name: known_versions(session, name) for name in stored if only in (None, name)}
        found = {name: each.living for name, each in versions.items()}
        if users := [user for name, each in versions.items() for user in _users_left(session, name, each)]:
            address = f"{session.manifest.broker.host}:{session.manifest.broker.port}"
            notify(f"broker {address} may keep the users {', '.join(users)}: remove them there with your own admin")
        if destroy:
            if only is None:
                if removed := broker.remove(session.manifest):
                    notify(removed)
                session.platform.remove_leftovers(session.manifest.store)
            _delete_agent_keys(session, found, key_remains)
            for name in found:
                session.store.forget(name)
            _record(session, found)
        return found


def _record(session: Session, names: Iterable[str]) -> None:
    # Only in a journal that outlives the values: without this entry, `status` would report them as lost.
    for name in names:
        with suppress(SecretopsError):  # the values are removed
            if session.journal.last(name):
                session.journal.write(Entry(time=session.clock(), secret=name, version="all", step=PURGE, outcome=DONE))


def _users_left(session: Session, name: str, versions: Versions) -> tuple[str, ...]:
    # Without an operator's own user.
    secret = next((one for one in session.manifest.secrets if one.name == name and one.kind.alternates), None)
    if secret is None or session.manifest.broker.embedded:
        return ()
    # A discarded version may have created the other user of the two.
    return secret.users if any(one.user in secret.users for one in versions.all) else ()


def _delete_agent_keys(
    session: Session, found: Mapping[str, tuple[Version, ...]], key_remains: Callable[[str], None]
) -> None:
    # Keys are deleted before the values, because only the store records which keys exist.
    secret = session.manifest.of_kind(SecretKind.AGENT_KEY)
    for version in found.get(secret.name, ()) if secret else ():
        if secret is None or not version.user or version.retired:
            continue
        try:
            if not isinstance(secret.agent, OwnedAgent):
                raise UsageError("the stack no longer owns this agent", code="agent-not-owned")
            agent_key(session, secret, secret.agent).retire(version)
        except SecretopsError as error:
            key = NamedKey.of(version.user)
            text = f"key {key.id} of agent {key.agent} is still valid: delete it at DigitalOcean ({error.what})"
            key_remains(f"{secret.name}: {text}")


def _check(session: Session, name: str, stored: tuple[str, ...]) -> None:
    if name not in stored:
        what, rule = (
            f"{name if is_name(name) else 'the argument'}: no stored values",
            "the argument must name a secret with stored values; without an argument, all secrets are purged",
        )
        pass_one = f"{did_you_mean(name.lower(), stored)}pass one of {', '.join(stored)}"
        remedy = pass_one if stored else "nothing to do: the store is empty"
        raise UsageError(what, rule=rule, remedy=remedy, code="purge-nothing")
    admin = session.manifest.of_kind(SecretKind.BROKER_ADMIN)
    if session.manifest.broker.embedded and admin and name == admin.name:
        what, rule = (
            f"{name}: the only admin of the embedded broker",
            "the broker must have its admin: without it, nobody can change the broker's users",
        )
        remedy = "secretops purge --destroy, which removes all values of the stack"
        raise UsageError(what, rule=rule, remedy=remedy, code="purge-embedded-admin")
