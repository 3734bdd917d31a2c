"""A client of a KV engine of version 2: metadata of a path, a document, a new document, custom_metadata (notes)."""

from __future__ import annotations

import functools
import http
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from secretops.errors import StoreError
from secretops.platforms.vault import errors
from secretops.platforms.vault.location import VaultStoreLocation
from secretops.platforms.vault.login import Login
from secretops.platforms.vault.server import Answer, Connection, Request, Server


@dataclass(frozen=True)
class Kept:
    """What is known of one document of a path, without its content."""

    created: datetime
    # From when on nobody gets it, until it is brought back.
    deleted: datetime | None
    destroyed: bool

    @property
    def is_given(self) -> bool:
        return not self.destroyed and (self.deleted is None or self.deleted > datetime.now(UTC))


@dataclass(frozen=True)
class Metadata:
    """What is known of a path."""

    # The number of the newest document, which readers get; 0 when there never was one.
    current: int
    # By their numbers. The server drops the oldest when there are more than the mount, or the path, has room for.
    versions: Mapping[int, Kept]
    # Its custom_metadata.
    notes: Mapping[str, str]
    # The path's own; 0 leaves it to the mount.
    max_versions: int


# That of a path that has nothing.
NONE = Metadata(0, {}, {}, 0)


@dataclass(frozen=True, repr=False)
class Found:
    """One document. Never printed: it holds a value."""

    number: int
    created: datetime
    data: Mapping[str, Any]


class Api:
    """Paths of one mount. Connects and logs in with the first request.

    `guard` runs before each attempt of each write, with whether the write can't be undone; it raises when the lease is
    lost.
    """

    def __init__(self, server: Server, mount: str, login: Login | None = None) -> None:
        self.server, self.mount = server, mount
        self.login = login or Login(server)
        self.guard: Callable[[bool], None] = lambda _fresh: None
        self._connection = Connection(server)

    @classmethod
    def of(cls, location: VaultStoreLocation) -> Api:
        """Return the client of the stack's mount."""
        server = Server(location.address, location.namespace, location.ca_file)
        return cls(server, location.mount, Login(server, location.login))

    def beside(self) -> Api:
        """Return a client of the same mount and login with its own connection and guard."""
        return Api(self.server, self.mount, self.login)

    @property
    def skew(self) -> timedelta | None:
        """How far the server's clock is ahead of ours."""
        return self._connection.skew

    def metadata(self, path: str) -> Metadata | None:
        """Return what is known of `path`, or None."""
        answer = self._ask("look at", "metadata", path, "GET")
        if answer is None:
            return None
        found = answer.data
        if "current_version" not in found:
            raise errors.not_version_2(self.server.address, self.mount)
        return Metadata(
            int(found["current_version"]),
            {int(number): _kept(one) for number, one in (found.get("versions") or {}).items()},
            found.get("custom_metadata") or {},
            int(found.get("max_versions") or 0),
        )

    def read(self, path: str, number: int | None = None, *, patiently: bool = True) -> Found | None:
        """Return a document, by default the newest one; None if it is missing, deleted or destroyed."""
        query = "" if number is None else f"?version={number}"
        answer = self._ask("read", "data", path, "GET", query=query, patiently=patiently)
        if answer is None:
            return None
        about, data = answer.data.get("metadata"), answer.data.get("data")
        if not isinstance(about, dict):
            raise errors.not_version_2(self.server.address, self.mount)
        return Found(int(about["version"]), _time(about["created_time"]), data) if isinstance(data, dict) else None

    def write(
        self, path: str, data: Mapping[str, str], after: int, *, fresh: bool = False, patiently: bool = True
    ) -> int | None:
        """Make a document, which readers get from then on, if `after` is still the newest one. Return its number.

        None, with nothing changed, when somebody else wrote meanwhile, or we did and the answer was lost.
        `fresh`: this can't be undone, since somebody reads it.
        """
        body = {"data": dict(data), "options": {"cas": after}}
        answer = self._ask("write", "data", path, "POST", body, fresh=fresh, patiently=patiently)
        if answer is None:
            return None
        if "version" not in answer.data:
            raise errors.not_version_2(self.server.address, self.mount)
        return int(answer.data["version"])

    def note(self, path: str, changes: Mapping[str, str | None], *, make: bool = True, patiently: bool = True) -> bool:
        """Change these notes of `path`, and remove those that are None. False if the path is missing.

        `make`: make a missing path instead.
        """
        body = {"custom_metadata": dict(changes)}
        if self._ask("note", "metadata", path, "PATCH", body, merges=True, patiently=patiently):
            return True
        if make:
            given = {key: text for key, text in changes.items() if text is not None}
            self._ask("note", "metadata", path, "POST", {"custom_metadata": given}, patiently=patiently)
            self.metadata(path)  # raises where it is no KV of version 2, which would take a value for anything
        return make

    def destroy(self, path: str, numbers: list[int]) -> None:
        """Destroy the content of these documents for good."""
        self._ask("destroy versions of", "destroy", path, "POST", {"versions": numbers})

    def drop(self, path: str) -> None:
        """Remove a path with its documents and notes for good. No-op when it is gone."""
        self._ask("remove", "metadata", path, "DELETE", fresh=True)

    def raw(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Return the whole answer to any other request, or None."""
        answer = self._sent(Request(method=method, path=path, body=body), "ask", path, lambda: None)
        return None if answer is None else dict(answer.body)

    def close(self) -> None:
        """Revoke the token of an auth method."""
        self.login.close()

    def _ask(
        self,
        action: str,
        kind: str,
        path: str,
        method: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: str = "",
        merges: bool = False,
        fresh: bool = False,
        patiently: bool = True,
    ) -> Answer | None:
        where = f"{quote(self.mount)}/{kind}/{quote(path)}"
        request = Request(method=method, path=f"{where}{query}", body=body, merges=merges)
        guard = (lambda: None) if method == "GET" else functools.partial(self.guard, fresh)
        return self._sent(request, action, f"{self.mount}/{path}", guard, patiently=patiently)

    def _sent(
        self, request: Request, action: str, where: str, guard: Callable[[], None], *, patiently: bool = True
    ) -> Answer | None:
        """Return the answer; None for what does not exist, or was written meanwhile. Replaces an ended token once."""
        for left in (1, 0):
            token = self.login.token()
            answer = self._connection.ask(request, token, patiently=patiently, before=guard)
            if answer.status != http.HTTPStatus.FORBIDDEN or not left or not self.login.refused(token):
                break
        if answer.is_good:
            return answer
        if answer.status == http.HTTPStatus.NOT_FOUND and not answer.texts:
            return None
        if answer.status == http.HTTPStatus.BAD_REQUEST and any(errors.MISMATCH in text for text in answer.texts):
            return None
        raise self._connection.refused(answer, action, where, self.mount)


def _kept(found: Mapping[str, Any]) -> Kept:
    deleted = found.get("deletion_time")
    return Kept(_time(found["created_time"]), _time(deleted) if deleted else None, bool(found.get("destroyed")))


def _time(text: str) -> datetime:
    """Of Go's RFC 3339, whose nanoseconds Python does not take."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    try:
        return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}+00:00")
    except ValueError:
        raise StoreError(
            "the server says a time that is none",
            rule="its times are UTC, as RFC 3339 has them",
            remedy="see that it is Vault or OpenBao that answers there",
        ) from None
