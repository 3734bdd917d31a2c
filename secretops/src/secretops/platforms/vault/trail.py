"""Parse the log of Vault's and OpenBao's audit devices.

https://openbao.org/docs/audit/

Accesses are responses, and denied requests, since these may have no response. Texts in the log are HMACs, and each
device has its own salt.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from secretops.platforms.vault.location import VaultStoreLocation
from secretops.trails import ALL, Access, TrailNames, json_documents, parsing

# Parts of a KV v2 path between mount and secret, one for each operation. CONFIG: the mount's own configuration.
KINDS = ("data", "metadata", "detailed-metadata", "subkeys", "delete", "undelete", "destroy")
CONFIG = "config"
VALUE_KIND = "data"
LISTS = frozenset({"list", "scan"})
# Operations that only read. All others count as changes, also unknown ones.
READ_ONLY = frozenset({"read", "help", *LISTS})
# Prefix of an HMAC.
HASHED = "hmac-"
# A change below this path can remove a mount, or tune it to log plain texts.
MOUNTS = "sys/mounts/"
UNWRAP = "sys/wrapping/unwrap"
NOBODY = "(not logged in)"
_DENIED = "permission denied"


class VaultAuditLog(TrailNames):
    log_format = "the log of an audit device, one request or response as JSON per line"

    def __init__(self, location: VaultStoreLocation) -> None:
        self._mount, self._namespace = location.mount.strip("/"), location.namespace.strip("/")
        self._readers = location.readers
        names = {secret: frozenset({name, location.pending[secret]}) for secret, name in location.secrets.items()}
        own = {*location.secrets.values(), *location.pending.values(), location.lease}
        super().__init__(names, own | {*location.readers})

    def read(self, line: bytes) -> Iterator[Access]:
        for entry in entries(line):
            yield from self._accesses(entry)

    def _accesses(self, entry: Mapping[str, Any]) -> Iterator[Access]:
        with parsing("a line of an audit device"):
            found = self._operation(entry["request"]) if is_final(entry) else None
            if found is not None:
                yield self.access(entry, *found)

    def access(self, entry: Mapping[str, Any], operation: str, secret: str) -> Access:
        request, auth = entry["request"], entry.get("auth") or {}
        failed, path = str(entry.get("error") or ""), str(request["path"])
        names = self.known if secret == ALL else (secret,)
        readers = [self._readers.get(name, ()) for name in names]
        declared = next((each for row in readers for each in row if _matches(each, auth)), None)
        return Access(
            time=datetime.fromisoformat(entry["time"]).astimezone(UTC),
            reader=declared or _reader_name(auth),
            operation=operation,
            secret=secret,
            allowed=(auth.get("policy_results") or {}).get("allowed") is not False and _DENIED not in failed,
            source=_source(request, auth),
            value_returned=returns_value(entry),
            changed=request["operation"] not in READ_ONLY and path != UNWRAP and not failed,
            declared=all(any(_matches(each, auth) for each in row) for row in readers),
            event=str(request.get("id") or ""),
            holds_value=any(has_plain_value(entry, side) for side in ("request", "response")),
        )

    def _operation(self, request: Mapping[str, Any]) -> tuple[str, str] | None:
        namespace = str((request.get("namespace") or {}).get("path") or "").strip("/")
        if namespace != self._namespace:
            return None
        operation, path = str(request["operation"]), str(request.get("path") or "").rstrip("/")
        changes, own = operation not in READ_ONLY, f"{MOUNTS}{self._mount}"
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


def entries(line: bytes) -> list[Mapping[str, Any]]:
    found = json_documents(line[max(line.find(b"{"), 0) :])
    for entry in found:
        is_entry = isinstance(entry, dict) and entry.get("type") in ("request", "response")
        if not is_entry or not isinstance(entry.get("request"), dict):
            raise ValueError("not a line of an audit device")
    return found


def is_final(entry: Mapping[str, Any]) -> bool:
    return entry["type"] == "response" or bool(entry.get("error"))


def returns_value(entry: Mapping[str, Any]) -> bool:
    request, response = entry["request"], entry.get("response") or {}
    if entry.get("error") or f"/{VALUE_KIND}/" not in str(request["path"]) or request["operation"] != "read":
        return False
    return bool((response.get("data") or {}).get("data") or response.get("wrap_info"))


def has_plain_value(entry: Mapping[str, Any], side: str) -> bool:
    """Return whether `side`, the request or the response, has a text that is not hashed. Ignores times, which audit
    devices never hash."""
    if f"/{VALUE_KIND}/" not in str(entry["request"]["path"]):
        return False
    fields = ((entry.get(side) or {}).get("data") or {}).get("data")
    return any(not text.startswith(HASHED) and not _is_time(text) for text in texts(fields))


def _is_time(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(datetime.fromisoformat(text))
    return False


def texts(found: Any) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict | list):
        for each in found.values() if isinstance(found, dict) else found:
            yield from texts(each)


def _role(auth: Mapping[str, Any]) -> str:
    metadata = auth.get("metadata") or {}
    return str(metadata.get("role_name") or metadata.get("role") or "")


def _alias(auth: Mapping[str, Any]) -> str:
    metadata = auth.get("metadata") or {}
    account, namespace = metadata.get("service_account_name"), metadata.get("service_account_namespace")
    return f"{namespace}-{account}" if account and namespace else ""


def _matches(declared: str, auth: Mapping[str, Any]) -> bool:
    """Return whether the login `auth` is of the reader `declared`: `<mount>/<role>`, `<mount>/<user>` or a display
    name."""
    display, role = str(auth.get("display_name") or ""), _role(auth)
    # Only the server sets the display name, which starts with the mount. The metadata are no proof: a user's token may
    # have those of any role.
    mount, slash, name = declared.rpartition("/")
    if not display or not slash:
        return bool(display) and display == declared
    prefix = mount.replace("/", "-")
    if not role:  # an auth method without roles
        return display == f"{prefix}-{name}"
    if role != name:
        return False
    if (auth.get("metadata") or {}).get("role_name"):  # an approle login has no alias
        return display == prefix
    if alias := _alias(auth):
        return display == f"{prefix}-{alias}"
    return display == prefix or display.startswith(f"{prefix}-")


def _reader_name(auth: Mapping[str, Any]) -> str:
    display, role, alias = str(auth.get("display_name") or ""), _role(auth), _alias(auth)
    if not display:
        return NOBODY
    return f"{display.removesuffix(f'-{alias}') if alias else display}/{role}" if role else display


def _source(request: Mapping[str, Any], auth: Mapping[str, Any]) -> str:
    metadata = auth.get("metadata") or {}
    account = metadata.get("service_account_name")
    named = f"account {metadata.get('service_account_namespace')}/{account}" if account else ""
    policies = "" if _role(auth) else ", ".join(auth.get("policies") or ())
    shown, wrapped = f"(policies {policies})" if policies else "", "wrapped" if request.get("wrap_ttl") else ""
    return " ".join(filter(None, (str(request.get("remote_address") or ""), named, shown, wrapped)))
