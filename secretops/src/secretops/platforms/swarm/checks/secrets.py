"""Whose secrets there are in a stack's Swarm, what is known of them, and who rotates."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from secretops.check import Level, Repair, Result, attention, ok
from secretops.errors import SecretopsError
from secretops.platforms.swarm.checks.manager import Manager
from secretops.platforms.swarm.inventory import Found
from secretops.stores.lease import Timing


@dataclass(frozen=True)
class BookThere:
    """The config whose labels say what is current is there, this stack's, and reads."""

    manager: Manager
    name: str = "book"

    def look(self) -> Result:
        name = self.manager.location.book
        try:
            book = self.manager.book
            pages = {secret: book.secret(secret) for secret in book.secrets}
        except SecretopsError as error:
            return Result.of(error, Level.ATTENTION)
        if not book.id and self.manager.secrets:
            return attention(
                f"no config {name}, and {len(self.manager.secrets)} secrets of the stack",
                "its labels say which version is current; without them nobody knows, and the server keeps what it has",
                "remove no secret that a service uses; secretops put broker-admin begins anew, then secretops tick",
            )
        if not book.id:
            return ok(f"no config {name} yet: the first value makes it")
        there = {(found.secret, found.number) for found in self.manager.secrets if found.book == book.id}
        gone = [
            f"{secret}-v{number}"
            for secret, page in pages.items()
            for number in page.living
            if (secret, number) not in there
        ]
        if gone:
            return attention(
                f"no secret {', '.join(gone)}",
                "each version that the book keeps is in the Swarm's secrets",
                "somebody removed them: docker events; secretops rotate, or put, makes a new version",
            )
        return ok(f"{name}: {', '.join(book.kept) or 'nothing kept yet'}")


@dataclass(frozen=True)
class LeaseFree:
    """Nobody holds the lease, or somebody who lives."""

    manager: Manager
    follow: Repair | None = None
    """What follows a holder that was killed."""
    name: str = "lease"
    look_seconds: float = Timing.look

    def look(self) -> Result:
        term, began = self.manager.book.lease, time.monotonic()
        if term is None:
            return ok("free")
        while time.monotonic() - began < term.duration:
            found = self.manager.look_again().lease
            if found is None:
                return ok("free")
            if found != term:
                return ok(f"held by {found.holder}, who renews it")
            time.sleep(self.look_seconds)
        return attention(
            f"held by {term.holder}, who did not renew it for {term.duration:.0f} s",
            "who lives renews it: this one was killed, and may have left a rotation half-done",
            "secretops tick follows it, and finishes what was begun",
            self.follow,
        )


@dataclass(frozen=True)
class NothingOrphaned:
    """No secret of the stack is beyond what the book keeps. Nothing that a service uses is ever to be removed."""

    manager: Manager
    name: str = "orphaned secrets"

    def look(self) -> Result:
        if wrong := list(self._wrong()):
            found, remedies = zip(*wrong, strict=True)
            return attention(
                "; ".join(found),
                "current and previous are kept, what is older goes once no service uses it",
                "; ".join(dict.fromkeys(remedies)),
                Repair("remove the Swarm secrets that are kept no more and that no service uses", self.manager.sweep)
                if any(not self.manager.users(each) for each in self._kept_no_more())
                else None,
            )
        return ok("none")

    def _kept_no_more(self) -> list[Found]:
        book = self.manager.book
        pages = {found.secret: book.secret(found.secret) for found in self.manager.secrets}
        return [
            found
            for found in self.manager.secrets
            if found.book == book.id
            and found.number < pages[found.secret].next
            and found.number not in pages[found.secret].living
        ]

    def _wrong(self) -> Iterator[tuple[str, str]]:
        for found in self._kept_no_more():
            yield (
                f"{found.name} is kept no more" + _used(self.manager.users(found)),
                "secretops tick removes it once it is unused",
            )
        for found in self.manager.secrets:
            users = self.manager.users(found)
            if found.book != self.manager.book.id:
                yield (
                    f"{found.name} is of a book that is gone" + _used(users),
                    "leave it: the server has it until the next version is delivered"
                    if users
                    else f"docker secret rm {found.name}, once the server has what it needs",
                )


@dataclass(frozen=True)
class NothingLeft:
    """Nothing that a command was carried in, or with, has outlived it: what an operator supplied may be among it."""

    manager: Manager
    name: str = "carried commands"

    def look(self) -> Result:
        if left := self.manager.left:
            return attention(
                f"{', '.join(left)}: left by a command that was killed",
                "whoever starts a command removes what it is carried with; a value that was supplied may be among it",
                "secretops tick removes it",
                Repair("remove what killed commands were carried in and with", self.manager.clean),
            )
        return ok("nothing is left of one")


@dataclass(frozen=True)
class NoOtherReaders:
    """No other service has a secret of the stack: that would be a reader nobody declared."""

    manager: Manager
    name: str = "readers"

    def look(self) -> Result:
        others = {
            user: found
            for found in self.manager.secrets
            for user in self.manager.users(found)
            if user != self.manager.location.service
        }
        if others:
            user, found = next(iter(others.items()))
            return attention(
                "; ".join(f"service {user} has {found.name}" for user, found in others.items()),
                "the server alone is declared to read them, and a Swarm records no reads",
                f"docker service update --secret-rm {found.name} {user}, then secretops rotate {found.secret}",
            )
        return ok(f"{self.manager.location.service} alone has them")


def _used(users: list[str]) -> str:
    return f" (service {', '.join(users)} uses it)" if users else ""
