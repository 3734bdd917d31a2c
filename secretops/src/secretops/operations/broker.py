"""Start, stop and remove the embedded broker of a dev stack, with its first admin in the store."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from secretops.errors import SecretopsError, UsageError, WaitingError
from secretops.manifest import Broker, Manifest, SecretKind
from secretops.operations.put import publish
from secretops.operations.session import Session
from secretops.owned_files import check_folder

# The broker's folder in a store's root, and the prefixes of its files.
HOME = "broker"
OWN_FILES = ("users.json", ".users.json", "broker.", ".lock")

NOT_RUNNING = "the embedded broker was not running"


def start(session: Session) -> str:
    """Start the stack's embedded broker unless something listens there, and return a message.

    A new broker's admin is stored as broker-admin.
    """
    broker = session.manifest.broker
    if not broker.embedded:
        return f"the broker of this stack is {broker.host}:{broker.port}; nothing to start"
    from secretops.broker import Listener, create_first_admin, running, start

    home, address = _home(session.manifest), f"{broker.host}:{broker.port}"
    secret = session.manifest.of_kind(SecretKind.BROKER_ADMIN)
    if running(home) is None and secret is not None:
        if _listens_on(broker):  # before a password is made for it
            raise _foreign(broker, home)
        with session.lease("broker start"):
            keep = lambda value: publish(session, secret, value)  # noqa: E731
            made = create_first_admin(home, username=secret.users[0], save=keep)
            if made is None and session.store.versions(secret.name).current is None:
                raise WaitingError(
                    f"{home / 'users.json'} has an admin, and the store has no broker-admin",
                    rule="only a hash of a broker's password is kept, so the credential can't be found again",
                    remedy=f"put it: secretops put {secret.name}; or begin anew: remove {home}, then start it again",
                )
    found = start(home, broker.host, broker.port)
    if found is Listener.FOREIGN:
        raise _foreign(broker, home)
    return f"the embedded broker listens at {address}" + ("" if found is Listener.STARTED else " already")


def _foreign(broker: Broker, home: Path) -> SecretopsError:
    return SecretopsError(
        f"something listens at {broker.host}:{broker.port}, and it is not the broker of {home}",
        rule="the embedded broker needs this address, and secrets are given to no stranger",
        remedy="stop another clone's or stack's broker there: make down, or secretops broker stop;\n"
        "   for any other program, set another broker.port in the stack file, then make up",
    )


def stop(manifest: Manifest) -> str:
    """Stop what `start` started. Raises SecretopsError if something else listens at the address."""
    broker = manifest.broker
    if not broker.embedded:
        return "this stack has no embedded broker; nothing to stop"
    home = _home(manifest)
    text = _stop(home)
    if text == NOT_RUNNING and _listens_on(broker):
        raise _foreign(broker, home)
    return text


def stop_default(project: Path) -> str:
    """Stop the embedded broker in the project's default folder, without a stack."""
    return _stop(project / ".coreflux-mcp" / "broker")


def _stop(home: Path) -> str:
    from secretops.broker import stop

    return "the embedded broker is stopped" if stop(home) else NOT_RUNNING


def remove(manifest: Manifest) -> str | None:
    """Stop the embedded broker and remove its files. Return a message, or None if there was nothing."""
    broker = manifest.broker
    if not broker.embedded:
        return None
    home = _home(manifest)
    found, text = home.is_dir(), _stop(home)
    with suppress(OSError):  # missing, or with other files
        for path in home.iterdir():
            if path.name.startswith(OWN_FILES):
                path.unlink()
        home.rmdir()
    if _listens_on(broker):
        return f"{text}, but something listens at {broker.host}:{broker.port}; see which: ss -ltnp"
    return f"{text}; its users and its log are removed" if found else None


def _listens_on(broker: Broker) -> bool:
    """Return whether anything listens there, but for a broker without a pid file, which is about to end."""
    from secretops.broker import is_listening, wait_until_free

    return is_listening(broker.host, broker.port) and not wait_until_free(broker.host, broker.port)


def _home(manifest: Manifest) -> Path:
    if manifest.broker.home is None:
        raise UsageError("broker.home: missing", rule="an embedded broker has a folder", remedy="pulumi up")
    home = Path(manifest.broker.home)
    if manifest.store.folder and home != manifest.store.folder / HOME:
        raise UsageError(
            f"broker.home: {home}",
            rule=f"the embedded broker keeps its files in {HOME}/ of the store's root",
            remedy="run pulumi up, which writes the manifest again",
        )
    if home.exists():
        check_folder(home)
    return home
