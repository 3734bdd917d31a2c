"""What a server of Vault or OpenBao says, in our words: each with what to do, and nothing of its own texts.

The texts are those of OpenBao 2.7 and of Vault, which a server here can't be made to say: tests/contract has the rest.
"""

from __future__ import annotations

import secrets

import pytest

pytest.importorskip("hvac", reason="Vault's client is not installed: the extra `vault`")

import requests

from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError
from secretops.stores.vault import errors, server
from secretops.stores.vault.errors import DeniedError, SealedError
from secretops.stores.vault.server import Answer, Connection, Request, Server

ADDRESS = "https://vault.example:8200"
SECRET = secrets.token_hex(8)


def meaning(status: int, *texts: str) -> SecretopsError:
    return errors.refused(
        status, [*texts, SECRET], address=ADDRESS, action="write", where="m/it", mount="m", namespace="team"
    )


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (503, "Vault is sealed", SealedError),
        (500, "local node not active but active cluster node not found", UnreachableError),
        (307, "", UnreachableError),
        (412, "required index state not present", UnreachableError),
        (404, "namespace not found", StoreError),
        (404, 'no handler for route "m/data/it". route entry not found.', StoreError),
        (403, "permission denied", DeniedError),
    ],
)
def test_a_refusal_is_told_with_what_to_do(status: int, text: str, kind: type[SecretopsError]) -> None:
    told = meaning(status, text)
    assert type(told) is kind and told.rule and told.remedy
    assert SECRET not in str(told)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (requests.exceptions.SSLError(SECRET), StoreError),
        (requests.exceptions.ReadTimeout(SECRET), UnreachableError),
        (OSError(SECRET), UsageError),
    ],
)
def test_no_answer_is_told_with_what_to_do_and_nothing_of_what_was_sent(
    error: Exception, kind: type[SecretopsError]
) -> None:
    told = errors.unanswered(error, ADDRESS, "/etc/ca.crt")
    assert type(told) is kind and told.rule and told.remedy
    assert SECRET not in str(told)


def test_a_busy_server_is_asked_again_and_no_token_follows_where_it_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PAUSES", (0.0, 0.0))
    answers = [Answer(307, {}), Answer(503, {"errors": ["Vault is sealed"]}), Answer(200, {"data": {"a": "b"}})]
    guarded: list[bool] = []
    monkeypatch.setattr(Connection, "_attempt", lambda *_: answers.pop(0))
    found = Connection(Server(ADDRESS)).ask(
        Request(method="GET", path="m/data/it"), SECRET, before=lambda: guarded.append(True)
    )
    assert found.data == {"a": "b"}
    assert len(guarded) == 3, "before each attempt"
    answers = [Answer(503, {"errors": ["Vault is sealed"]}), Answer(200, {})]
    with pytest.raises(SealedError):
        Connection(Server(ADDRESS)).ask(Request(method="GET", path="m/data/it"), SECRET, patiently=False)
