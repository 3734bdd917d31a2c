"""Read a login's credential from a file: a JWT, a secret id, or the wrapping token of a secret id.

An unused wrapping token proves that no other program got the secret id. A second file has the digest of a token that
this program used, so that a restart is not reported as a theft.
"""

from __future__ import annotations

import contextlib
import hashlib
import http
import re
from pathlib import Path

from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError
from secretops.platforms.vault.location import VaultLogin
from secretops.platforms.vault.server import Answer, Connection
from secretops.redaction import remember
from secretops.stores import files

# Suffix of the digest's file.
USED = ".used"


class Wrapping:
    def __init__(self, connection: Connection, method: VaultLogin) -> None:
        self._connection, self._method = connection, method
        self._what = f"a wrapping token of a secret id of the role with id {method.role}"
        self._record = Path(f"{method.file}{USED}")
        # Secret id, the digest of its token, and the digest of the last token that was sent to unwrap.
        self._secret_id = self._source = self._sent = ""  # nosec B105 - none yet

    def secret_id(self) -> str:
        if not self._secret_id:
            self._unwrap(read_credential(self._method.file, self._what))
        return self._secret_id

    def unwrap_another(self) -> bool:
        """Unwrap the token in the file if it is new; else return False."""
        try:
            token = read_credential(self._method.file, self._what)
        except UsageError:
            return False
        if _digest(token) == self._source:
            return False
        self._unwrap(token)
        return True

    def _unwrap(self, token: str) -> None:
        method, connection, digest = self._method, self._connection, _digest(token)
        lookup = connection.request("POST", "sys/wrapping/lookup", {"token": token})
        if not lookup.is_good:
            raise self._rejected(digest, lookup)
        # Match the whole path: a path in a cubbyhole or another mount may end in the same way.
        made_at = str(lookup.data.get("creation_path", ""))
        if not re.fullmatch(rf"auth/{re.escape(method.mount)}/role/[^/]+/secret-id", made_at):
            raise StoreError(
                f"{method.file}: this wrapping token does not wrap a secret id of auth/{method.mount}",
                rule="the token must wrap a secret id: a thief who unwrapped the first token may have wrapped another "
                "value",
                remedy="assume a theft: revoke the role's secret ids; find the unwrap of the first token in the "
                "server's audit log; then write a new wrapping token to the file",
                code="vault-wrapping-token-forged",
            )
        self._sent = digest
        with contextlib.suppress(StoreError):  # the folder may be read-only
            files.write(self._record, digest.encode(), files.PRIVATE)
        try:
            answer = connection.request("POST", "sys/wrapping/unwrap", {}, token=token, patient=False)
        except UnreachableError as error:
            raise UnreachableError(
                f"{error.what}: the wrapping token in {method.file} may be used up",
                rule="a wrapping token can be used only once, so secretops must look it up before it tries again",
                remedy="nothing to do: secretops tries again if the token is unused; else it reports that the token "
                "was used",
                code="vault-unwrap-unanswered",
            ) from None
        if answer.status == http.HTTPStatus.BAD_REQUEST:  # another program used the token after the lookup
            self._sent = ""
            with contextlib.suppress(OSError):
                self._record.unlink()
        found = answer.data.get("secret_id")
        if not answer.is_good or not isinstance(found, str):
            raise self._rejected(digest, answer)
        remember(found)
        self._secret_id, self._source = found, digest

    def _rejected(self, digest: str, answer: Answer) -> SecretopsError:
        file, host = self._method.file, self._connection.server.host
        if answer.status != http.HTTPStatus.BAD_REQUEST:
            return StoreError(
                f"{host} does not unwrap the token in {file} (status {answer.status})",
                rule="the file must contain a wrapping token of this server and namespace",
                remedy=f"write a new wrapping token of this server and namespace to {file}",
                code="vault-unwrap-rejected",
            )
        recorded = ""
        with contextlib.suppress(OSError, UnicodeDecodeError):
            recorded = self._record.read_text(encoding="ascii").strip()
        if digest in (self._sent, recorded):
            return StoreError(
                f"{file}: this program has already used this wrapping token",
                rule="each start requires a new wrapping token, because a token can be used only once",
                remedy="write a new wrapping token to the file before each start",
                code="vault-wrapping-token-reused",
            )
        return StoreError(
            f"{file}: this wrapping token was used already, or has expired",
            rule="a wrapping token must be unused; if another program used it, SOMEBODY ELSE HAS THE SECRET ID",
            remedy="find the unwrap in the server's audit log; if another program did it, revoke the role's secret "
            "ids; then write a new wrapping token to the file",
            code="vault-wrapping-token-used",
        )


def read_credential(file: str, what: str) -> str:
    found = ""
    try:
        found, why = Path(file).read_text(encoding="utf-8").strip(), "empty"
    except UnicodeDecodeError:
        why = "not UTF-8 text"
    except OSError as error:
        why = error.strerror or type(error).__name__
    if not found:
        raise UsageError(
            f"{file}: {why}",
            rule=f"the file must contain {what}, with which secretops logs in to Vault",
            remedy="write the credential to this file, so that only the account of this process can read it",
            code="vault-credential-missing",
        )
    return check_token(found, file)


def check_token(text: str, source: str) -> str:
    """Return `text`. Raises UsageError if it is not valid in an HTTP header, since the HTTP client would quote it."""
    remember(text)
    if not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(
            f"{source} does not contain a valid token, secret id or JWT",
            rule="a token, a secret id and a JWT must be one line of printable ASCII without spaces",
            remedy=f"write the credential to {source} again",
            code="vault-credential-invalid",
        )
    return text


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
