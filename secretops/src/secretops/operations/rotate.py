from __future__ import annotations

import math
import time
from collections.abc import Callable

from secretops.engine.decisions import retire_due
from secretops.engine.rotation import Rotation
from secretops.engine.rotator import GraceError
from secretops.engine.state import Version
from secretops.errors import UsageError
from secretops.manifest import Secret, SecretKind
from secretops.operations.broker_access import facts_for_retiring
from secretops.operations.rotators import advance, kept_user, recover, rotation
from secretops.operations.session import Session, exclusive

# Longest wait for readers of the previous version, and the pause between two reads of servers' reports.
MAX_WAIT_SECONDS, POLL_SECONDS = 60.0, 2.0


def rotate(
    session: Session,
    name: str,
    *,
    force: bool,
    notify: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Version:
    """Publish a new version of `name`, or the pending version of an interrupted rotation, and return it.

    While readers may use the previous version, waits up to MAX_WAIT_SECONDS for the grace period to end, or raises
    GraceError. With `force`, it does not wait, takes over an existing broker user without a stored version, and sets
    broken files aside. `notify` gets messages for the operator. Raises WaitingError, LeaseHeldError, and the steps'
    errors.
    """
    secret = session.secret(name)
    if not secret.is_made:
        what, rule = (
            f"{name}: secretops does not create values of kind {secret.kind}",
            "an operator must supply the values of this secret",
        )
        raise UsageError(what, rule=rule, remedy=f"secretops put {name}", code="secret-not-made")
    with exclusive(session, secret, f"rotate {name}", notify, force=force):
        recover(session, secret, replaced=True, force=force)
        if not secret.kind.alternates:  # both versions stay valid
            return advance(session, secret, force=force)
        made = rotation(session, secret, waits=True)
        previous = made.versions.previous
        if previous and not previous.retired:  # the next version removes it from the store
            if not force and made.versions.pending is None:
                _await_grace(session, secret, made, notify, sleep)
            if force or retire_due(facts_for_retiring(session, secret, made.versions), session.clock()):
                made.retire(previous)
                if kept := kept_user(secret, previous):
                    notify(kept)
        return advance(session, secret, made, force=force)


def discard(session: Session, name: str) -> Version:
    """Discard the pending CA, and return it. The current CA stays. Raises UsageError, StoreError, LeaseHeldError."""
    secret = session.secret(name)
    with session.lease(f"rotate {name} --discard"):
        versions = session.store.versions(name)
        if secret.kind is not SecretKind.CA or not versions.pending or not versions.current:
            rule = "--discard removes only a pending CA, and only if a current CA remains"
            remedy = "secretops status shows pending versions; the next tick finishes those of other secrets"
            raise UsageError(f"{name}: nothing to discard", rule=rule, remedy=remedy, code="discard-nothing")
        session.store.discard(name, versions.pending.id)
    return versions.pending


def _await_grace(
    session: Session, secret: Secret, made: Rotation, notify: Callable[[str], None], sleep: Callable[[float], None]
) -> None:
    """Wait until the grace period of the previous version is over, or every server reports the current version."""
    notified = False
    while not retire_due(facts_for_retiring(session, secret, made.versions), session.clock()):
        try:
            made.respect_grace()
        except GraceError as error:
            left = (error.until - session.clock()).total_seconds()
            if left > MAX_WAIT_SECONDS:
                raise
            if not notified:
                notify(f"waiting {math.ceil(left)} s at most for the readers of the previous version")
                notified = True
            if left > 0:
                sleep(min(left, POLL_SECONDS))
        else:
            return
