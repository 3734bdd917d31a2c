"""What `--from vault:…` says, and what is said of a mistake in it. No server is asked."""

from __future__ import annotations

import pytest

pytest.importorskip("hvac", reason="Vault's client is not installed: the extra `vault`")

from secretops.errors import UsageError
from secretops.launcher.sources import open_source
from secretops.launcher.vault import SERVICE_ACCOUNT_TOKEN, parsed


def test_what_a_source_says_is_read_whole() -> None:
    found = parsed("v:1/team/kv/data/stack/mqtt+agent-key,kubernetes=server,auth=k8s/one,namespace=a/b,ca=/ca.pem")
    assert (found.server.address, found.server.namespace, found.server.ca_file) == ("https://v:1", "a/b", "/ca.pem")
    assert (found.mount, found.start, found.names) == ("team/kv", "stack/", "mqtt+agent-key")
    login = found.login
    assert login and (login.method, login.mount, login.role) == ("kubernetes", "k8s/one", "server")
    assert (login.file, login.wrapped) == (SERVICE_ACCOUNT_TOKEN, False)
    assert parsed("v/kv/data/mqtt").login is None
    wrapped = parsed("v/kv/data/mqtt,wrapped,file=/id,approle=server").login
    assert wrapped and (wrapped.wrapped, wrapped.mount) == (True, "approle")


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("v", "vault:<host>"),
        ("user:SECRET@v/kv/data/mqtt", "vault:<host>"),
        ("v/kv/data/mqqt", "did you mean mqtt"),
        ("v/kv/data/mqtt,approle=", "approle=…"),
        ("v/kv/data/mqtt,secret-id=SECRET", "options are"),
        ("v/kv/data/mqtt,file=/id", "says how to log in"),
        ("v/kv/data/mqtt,approle=x,jwt=y,file=/id", "says how to log in"),
        ("v/kv/data/mqtt,jwt=x,file=/id,wrapped", "wrapped"),
    ],
)
def test_a_mistake_is_told_with_what_is_meant_and_repeats_nothing_that_may_be_a_secret(place: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_source(f"vault:{place}")
    assert told in str(caught.value) and caught.value.remedy
    assert "SECRET" not in str(caught.value)
