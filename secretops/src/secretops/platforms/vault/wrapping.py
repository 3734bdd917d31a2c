"""What a program shows to log in: a line of a file, or a secret id that a wrapping token in a file gives once.

A wrapping token that was not used, and was made where secret ids are made, proves that nobody had the secret id. A
digest beside the file records that this program used the token itself, which is no theft.
"""

from __future__ import annotations

import contextlib
import hashlib
import http
import re
from pathlib import Path

from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError
from secretops.platforms.vault import errors
from secretops.platforms.vault.location import VaultLogin
from secretops.platforms.vault.server import Answer, Connection, Request
from secretops.redaction import remember
from secretops.stores import files

# Suffix of the digest's file.
USED = ".used"
WRAPPED = "the wrapping token of its secret id"


class Wrapping:
    """The secret id that `method`'s file gives."""

    def __init__(self, connection: Connection, method: VaultLogin) -> None:
        self._connection, self._method = connection, method
        self._secret_id = self._from = ""  # nosec B105 - none yet
        """What we have, and the digest of the token that gave it."""
        self._asked = ""
        """That of the token which we asked to unwrap last."""

    def secret_id(self) -> str:
        """The one that we have, which serves for every login, or the one that the file's token gives."""
        if not self._secret_id:
            self._take(read(self._method.file, WRAPPED))
        return self._secret_id

    def takes_another(self) -> bool:
        """Take what another token gives that lies there by now. False where none does: what we have is kept, since it
        is given once, and what it was refused for may pass."""
        try:
            token = read(self._method.file, WRAPPED)
        except UsageError:
            return False
        if _digest(token) == self._from:
            return False
        self._take(token)
        return True

    def _take(self, token: str) -> None:
        self._secret_id, self._from = self._unwrapped(token), _digest(token)

    def _unwrapped(self, token: str) -> str:
        method, connection = self._method, self._connection
        asked = Request(method="POST", path="sys/wrapping/lookup", body={"token": token})
        looked = connection.ask(asked)
        if not looked.is_good:
            raise self._used(token, looked)
        # the whole of it: a cubbyhole, or another mount, may have a path that ends alike
        made_at = str(looked.data.get("creation_path", ""))
        if not re.fullmatch(rf"auth/{re.escape(method.mount)}/role/[^/]+/secret-id", made_at):
            raise errors.UnwrapError(
                f"{method.file}: this wrapping token does not wrap a secret id of auth/{method.mount}",
                rule="it says where it was made; somebody who took the first one would wrap what they like anew",
                remedy="take it for stolen: revoke the role's secret ids, look in the audit log who unwrapped one, "
                "and put a new one there",
            )
        self._asked = _digest(token)
        with contextlib.suppress(StoreError):  # what it is shown may lie where nothing is written
            files.write(self._record, self._asked.encode(), files.PRIVATE)
        try:
            answer = connection.ask(Request(method="POST", path="sys/wrapping/unwrap", body={}), token, patiently=False)
        except UnreachableError as error:
            raise UnreachableError(
                f"{error.what}: the wrapping token in {method.file} may be used up by this question",
                rule="it gives its secret id once, so it is not asked again before it is looked up again",
                remedy="nothing to do while it can be looked up; if it was used up, put a new one there",
            ) from None
        found = answer.data.get("secret_id")
        if not answer.is_good or not isinstance(found, str):
            raise self._used(token, answer)
        remember(found)
        return found

    def _used(self, token: str, answer: Answer) -> SecretopsError:
        file, host = self._method.file, self._connection.server.host
        if answer.status != http.HTTPStatus.BAD_REQUEST:
            return errors.LoginError(
                f"{host} does not unwrap what {file} has ({answer.status})",
                rule="a wrapping token gives its secret id once, to whoever shows it",
                remedy="is it of this server and its namespace? Else put a new one there",
            )
        if _digest(token) in (self._asked, self._recorded()):
            return errors.LoginError(
                f"{file}: this program asked for what this wrapping token gives before, and it gives it once",
                rule="the secret id was in the memory of a program that has ended, or in an answer that was lost",
                remedy="put a new one there, for each start; in doubt the audit log says who unwrapped the last one",
            )
        return errors.UnwrapError(
            f"{file}: this wrapping token was used already, or has ended",
            rule="it gives its secret id once: unless this program was started before with the same one, SOMEBODY ELSE "
            "HAS THE SECRET ID",
            remedy="look in the audit log who unwrapped it; if it was not this program, revoke the role's secret ids. "
            "Then put a new one there",
        )

    @property
    def _record(self) -> Path:
        return Path(f"{self._method.file}{USED}")

    def _recorded(self) -> str:
        try:
            return self._record.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return ""


def read(file: str, what: str) -> str:
    """What `file` has, which is `what`. Raises UsageError where nothing can be read."""
    try:
        found = Path(file).read_text(encoding="utf-8").strip()
        why = "is empty"
    except UnicodeDecodeError:
        found, why = "", "is no text"
    except OSError as error:
        found, why = "", error.strerror or type(error).__name__
    if not found:
        raise UsageError(
            f"{file}: {why}",
            rule=f"a program that logs in by itself reads {what} from there",
            remedy="put it there, readable for the account that this runs as alone",
        )
    return checked(found, file)


def checked(text: str, where: str) -> str:
    """`text`, which goes into a header: what can't be in one would be printed by whoever refuses it."""
    remember(text)
    if not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(
            f"{where}: what is there is no token",
            rule="a token, a secret id and a JWT are one line of letters, digits and dots",
            remedy="put it there anew",
        )
    return text


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
