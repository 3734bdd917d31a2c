"""What every target can do with a credential."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from secretops.errors import RefusedError
from secretops.values import Value


class UserTakenError(RefusedError):
    """A user that should be a new one is there already, with a password that is not the credential's."""


class Target(Protocol):
    """The system that accepts a credential (here: one kind of user of an MQTT broker). Never a store.

    A credential is a Value with `username` and `password`. Every method may raise UnreachableError (no answer) or
    RefusedError (an answer, and it is no). Every method is idempotent.
    """

    def apply(self, admin: Value, credential: Value, *, new: bool = False) -> None:
        """Make the target accept `credential`, creating the user with its grants if need be.

        Touches that one user and no other. When the credential already works nothing is sent: setting even the same
        password again drops the user's live sessions on mosquitto.

        `new`: the user must not be there yet, because whoever has its password may be using it: raises UserTakenError,
        and nothing is changed. One whose password is already the credential's is fine: a rotation is resumed.
        """

    def verify(self, credential: Value) -> None:
        """Log in as `credential` and do what its reader will do. Raises RefusedError when it can't."""

    def retire(self, admin: Value, username: str) -> None:
        """Make every password of `username` that anybody knows worthless. A user that is gone is fine."""

    def guards_reports(self, admin: Value, usernames: Sequence[str]) -> bool:
        """Return whether each of `usernames`, and no other client, may publish where its servers report.

        False where the target has no access list that secretops writes and reads (docs/adr/0045).
        """
