"""The source `vault:<host>[:<port>]/<mount>/data/<secret>[+<secret>…][,<option>…]`: secrets of Vault or OpenBao.

An example is vault:vault.example:8200/coreflux-mcp-prod/data/mqtt+agent-key,approle=…,file=/run/secrets/login. The part
before the secrets is the path in the reader's policy. Without a secret it requests all secrets of the server. Options
follow commas, which no shell, unit or compose file interprets. No option is secret:

approle=ROLE-ID, jwt=ROLE or kubernetes=ROLE  the login; the default is the token of the current user, as Vault's own
                                              programs find it (VAULT_TOKEN, ~/.vault-token)
auth=MOUNT       mount of the method, by default its name
file=PATH        the file with the secret id, the JWT, or the service account's token
wrapped          the file has the wrapping token of a secret id, which is valid for one start
namespace=NAME   of Vault Enterprise or OpenBao
ca=PATH          PEM bundle of the CA of the server's certificate
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

from pydantic import ValidationError

from secretops.errors import StoreError, UsageError, did_you_mean
from secretops.launcher.polling_source import OUTPUT, POLL_SECONDS, PollingSource, StoredVersion, requested_secrets
from secretops.platforms.vault.api import Api, fields_of, version_of
from secretops.platforms.vault.location import VaultLogin
from secretops.platforms.vault.login import Login
from secretops.platforms.vault.server import Server
from secretops.values import Value

METHODS = ("approle", "jwt", "kubernetes")
_OPTIONS = (*METHODS, "auth", "file", "namespace", "ca")
SERVICE_ACCOUNT_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105  # nosec B105 - a path
FORM = "vault:<host>[:<port>]/<mount>/data/<secret>[+<secret>…][,<option>…]"
EXAMPLE = "vault:vault.example:8200/coreflux-mcp-prod/data/mqtt,approle=ROLE-ID,file=/run/secrets/vault-secret-id"


@dataclass(frozen=True, kw_only=True)
class SourceAddress:
    server: Server
    mount: str
    # Path of the secrets in the mount: empty, or with a final slash.
    folder: str
    secrets: str
    login: VaultLogin | None

    def path(self, secret: str) -> str:
        return f"{self.folder}{secret}"


class VaultSource(PollingSource):
    """Polls the secrets' metadata. It reads the value of each version only once."""

    def __init__(self, place: str, *, every: float = POLL_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        found = parse_address(place)
        requested = requested_secrets(f"vault:{place}", found.secrets)
        where = f"Vault {found.server.address.removeprefix('https://')}, {found.mount}"
        super().__init__(where, requested, found.path, every=every, clock=clock)
        self._api = Api(found.server, found.mount, Login(found.server, found.login))

    def revision(self, name: str) -> str | None:
        metadata = self._api.metadata(name)
        newest = metadata.documents.get(metadata.current) if metadata else None
        if metadata is None or newest is None:
            if any(self._names[secret] == name for secret in self._found):
                raise _removed(name, "the secret was removed from the mount with all versions")
            return None
        if not newest.is_readable:
            how = "destroyed" if newest.destroyed else "deleted"
            raise _removed(name, f"the newest version {metadata.current} was {how}, and KV returns no older version")
        return f"{metadata.current} {newest.created}"

    def fetch(self, name: str, revision: str) -> StoredVersion | None:  # noqa: ARG002 - returns the newest version
        found = self._api.read(name)
        if found is None:
            raise _removed(name, "the newest version was removed, and KV returns no older version")
        fields = fields_of(found.data)
        if fields is None:
            raise StoreError(
                f"{name}: version {found.number} is not a valid value",
                rule="a secret value must be a JSON object of text fields",
                remedy="for a new version: secretops rotate SECRET --now, or secretops put SECRET",
                code="value-invalid",
            )
        return StoredVersion(version_of(found.data, found.number), Value(fields)) if fields else None


def _removed(name: str, what: str) -> StoreError:
    return StoreError(
        f"{name}: {what}",
        rule="a current version must exist: readers get no secret value until a version is published",
        remedy="for a new version: secretops rotate SECRET, or secretops put SECRET; secretops audit shows who "
        "removed the former version",
        code="current-version-removed",
    )


def parse_address(place: str) -> SourceAddress:
    address, *options = place.split(",")
    host, _, path = address.partition("/")
    mount, data, rest = path.partition("/data/")
    if not host or "@" in host or not mount or not data:
        shown = "…" if "@" in address else address  # an address with @ may contain a password
        remedy = f"{OUTPUT}; for example {EXAMPLE}"
        raise UsageError(
            f"--from vault:{shown}: invalid source",
            rule=f"the source must be {FORM}",
            remedy=remedy,
            code="source-invalid",
        )
    values = dict(_option(option) for option in options)
    folder, slash, secrets = rest.rpartition("/")
    server = Server(address=f"https://{host}", namespace=values.get("namespace", ""), ca_file=values.get("ca"))
    return SourceAddress(server=server, mount=mount, folder=folder + slash, secrets=secrets, login=_login(values))


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if (name in _OPTIONS and value) or (name == "wrapped" and not equals):
        return name, value
    suggestion = did_you_mean(name, (*_OPTIONS, "wrapped"))
    shown = name if suggestion else "…"  # another text may be a secret id
    raise UsageError(
        f"--from vault:…,{shown}{'=' if equals else ''}{'…' if value else ''}: unknown option",
        rule=f"an option of the source must be one of {', '.join(f'{each}=…' for each in _OPTIONS)}, wrapped",
        remedy=("" if name in _OPTIONS else suggestion) + OUTPUT,
        code="source-option-unknown",
    )


def _login(values: dict[str, str]) -> VaultLogin | None:
    methods = [method for method in METHODS if method in values]
    others = [option for option in ("auth", "file", "wrapped") if option in values]
    if not methods and not others:
        return None
    method = cast("Literal['approle', 'jwt', 'kubernetes']", methods[0] if methods else "")
    file = values.get("file", SERVICE_ACCOUNT_TOKEN if method == "kubernetes" else "")
    wrapped, wrong, rule = "wrapped" in values, "", ""
    if len(methods) != 1:
        wrong = f"{' and '.join(methods) or 'no method'}, with {', '.join(others) or 'nothing'}"
        rule = f"a login requires exactly one of {', '.join(f'{each}=…' for each in METHODS)}"
    elif not file or (wrapped and method != "approle"):
        wrong = "no file=" if not file else "the option wrapped"
        rule = "file= must name the file of the credential; `wrapped` is only for approle"
    else:
        try:
            return VaultLogin(
                method=method, mount=values.get("auth", method), role=values[method], file=file, wrapped=wrapped
            )
        except ValidationError as error:
            wrong = f"invalid {' and '.join(str(each['loc'][0]) for each in error.errors())}"
            rule = "auth= must be the mount's path, file= an absolute path, and the role one word"
    named = f",{method}=…" if len(methods) == 1 else ""
    remedy = f"for example {EXAMPLE}"
    raise UsageError(f"--from vault:…{named}: {wrong}", rule=rule, remedy=remedy, code="source-login-invalid")
