"""Read Vault's and OpenBao's audit devices: a line is a request, or its response, as JSON, after an optional prefix.

Only responses count, and requests that were denied, which may have none: the server records a response before it
answers. Texts are HMACs, with a salt for each device, unless the mount is tuned otherwise. https://openbao.org/docs/audit/
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from secretops.platforms.vault.location import VaultStoreLocation
from secretops.trails import ALL, Access, TrailNames, json_documents, parsing

# Between a mount and the path of a secret, for each operation of KV v2; and the mount's own configuration.
KINDS = ("data", "metadata", "detailed-metadata", "subkeys", "delete", "undelete", "destroy")
CONFIG = "config"
GIVES_VALUE = "data"
LISTS = frozenset({"list", "scan"})
# Operations that change nothing. All others do, unknown ones too.
ONLY_LOOKS = frozenset({"read", "help", *LISTS})
# Begins an HMAC.
HASHED = "hmac-"
# A change below it removes a mount, or has its texts logged as they are.
MOUNTS = "sys/mounts/"
UNWRAP = "sys/wrapping/unwrap"
NOBODY = "(not logged in)"
_DENIED = "permission denied"


class VaultAuditLog(TrailNames):
    """`Trail` over one stack's secrets in one mount. What a server does elsewhere is passed over."""

    log_format = "the log of an audit device, one request or response as JSON a line"

    def __init__(self, location: VaultStoreLocation) -> None:
        self._mount, self._namespace = location.mount.strip("/"), location.namespace.strip("/")
        self._readers = location.readers
        names = {secret: frozenset({name, location.pending[secret]}) for secret, name in location.secrets.items()}
        own = {*location.secrets.values(), *location.pending.values(), location.lease}
        super().__init__(names, own | {*location.readers})

    def read(self, line: bytes) -> Iterator[Access]:
        for entry in entries(line):
            yield from self._access(entry)

    def _access(self, entry: Mapping[str, Any]) -> Iterator[Access]:
        with parsing("a line of an audit device"):
            found = self._asked(entry["request"]) if counts(entry) else None
            if found is not None:
                yield self.access(entry, *found)

    def access(self, entry: Mapping[str, Any], operation: str, secret: str) -> Access:
        """What the entry tells of `operation` on `secret`."""
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
            value_returned=given,
            changed=request["operation"] not in ONLY_LOOKS and path != UNWRAP and not failed,
            declared=declared,
            event=str(request.get("id") or ""),
            holds_value=any(bare(entry, side) for side in ("request", "response")),
        )

    def _asked(self, request: Mapping[str, Any]) -> tuple[str, str] | None:
        """What was done to which of the stack's secrets. None where it is about something else."""
        namespace = str((request.get("namespace") or {}).get("path") or "").strip("/")
        if namespace != self._namespace:
            return None
        operation, path = str(request["operation"]), str(request.get("path") or "").rstrip("/")
        changes, own = operation not in ONLY_LOOKS, f"{MOUNTS}{self._mount}"
        if (operation, path) == ("delete", own) or (changes and path == f"{own}/tune"):
            return f"{operation} mount", ALL
        kind, _, name = path.removeprefix(f"{self._mount}/").partition("/")
        if not path.startswith(f"{self._mount}/") or kind not in (*KINDS, CONFIG):
            return None
        if operation in LISTS:
            below = f"{name}/" if name else ""
            about = ALL if any(secret.startswith(below) for secret in self.known) else None
        elif kind == CONFIG:
            about = ALL if changes else None
        else:
            about = name if name in self.known else None
        return (f"{operation} {kind}", about) if about else None

    def _who(self, auth: Mapping[str, Any], secret: str) -> tuple[str, bool]:
        """How the reader is called, and whether the stack says that they may."""
        asked = self.known if secret == ALL else (secret,)
        readers = [self._readers.get(each, ()) for each in asked]
        known = next((one for each in readers for one in each if _is(one, auth)), None)
        declared = all(any(_is(one, auth) for one in each) for each in readers)
        return known or _called(auth), declared


def entries(line: bytes) -> list[Mapping[str, Any]]:
    """The entries of a line, behind whatever prefix. Raises ValueError when one is none."""
    start = line.find(b"{")
    found = json_documents(line[max(start, 0) :])
    for entry in found:
        told = isinstance(entry, dict) and entry.get("type") in ("request", "response")
        if not told or not isinstance(entry.get("request"), dict):
            raise ValueError("not a line of an audit device")
    return found


def counts(entry: Mapping[str, Any]) -> bool:
    """Whether the entry tells what a request came to: it was answered, or refused on the way."""
    return entry["type"] == "response" or bool(entry.get("error"))


def gives(entry: Mapping[str, Any]) -> bool:
    """Whether the answer held a value, or the token of a wrapping that does."""
    request, response = entry["request"], entry.get("response") or {}
    if entry.get("error") or f"/{GIVES_VALUE}/" not in str(request["path"]) or request["operation"] != "read":
        return False
    return bool((response.get("data") or {}).get("data") or response.get("wrap_info"))


def bare(entry: Mapping[str, Any], side: str) -> bool:
    """Whether that side of the entry has a secret's text as it is."""
    if f"/{GIVES_VALUE}/" not in str(entry["request"]["path"]):
        return False
    fields = ((entry.get(side) or {}).get("data") or {}).get("data")
    return any(not text.startswith(HASHED) and not _is_time(text) for text in texts(fields))


def _is_time(text: str) -> bool:
    """No device hashes one. The document of the lease has some."""
    with contextlib.suppress(ValueError):
        return bool(datetime.fromisoformat(text))
    return False


def texts(found: Any) -> Iterator[str]:
    """Every text in it, however deep."""
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict | list):
        for each in found.values() if isinstance(found, dict) else found:
            yield from texts(each)


def _role(auth: Mapping[str, Any]) -> str:
    metadata = auth.get("metadata") or {}
    return str(metadata.get("role_name") or metadata.get("role") or "")


def _alias(auth: Mapping[str, Any]) -> str:
    """What the method of Kubernetes calls an account; others call them by what the log does not repeat."""
    metadata = auth.get("metadata") or {}
    account, namespace = metadata.get("service_account_name"), metadata.get("service_account_namespace")
    return f"{namespace}-{account}" if account and namespace else ""


def _is(declared: str, auth: Mapping[str, Any]) -> bool:
    """Whether the reader that a stack declares, `<mount>/<role>`, `<mount>/<user>` or a display name, is this login's.

    A display name begins with the method's mount, which only the server says: whoever makes a token of their own may
    give it metadata of any role, and is called `token-…`.
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
    """Whoever is not declared: by the display name, without the alias where that is known, and the role."""
    called, role = str(auth.get("display_name") or ""), _role(auth)
    if not called:
        return NOBODY
    if role:
        return f"{called.removesuffix(f'-{_alias(auth)}') if _alias(auth) else called}/{role}"
    return called


def _source(request: Mapping[str, Any], auth: Mapping[str, Any]) -> str:
    """The address, the account in a cluster, what a token without a role may, and that an answer was wrapped."""
    metadata = auth.get("metadata") or {}
    account = metadata.get("service_account_name")
    named = f"account {metadata.get('service_account_namespace')}/{account}" if account else ""
    policies = "" if _role(auth) else ", ".join(auth.get("policies") or ())
    shown, wrapped = f"(policies {policies})" if policies else "", "wrapped" if request.get("wrap_ttl") else ""
    return " ".join(filter(None, (str(request.get("remote_address") or ""), named, shown, wrapped)))
