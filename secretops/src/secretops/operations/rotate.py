"""An operator's order: a new value now."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from secretops.engine.decisions import retire_due
from secretops.engine.rotation import GraceError, Rotation
from secretops.engine.state import Version
from secretops.errors import UsageError
from secretops.manifest import Secret, SecretKind
from secretops.operations.session import Session

LONGEST_WAIT = 60.0
"""Seconds that `rotate` waits by itself for the readers of the version before; beyond, the operator decides."""

ASK_AGAIN = 2.0
"""Seconds between two looks at what servers report."""


def rotate(
    session: Session,
    name: str,
    *,
    cut_off: bool,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Version:
    """Publish a new version of `name`. A rotation left half-done is finished instead of a second one begun.

    While readers may still hold the version before the current one, waits up to LONGEST_WAIT seconds for the grace to
    end, or raises GraceError; `cut_off` goes ahead at once, and takes over a user that is there before the first
    version. It also sets broken files of the store aside, and reports each. Raises what the steps raise, WaitingError,
    LeaseHeldError.
    """
    secret = session.secret(name)
    if not secret.is_made:
        raise UsageError(
            f"{name}: secretops does not make values of kind {secret.kind}",
            rule="its values are supplied",
            remedy=f"secretops put {name}",
        )
    command = f"rotate {name}"
    with session.emergency(secret, command) if cut_off else session.lease(command) as set_aside:
        for line in set_aside or ():
            say(line)
        if not secret.kind.alternates:  # the old one and the new one are good side by side: nobody is waited for
            session.settle(secret, replaced=cut_off)
            return session.published(secret, session.advance(secret, cut_off=cut_off))
        session.await_admin(secret)
        session.settle(secret, replaced=cut_off)
        rotation = session.rotation(secret)
        if not cut_off and session.facts(secret).versions.pending is None:
            _await_grace(session, secret, rotation, say, sleep)
        previous = session.facts(secret).versions.previous
        over = cut_off or retire_due(session.facts_for_retiring(secret), session.clock())
        if previous and not previous.retired and over:  # the store forgets it with the next version
            rotation.retire(previous)
        return session.published(secret, session.advance(secret, rotation, cut_off=cut_off))


def discard(session: Session, name: str) -> Version:
    """Let go of a CA that is pending, and make none: the one that signs goes on. Gives the one that is no more.

    Raises UsageError for what is no CA, and where none is pending beside one that signs; StoreError, LeaseHeldError.
    """
    secret = session.secret(name)
    with session.lease(f"rotate {name} --discard"):
        versions = session.store.versions(name)
        if secret.kind is not SecretKind.CA or not versions.pending or not versions.current:
            raise UsageError(
                f"{name}: there is nothing to let go of",
                rule="a new CA waits until the broker trusts it; until then the one before signs, and it may go",
                remedy="secretops status says what is pending; what else is pending the next tick finishes",
            )
        session.store.discard(name, versions.pending.id)
    return versions.pending


def _await_grace(
    session: Session, secret: Secret, rotation: Rotation, say: Callable[[str], None], sleep: Callable[[float], None]
) -> None:
    """Until the grace of the previous version is over, or every server has reported that it let it go."""
    told = False
    while not retire_due(session.facts_for_retiring(secret), session.clock()):
        try:
            rotation.respect_grace()
        except GraceError as error:
            left = (error.until - session.clock()).total_seconds()
            if left > LONGEST_WAIT:
                raise
            if not told:
                say(f"waiting {math.ceil(left)} s at most for the readers of the previous version")
                told = True
            if left > 0:
                sleep(min(left, ASK_AGAIN))
        else:
            return
