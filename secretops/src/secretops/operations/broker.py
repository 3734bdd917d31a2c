from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from secretops.errors import SecretopsError, UsageError, WaitingError
from secretops.manifest import Broker, Manifest, SecretKind
from secretops.operations.put import publish
from secretops.operations.session import Session
from secretops.owned_files import check_folder

# The broker's folder in a store's root, and the prefixes of the files in it.
HOME = "broker"
OWN_FILES = ("users.json", ".users.json", "broker.", ".lock")

NOT_RUNNING = "nothing to stop: the embedded broker does not run"


def start(session: Session) -> str:
    """Start the stack's embedded broker unless it runs, and return a message. Stores the first admin of a new broker.

    Raises SecretopsError if another process listens at its address.
    """
    broker = session.manifest.broker
    if not broker.embedded:
        return f"the broker of this stack is {broker.host}:{broker.port}; nothing to start"
    from secretops.broker.process import Listener, running, start
    from secretops.broker.users import create_first_admin

    home = _home(session.manifest)
    secret = session.manifest.of_kind(SecretKind.BROKER_ADMIN)
    if running(home) is None and secret is not None:
        if _is_taken(broker):  # checked before a password is made for the broker
            raise _foreign(broker, home)
        with session.lease("broker start"):
            keep = lambda value: publish(session, secret, value)  # noqa: E731
            made = create_first_admin(home, username=secret.users[0], save=keep)
            if made is None and session.store.versions(secret.name).current is None:
                file = home / "users.json"
                what, rule = (
                    f"{file} has an admin, but the store has no password of this admin",
                    "the store must have the password of the broker's admin; the broker's file has only a hash of it",
                )
                remedy = f"to create a new broker: rm -r {home}; then: secretops broker start"
                raise WaitingError(what, rule=rule, remedy=remedy, code="embedded-admin-unknown")
    found = start(home, broker.host, broker.port)
    if found is Listener.FOREIGN:
        raise _foreign(broker, home)
    text = f"the embedded broker listens at {broker.host}:{broker.port}"
    return text if found is Listener.STARTED else f"{text} already"


def other_listener(broker: Broker) -> SecretopsError | None:
    # A process listens at the address. It may be this broker.
    from secretops.broker.process import running

    home = Path(broker.home) if broker.home else None
    return _foreign(broker, home) if home and running(home) is None else None


def _foreign(broker: Broker, home: Path) -> SecretopsError:
    return SecretopsError(
        f"{broker.host}:{broker.port}: a process listens at this address, but it is not the broker of {home}",
        rule="only the stack's embedded broker may listen there: no other process may receive credentials",
        remedy="if it is the broker of another clone of this repository, run make down in that clone; otherwise set "
        "another broker.port in the stack file, then make up",
        code="broker-address-in-use",
    )


def stop(manifest: Manifest) -> str:
    broker = manifest.broker
    if not broker.embedded:
        return "this stack has no embedded broker; nothing to stop"
    text = _stop(_home(manifest))
    if text == NOT_RUNNING and _is_taken(broker):
        return f"{text}; another process listens at {broker.host}:{broker.port}"
    return text


def stop_default(project: Path) -> str:
    """Stop the embedded broker in the project's default folder, without a stack."""
    return _stop(project / ".coreflux-mcp" / "broker")


def _stop(home: Path) -> str:
    from secretops.broker.process import stop

    return "the embedded broker is stopped" if stop(home) else NOT_RUNNING


def remove(manifest: Manifest) -> str | None:
    """Stop the embedded broker and remove its files. Return a message, or None if there was no broker."""
    broker = manifest.broker
    if not broker.embedded:
        return None
    home = _home(manifest)
    found, text = home.is_dir(), _stop(home)
    with suppress(OSError):  # the folder is missing, or contains other files
        for path in home.iterdir():
            if path.name.startswith(OWN_FILES):
                path.unlink()
        home.rmdir()
    if _is_taken(broker):
        return f"{text}, but {broker.host}:{broker.port} is in use; to see by which process: ss -ltnp"
    return f"{text}; its users and its log are removed" if found else None


def _is_taken(broker: Broker) -> bool:
    # A broker whose pid file was removed is about to end.
    from secretops.broker.process import is_listening, wait_until_free

    return is_listening(broker.host, broker.port) and not wait_until_free(broker.host, broker.port)


def _home(manifest: Manifest) -> Path:
    rule = f"in the manifest, broker.home must be the folder {HOME}/ in the store's folder"
    home, root = manifest.broker.home, manifest.store.folder
    if home is None or (root and Path(home) != root / HOME):
        found = home or "missing"
        what, remedy = f"broker.home: {found}", "pulumi up, which writes the manifest"
        raise UsageError(what, rule=rule, remedy=remedy, code="broker-home-invalid")
    if Path(home).exists():
        check_folder(Path(home))
    return Path(home)
