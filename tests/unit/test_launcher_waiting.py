"""What a server over HTTP waits for before it serves, and what it does not wait for because it can't come."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from secretops.errors import UsageError
from secretops.launcher.http_token import BearerTokens
from secretops.launcher.listening import listening
from secretops.launcher.sources import open_source
from secretops.launcher.state import LauncherState
from secretops.launcher.waiting import FirstValues
from secretops.manifest import HTTP_TOKEN
from secretops.values import new_password

DEADLINE = 60.0


def first_values(source: str, address: str = "0.0.0.0:0") -> tuple[FirstValues, LauncherState, threading.Event]:
    listens = listening("http", address, ())
    assert listens
    state, stopping = LauncherState(), threading.Event()
    return FirstValues(open_source(source), listens, BearerTokens(), state, stopping), state, stopping


def all_but_the_token(scheme: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    """A source of that kind, and the file that brings the token."""
    monkeypatch.setenv("MQTT_BROKER", "localhost")
    password = new_password()
    match scheme:
        case "files":
            (folder / "mqtt-user").write_text("user")
            (folder / "mqtt-password").write_text(password)
            return f"files:{folder}", folder / "http-token"
        case "env, naming a file":
            monkeypatch.setenv("MQTT_USER", "user")
            monkeypatch.setenv("MQTT_PASSWORD", password)
            monkeypatch.setenv("MCP_HTTP_TOKEN_FILE", str(folder / "token"))
            return "env:", folder / "token"
    (folder / "config").mkdir()
    text = f"MQTT_BROKER=localhost\nMQTT_USER=user\nMQTT_PASSWORD={password}\n"
    (folder / "config" / ".env").write_text(f"{text}MCP_HTTP_TOKEN_FILE={folder / 'token'}\n")
    return f"dotenv:{folder}", folder / "token"


@pytest.mark.parametrize("scheme", ["files", "dotenv", "env, naming a file"])
def test_all_there_but_the_token_is_waited_for_where_it_may_still_come(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, token = all_but_the_token(scheme, tmp_path, monkeypatch)
    values, state, stopping = first_values(source)
    values.look()
    assert list(state.waiting_for) == [HTTP_TOKEN[0]]
    over = threading.Timer(DEADLINE, stopping.set)
    over.start()
    token.write_text(new_password())
    try:
        assert values.wait()
    finally:
        over.cancel()
    assert list(state.waiting_for) == []


@pytest.mark.parametrize("password", [True, False], ids=["all else is there", "the password is missing too"])
def test_a_token_that_the_environment_lacks_can_not_come_any_more(
    password: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MQTT_BROKER", "localhost")
    monkeypatch.setenv("MQTT_USER", "user")
    if password:
        monkeypatch.setenv("MQTT_PASSWORD", new_password())
    values, _, _ = first_values("env:")
    with pytest.raises(UsageError, match=r"--listen 0\.0\.0\.0:0 without a token"):
        values.look()
