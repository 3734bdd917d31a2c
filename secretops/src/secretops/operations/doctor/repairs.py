"""Doctor's repairs on any platform: each is a command that an operator has anyway."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from secretops.check import Repair
from secretops.errors import ExitCode, SecretopsError
from secretops.operations.session import Session
from secretops.operations.tick import tick
from secretops.platform import RemoteCommand
from secretops.printable import ScreenedBytes

# A tick's exit codes when the next step is a person's.
A_PERSONS = (ExitCode.WAITING, ExitCode.ATTENTION)


def ticks(session: Session) -> Repair:
    """Finish, deliver, retire and rotate, as the schedule does every hour."""
    return Repair("secretops tick: finish, deliver and retire what is left over", lambda: _tick(session))


def rotates(session: Session, name: str) -> Repair:
    """Publish a new version on the idle user. The refused one stays as it is."""
    words = f"secretops rotate {name}: a new password for the idle user, proven, then published"
    return Repair(words, lambda: _rotate(session, name))


def _tick(session: Session) -> str:
    if remote := session.platform.remote_command(session.manifest):
        return _run(remote, ("tick",), well=(ExitCode.DONE, *A_PERSONS))
    outcomes = tick(session)
    done = "; ".join(f"{one.secret}: {', '.join(one.done)}" for one in outcomes if one.done)
    failed = [one for one in outcomes if one.error and one.error.exit_code not in A_PERSONS]
    if failed:
        raise SecretopsError(
            "; ".join(f"{one.secret}: {one.error.what}" for one in failed if one.error),
            rule=f"a tick looks after each secret by itself; of the others it did: {done or 'nothing'}",
            remedy="secretops tick says it in full",
        )
    errors = ((one.secret, (one.error.what,) if one.error else one.attention) for one in outcomes)
    left = "; ".join(f"{secret}: {', '.join(what)}" for secret, what in errors if what)
    return "; ".join(filter(None, (done, left and f"left for a person: {left}"))) or "nothing was left to do"


def _rotate(session: Session, name: str) -> str:
    if remote := session.platform.remote_command(session.manifest):
        return _run(remote, ("rotate", name), well=(ExitCode.DONE,))
    from secretops.operations.rotate import rotate

    version = rotate(session, name, force=False, notify=lambda _: None)
    return f"{name}: published {version.id}"


def _run(remote: RemoteCommand, command: Sequence[str], *, well: Sequence[ExitCode]) -> str:
    """Run it where values can be read. Its output goes to standard error."""
    code = remote(command, out=ScreenedBytes(sys.stderr))
    if code not in well:
        raise SecretopsError(
            f"secretops {' '.join(command)} ended with {code}",
            rule="it ran as a task of the Swarm, and said why",
            remedy="mend what it said, then look again",
        )
    left = "" if code == ExitCode.DONE else ", and says what is left for a person"
    return f"secretops {' '.join(command)} ran as a task of the Swarm{left}"
