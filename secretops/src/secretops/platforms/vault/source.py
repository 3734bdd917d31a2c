"""`vault:<host>[:<port>]/<mount>/data/<secret>[+<secret>…][,<option>…]`: secrets of Vault or OpenBao, by a login.

For example vault:vault.example:8200/coreflux-mcp-prod/data/mqtt+agent-key,approle=…,file=/run/secrets/login: up to
the secrets it is the path that the reader's policy names. Without any, all four are asked for. Options stand behind
commas, which no shell, unit or compose file reads as its own; none of them is secret:

approle=ROLE-ID, jwt=ROLE or kubernetes=ROLE  how to log in; without one the token of whoever starts it, as Vault's own
                                              programs find it (VAULT_TOKEN, ~/.vault-token)
auth=MOUNT       where that method is enabled; by default as it is called
file=PATH        of the secret id, the JWT, or the service account's token
wrapped          that file has the wrapping token of a secret id, which is good for one start
namespace=NAME   of Vault Enterprise or OpenBao
ca=PATH          PEM bundle that signs the server's certificate
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

from pydantic import ValidationError

from secretops.errors import StoreError, UsageError
from secretops.launcher.polling_source import OUTPUT, POLL_SECONDS, PollingSource, StoredVersion, requested_secrets
from secretops.platforms.vault.api import Api
from secretops.platforms.vault.documents import fields_of, version_of
from secretops.platforms.vault.location import VaultLogin
from secretops.platforms.vault.login import Login
from secretops.platforms.vault.server import Server
from secretops.values import Value

METHODS = ("approle", "jwt", "kubernetes")
_VALUED = (*METHODS, "auth", "file", "namespace", "ca")
_FLAGS = ("wrapped",)
SERVICE_ACCOUNT_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105  # nosec B105 - a path
FORM = "vault:<host>[:<port>]/<mount>/data/<secret>[+<secret>…][,<option>…]"
EXAMPLE = "vault:vault.example:8200/coreflux-mcp-prod/data/mqtt,approle=ROLE-ID,file=/run/secrets/vault-secret-id"


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a --from says. Nothing of it is secret."""

    server: Server
    mount: str
    start: str
    """What stands before the secrets' names in the mount; "" or ends with a slash."""
    names: str
    login: VaultLogin | None

    def path(self, secret: str) -> str:
        return f"{self.start}{secret}"


class Vault(PollingSource):
    """`Source` over the newest versions, which KV returns to a read without a version.

    A poll reads a secret's metadata, which hold no value; a value is read only when there is a new one, so that the
    audit log has one read of it for each version and server.
    """

    def __init__(
        self,
        place: str,
        *,
        open_api: Callable[[Place], Api] | None = None,
        every: float = POLL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        found = parsed(place)
        asked = requested_secrets(f"vault:{place}", found.names)
        where = f"Vault {found.server.address.removeprefix('https://')}, {found.mount}"
        super().__init__(where, asked, found.path, every=every, clock=clock)
        self._api = (open_api or _open)(found)

    def revision(self, name: str) -> str | None:
        """The number of the newest version. Nothing else changes what readers are given, but that it is removed."""
        kept = self._api.metadata(name)
        newest = kept.versions.get(kept.current) if kept else None
        if kept is None or newest is None:
            if any(self._names[secret] == name for secret in self._found):
                raise _removed(name, "it was removed from the mount, with all its versions")
            return None
        if not newest.is_given:
            how = "destroyed" if newest.destroyed else "deleted"
            raise _removed(name, f"version {kept.current}, the newest, was {how}, and KV gives no older one")
        return str(kept.current)

    def fetch(self, name: str, revision: str) -> StoredVersion | None:  # noqa: ARG002 - whatever is the newest by now
        found = self._api.read(name)
        if found is None:
            raise _removed(name, "its newest version was removed, and KV gives no older one")
        fields = fields_of(found.data)
        if fields is None:
            raise StoreError(
                f"{name}: version {found.number} does not read as a value",
                rule="one JSON object of fields and their texts",
                remedy="secretops status says who is to supply it; secretops put writes it anew",
            )
        return StoredVersion(version_of(found.data, found.number), Value(fields)) if fields else None


def _removed(name: str, what: str) -> StoreError:
    return StoreError(
        f"{name}: {what}",
        rule="whoever removed it took it from its readers",
        remedy="secretops audit says who it was; secretops rotate, or put, makes a new one",
    )


def parsed(place: str) -> Place:
    """What follows `vault:`. Raises UsageError with the mistake and what it may have been meant to be."""
    address, *options = place.split(",")
    host, _, path = address.partition("/")
    mount, data, rest = path.partition("/data/")
    if not host or "@" in host or not mount or not data:
        shown = "…" if "@" in address else address  # what stands before it may be a password
        raise UsageError(f"--from vault:{shown}", rule=FORM, remedy=f"{OUTPUT}; for example {EXAMPLE}")
    said = dict(_option(option) for option in options)
    start, slash, names = rest.rpartition("/")
    server = Server(address=f"https://{host}", namespace=said.get("namespace", ""), ca_file=said.get("ca"))
    return Place(server=server, mount=mount, start=start + slash, names=names, login=_login(said))


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if name in _VALUED and value:
        return name, value
    if name in _FLAGS and not equals:
        return name, "yes"
    nearest = difflib.get_close_matches(name, (*_VALUED, *_FLAGS), n=1)
    shown = name if nearest else "…"  # else not repeated: it may be a secret id
    raise UsageError(
        f"--from vault:…,{shown}{'=' if equals else ''}{'…' if value else ''}",
        rule=f"options are {', '.join(f'{each}=…' for each in _VALUED)} and {', '.join(_FLAGS)}",
        remedy=(f"did you mean {nearest[0]}? " if nearest and nearest[0] != name else "") + OUTPUT,
    )


def _login(said: dict[str, str]) -> VaultLogin | None:
    methods = [method for method in METHODS if method in said]
    about = [option for option in ("auth", "file", "wrapped") if option in said]
    if not methods and not about:
        return None
    if len(methods) != 1:
        raise UsageError(
            f"--from vault:…: {' and '.join(methods) or 'no method'}, with {', '.join(about) or 'nothing'}",
            rule=f"one of {', '.join(f'{method}=…' for method in METHODS)} says how to log in",
            remedy=f"name one, for example {EXAMPLE}",
        )
    method = cast("Literal['approle', 'jwt', 'kubernetes']", methods[0])
    file = said.get("file", SERVICE_ACCOUNT_TOKEN if method == "kubernetes" else "")
    if not file or ("wrapped" in said and method != "approle"):
        raise UsageError(
            f"--from vault:…,{method}=…: {'wrapped' if file else 'no file'}",
            rule="file= names what it shows when it logs in; of a secret id alone it may be the wrapping token",
            remedy=f"for example {EXAMPLE}",
        )
    try:
        return VaultLogin(
            method=method, mount=said.get("auth", method), role=said[method], file=file, wrapped="wrapped" in said
        )
    except ValidationError as error:
        raise UsageError(
            f"--from vault:…,{method}=…: {' and '.join(str(each['loc'][0]) for each in error.errors())} is malformed",
            rule="auth= is the mount's path, file= an absolute path, and the role one word",
            remedy=f"for example {EXAMPLE}",
        ) from None


def _open(place: Place) -> Api:
    return Api(place.server, place.mount, Login(place.server, place.login))
