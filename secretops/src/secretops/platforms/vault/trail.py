"""The log of Vault's and OpenBao's audit devices: a line is a request or a response as JSON, maybe with a prefix.

A response says who, what and whether a value was given. A request counts only when it was refused, since it may have
no response: the server answers once the response is on record. Texts are HMACs with a salt of each device, unless the
mount is tuned otherwise. https://openbao.org/docs/audit/
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from secretops.platforms.vault.location import VaultStoreLocation
from secretops.trails.documents import documents
from secretops.trails.protocol import ALL, Access

# The part of a path between the mount and the secret, for each operation of KV v2.
KINDS = ("data", "metadata", "detailed-metadata", "subkeys", "delete", "undelete", "destroy")
# The mount's own configuration: how many versions it keeps, and how long.
CONFIG = "config"
GIVES_VALUE = "data"
LISTS = frozenset({"list", "scan"})
# Operations that change nothing. All others do, also unknown ones.
ONLY_LOOKS = frozenset({"read", "help", *LISTS})
# Prefix of a hashed text in the log.
HASHED = "hmac-"
# Requests below it change a mount as a whole: remove it, or log texts as they are.
MOUNTS = "sys/mounts/"
UNWRAP = "sys/wrapping/unwrap"
# Where an HMAC is requested: the requester has the text already.
HASHING = "sys/audit-hash/"
NOBODY = "(not logged in)"
_DENIED = "permission denied"


class VaultAuditLog:
    """`Trail` over one stack's secrets in one mount. Other entries are skipped."""

    form = "the log of an audit device, one request or response as JSON a line"

    def __init__(self, location: VaultStoreLocation) -> None:
        self._mount, self._namespace = location.mount.strip("/"), location.namespace.strip("/")
        self._readers = location.readers
        self._places = {
            secret: frozenset(place[secret] for place in (location.secrets, location.pending) if secret in place)
            for secret in location.secrets
        }
        self._secrets = frozenset(
            {*location.secrets.values(), *location.pending.values(), location.lease, *location.readers}
        )

    def read(self, line: bytes) -> Iterator[Access]:
        for entry in entries(line):
            yield from self._access(entry)

    def names(self, secret: str) -> frozenset[str]:
        return self._places.get(secret) or frozenset({secret} & self._secrets)

    def known(self) -> Iterable[str]:
        return (*sorted(self._places), *sorted(self._secrets - {*self._places}))

    def _access(self, entry: Mapping[str, Any]) -> Iterator[Access]:
        try:
            found = self._asked(entry["request"]) if counts(entry) else None
            if found is not None:
                yield self.access(entry, *found)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not a line of an audit device") from error

    def access(self, entry: Mapping[str, Any], operation: str, secret: str) -> Access:
        """Return the access of an entry."""
        request, auth = entry["request"], entry.get("auth") or {}
        failed, path = str(entry.get("error") or ""), str(request["path"])
        given = gives(entry)
        reader, declared = self._who(auth, secret)
        return Access(
            time=datetime.fromisoformat(entry["time"]).astimezone(UTC),
            reader=reader,
            operation=operation,
            secret=secret,
            allowed=(auth.get("policy_results") or {}).get("allowed") is not False and _DENIED not in failed,
            source=_source(request, auth),
            given=given,
            done=request["operation"] not in ONLY_LOOKS and path != UNWRAP and not failed,
            declared=declared,
            event=str(request.get("id") or ""),
            holds_value=any(bare(entry, side) for side in ("request", "response")),
        )

    def _asked(self, request: Mapping[str, Any]) -> tuple[str, str] | None:
        """Return the operation and the stack's secret of a request, or None."""
        namespace = str((request.get("namespace") or {}).get("path") or "").strip("/")
        if namespace != self._namespace:
            return None
        operation, path = str(request["operation"]), str(request.get("path") or "").rstrip("/")
        changes = operation not in ONLY_LOOKS
        if (operation, path) == ("delete", f"{MOUNTS}{self._mount}") or (
            changes and path == f"{MOUNTS}{self._mount}/tune"
        ):
            return f"{operation} mount", ALL
        kind, _, name = path.removeprefix(f"{self._mount}/").partition("/")
        if not path.startswith(f"{self._mount}/") or kind not in (*KINDS, CONFIG):
            return None
        if operation in LISTS:
            below = f"{name}/" if name else ""
            about = ALL if any(secret.startswith(below) for secret in self._secrets) else None
        elif kind == CONFIG:
            about = ALL if changes else None
        else:
            about = name if name in self._secrets else None
        return (f"{operation} {kind}", about) if about else None

    def _who(self, auth: Mapping[str, Any], secret: str) -> tuple[str, bool]:
        """Return the reader's name, and whether the stack declares it."""
        asked = self._secrets if secret == ALL else (secret,)
        readers = [self._readers.get(each, ()) for each in asked]
        known = next((one for each in readers for one in each if _is(one, auth)), None)
        declared = all(any(_is(one, auth) for one in each) for each in readers)
        return known or _called(auth), declared


class GivenValue:
    """`Trail` over every request of a server whose answer held one of `hashes`, or that brought it there.

    A device has the same HMAC for the same text in every line: so this finds copies at other paths and in other mounts,
    and what somebody unwrapped.
    """

    form = VaultAuditLog.form

    def __init__(self, location: VaultStoreLocation, hashes: Collection[str]) -> None:
        self._mount, self._hashes = location.mount.strip("/"), frozenset(hashes)
        self._log = VaultAuditLog(location)

    def read(self, line: bytes) -> Iterator[Access]:
        for entry in entries(line):
            try:
                yield from self._access(entry)
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError("not a line of an audit device") from error

    def names(self, secret: str) -> frozenset[str]:
        return self._log.names(secret)

    def known(self) -> Iterable[str]:
        return self._log.known()

    def _access(self, entry: Mapping[str, Any]) -> Iterator[Access]:
        path = str(entry["request"].get("path") or "")
        given, brought = self._holds(entry.get("response")), self._holds(entry["request"])
        if not counts(entry) or not (given or brought) or path.startswith(HASHING):
            return
        operation = "unwrap" if path == UNWRAP else str(entry["request"]["operation"])
        kind, _, name = path.removeprefix(f"{self._mount}/").partition("/")
        if path.startswith(f"{self._mount}/") and kind in KINDS:
            found = self._log.access(entry, f"{operation} {kind}", name)
        else:
            found = self._log.access(entry, operation, path)
        yield dataclasses.replace(found, given=given)

    def _holds(self, side: Any) -> bool:
        return any(text in self._hashes for text in texts((side or {}).get("data")))


def entries(line: bytes) -> list[Mapping[str, Any]]:
    """Return the entries of a line after its prefix. Raises ValueError."""
    start = line.find(b"{")
    found = documents(line[max(start, 0) :])
    for entry in found:
        told = isinstance(entry, dict) and entry.get("type") in ("request", "response")
        if not told or not isinstance(entry.get("request"), dict):
            raise ValueError("not a line of an audit device")
    return found


def counts(entry: Mapping[str, Any]) -> bool:
    """Return whether the entry is the outcome of a request: a response, or a refusal."""
    return entry["type"] == "response" or bool(entry.get("error"))


def gives(entry: Mapping[str, Any]) -> bool:
    """Return whether the response held a value, or the wrapping token of one."""
    request, response = entry["request"], entry.get("response") or {}
    if entry.get("error") or f"/{GIVES_VALUE}/" not in str(request["path"]) or request["operation"] != "read":
        return False
    return bool((response.get("data") or {}).get("data") or response.get("wrap_info"))


def bare(entry: Mapping[str, Any], side: str) -> bool:
    """Return whether that side of the entry has a secret's text unhashed."""
    if f"/{GIVES_VALUE}/" not in str(entry["request"]["path"]):
        return False
    fields = ((entry.get(side) or {}).get("data") or {}).get("data")
    return any(not text.startswith(HASHED) and not _is_time(text) for text in texts(fields))


def _is_time(text: str) -> bool:
    """Return whether it is a time, which no device hashes. The lease's document has one."""
    with contextlib.suppress(ValueError):
        return bool(datetime.fromisoformat(text))
    return False


def texts(found: Any) -> Iterator[str]:
    """Yield every text in it."""
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict | list):
        for each in found.values() if isinstance(found, dict) else found:
            yield from texts(each)


def _role(auth: Mapping[str, Any]) -> str:
    metadata = auth.get("metadata") or {}
    return str(metadata.get("role_name") or metadata.get("role") or "")


def _alias(auth: Mapping[str, Any]) -> str:
    """Return an account's alias in the Kubernetes method; the log does not show those of other methods."""
    metadata = auth.get("metadata") or {}
    account, namespace = metadata.get("service_account_name"), metadata.get("service_account_namespace")
    return f"{namespace}-{account}" if account and namespace else ""


def _is(declared: str, auth: Mapping[str, Any]) -> bool:
    """Return whether a declared reader (`<mount>/<role>`, `<mount>/<user>` or a display name) is this login.

    A display name begins with the method's mount, which the server sets: a token made by hand may have metadata of any
    role, but is called `token-…`.
    """
    called, role = str(auth.get("display_name") or ""), _role(auth)
    mount, slash, name = declared.rpartition("/")
    if not called or not slash:
        return bool(called) and called == declared
    flat = mount.replace("/", "-")
    if not role:  # of a method without any
        return called == f"{flat}-{name}"
    if role != name:
        return False
    if (auth.get("metadata") or {}).get("role_name"):  # approle calls nobody by an alias
        return called == flat
    if alias := _alias(auth):
        return called == f"{flat}-{alias}"
    return called == flat or called.startswith(f"{flat}-")


def _called(auth: Mapping[str, Any]) -> str:
    """Return the name of an undeclared reader: the display name, without a known alias, and the role."""
    called, role = str(auth.get("display_name") or ""), _role(auth)
    if not called:
        return NOBODY
    if role:
        return f"{called.removesuffix(f'-{_alias(auth)}') if _alias(auth) else called}/{role}"
    return called


def _source(request: Mapping[str, Any], auth: Mapping[str, Any]) -> str:
    """Return the address, the account in a cluster, the policies of a token without a role, and whether it wraps."""
    metadata = auth.get("metadata") or {}
    account = metadata.get("service_account_name")
    named = f"account {metadata.get('service_account_namespace')}/{account}" if account else ""
    policies = "" if _role(auth) else ", ".join(auth.get("policies") or ())
    return " ".join(
        part
        for part in (
            str(request.get("remote_address") or ""),
            named,
            f"(policies {policies})" if policies else "",
            "wrapped" if request.get("wrap_ttl") else "",
        )
        if part
    )
