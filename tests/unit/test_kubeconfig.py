"""What is read of a kubeconfig, and what is told of one that leads nowhere."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest

from secretops.errors import UsageError
from secretops.stores.kubeconfig import Chosen, chosen


def read(folder: Path, server: str, *, token: str = "") -> Chosen | None:
    """The current context of a kubeconfig whose cluster is `server`."""
    path = folder / "kubeconfig"
    content = {
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {"token": token}}],
    }
    path.write_text(json.dumps(content))
    return chosen(None, {"KUBECONFIG": str(path)})


def test_a_login_in_a_servers_address_is_not_repeated(tmp_path: Path) -> None:
    value = secrets.token_urlsafe(24)
    login = f"admin:{value}"
    with pytest.raises(UsageError, match=r"http://k8s\.example\.com is not https") as error:
        read(tmp_path, f"http://{login}@k8s.example.com/?key={value}")
    assert value not in str(error.value)


def test_a_context_that_is_shown_shows_no_token(tmp_path: Path) -> None:
    value = secrets.token_urlsafe(24)
    found = read(tmp_path, "https://k8s.example.com", token=value)
    assert found and found.user["token"] == value
    assert value not in repr(found)
