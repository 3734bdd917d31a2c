"""`secretops doctor` on a dotenv stack, and rules for every check."""

import json
import logging
import os
import pty
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest
from dotenv import dotenv_values

from secretops import cli
from secretops.check import Check, Level, Repair, Result, ok
from secretops.engine.state import Stage, Version
from secretops.errors import ExitCode, SecretopsError, StoreError
from secretops.manifest import Broker, BrokerKind, MqttProtocol
from secretops.operations import external_certificates
from secretops.operations.doctor import doctor, exit_code, run_repair
from secretops.platforms.dotenv.location import DotenvStoreLocation
from secretops.values import Value
from tests.real.stack import Stack, make_stack
from tests.unit.test_cli import run

CANARY = "canary-of-this-test-only"
HOUR = 3600


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("localhost", 0)) as listening:
        yield listening


@pytest.fixture
def stack(tmp_path: Path, listener: socket.socket) -> Stack:
    port = listener.getsockname()[1]
    broker = Broker(kind=BrokerKind.MOSQUITTO, host="localhost", port=port, protocol=MqttProtocol.V5, tls=True)
    made = make_stack(tmp_path / "store", broker)
    made.put("agent-key", {"api-key": CANARY})
    return made


def examine(stack: Stack, code: int) -> dict[str, dict[str, str]]:
    done = run(stack, "doctor", "--json")
    assert done.returncode == code, done.stdout
    assert CANARY.encode() not in done.stdout + done.stderr
    return {one["check"]: one for one in json.loads(done.stdout)["checks"]}


def test_a_healthy_stack_is_well(stack: Stack) -> None:
    examined = examine(stack, 0)
    assert list(examined) == [
        *("folder", "public lines", "audit", "set aside", "broker", "login broker-admin", "login mqtt"),
        *("certificates", "secret broker-admin", "secret mqtt", "secret agent-key", "secret client-cert"),
        "orphaned values",
    ]
    assert {one["level"] for one in examined.values()} == {"ok"}
    assert "secretops" not in examined["secret broker-admin"]["value"], "an ok has no remedy"
    text = run(stack, "doctor").stdout.decode()
    assert len(text.splitlines()) == len(examined)


def test_unreachable_broker_is_reported_with_a_remedy(stack: Stack, listener: socket.socket) -> None:
    listener.close()
    examined = examine(stack, 3)
    found = examined["broker"]
    assert {name for name, one in examined.items() if one["level"] == "attention"} == {"broker"}
    assert {one["value"] for one in examined.values() if one["level"] == "unknown"} == {"requires the broker"}
    assert found["value"].startswith(f"localhost:{stack.manifest.broker.port}: ")
    assert "start" in found["remedy"]


def _left_pending(stack: Stack) -> None:
    stack.clock.skip(-2.5 * HOUR)
    version = Version(id="v9", stage=Stage.PENDING, created=stack.clock())
    stack.session().store.add("agent-key", version, Value({"api-key": "of-a-put-that-was-killed"}))


def _last_years(stack: Stack) -> None:
    stack.clock.skip(-400 * 24 * HOUR)
    stack.put("agent-key", {"api-key": "of-last-year"})


def _left_the_stack(stack: Stack) -> None:
    secrets = tuple(secret for secret in stack.manifest.secrets if secret.name != "agent-key")
    stack.file.write_text(stack.manifest.model_copy(update={"secrets": secrets}).model_dump_json())


def _append_to(name: str) -> Callable[[Stack], object]:
    def plant(stack: Stack) -> None:
        log = stack.root / "log" / name
        log.touch(mode=0o600)
        log.write_text(log.read_text() + "garbage\n")

    return plant


def _set_aside(stack: Stack) -> None:
    (stack.root / "aside").mkdir(mode=0o700)
    (stack.root / "aside" / "config_.env").touch(mode=0o600)


def _edited(stack: Stack) -> None:
    stack.env.write_text(stack.env.read_text().replace(CANARY, "by-hand"))


@pytest.mark.parametrize(("plant", "check", "words"), [
    pytest.param(lambda stack: (stack.root / "versions").chmod(0o755), "folder", "versions has mode 755",
                 id="open folder"),
    pytest.param(lambda stack: stack.env.chmod(0o644), "folder", ".env has mode 644", id="readable .env"),
    pytest.param(_edited, "secret agent-key", "changed by hand", id="edited"),
    pytest.param(_left_pending, "secret agent-key", "left pending", id="pending left behind"),
    pytest.param(_left_the_stack, "orphaned values", "agent-key", id="left the stack"),
    pytest.param(_append_to("access.jsonl"), "audit", "access.jsonl: 1 invalid lines", id="broken record"),
    pytest.param(_append_to("rotation.jsonl"), "audit", "the first is line 3", id="broken journal"),
    pytest.param(_set_aside, "set aside", "config_.env", id="set aside"),
    pytest.param(_last_years, "secret agent-key", "due since", id="due"),
])  # fmt: skip
def test_a_planted_fault_is_found_by_its_check_alone(
    stack: Stack, plant: Callable[[Stack], object], check: str, words: str
) -> None:
    plant(stack)
    examined = examine(stack, 3)
    wrong = {name: one for name, one in examined.items() if one["level"] != "ok"}
    assert list(wrong) == [check]
    assert wrong[check]["level"] == "attention"
    assert words in wrong[check]["value"]
    assert wrong[check]["remedy"]


def test_missing_folder_is_reported_and_every_check_runs(stack: Stack, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    stack.file.rename(manifest)
    stack.manifest_file = manifest
    stack.root.rename(tmp_path / "away")
    examined = examine(stack, 3)
    assert len(examined) == 13
    assert examined["folder"]["value"].endswith("does not exist")
    assert {name for name, one in examined.items() if one["level"] == "ok"} == {"broker"}
    assert "lost-store.md" in examined["secret mqtt"]["remedy"]


@pytest.mark.parametrize("text", [None, "elsewhere.example", ""])
def test_doctor_repairs_each_line_of_the_env(stack: Stack, text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    # The listener presents no certificate: each check would wait for one.
    monkeypatch.setattr(external_certificates, "find", lambda _: ())
    whole = stack.env.read_text()
    assert isinstance(stack.manifest.store, DotenvStoreLocation)
    public = stack.manifest.store.lines
    ours = [*public, "DO_AGENT_API_KEY", "SECRETOPS_VERSION_AGENT_KEY"]
    assert [line.partition("=")[0] for line in whole.splitlines() if "=" in line] == [*public, "MINE", *ours[-2:]]
    for name in ours:
        if text is not None and name == "DO_AGENT_API_KEY":
            continue  # an operator decides about an edited value
        others = [line for line in whole.splitlines(keepends=True) if not line.startswith(f"{name}=")]
        stack.env.write_text("".join(others) + ("" if text is None else f"{name}={text}\n"))
        wrong = [check for check, one in examine(stack, 3).items() if one["level"] != "ok"]
        assert wrong == ["public lines" if name in public else "secret agent-key"]
        if name in public:
            for command in ("tick", "status"):
                output = run(stack, command).stdout.decode()
                assert f"{name} {'is missing' if text is None else 'differs'}" in output
                assert not text or text not in output, "it may be a password that was pasted there"
        assert run(stack, "doctor", "--repair", "--yes").returncode == 0
        restored, wanted = dotenv_values(stack.env), dotenv_values(stream=StringIO(whole))
        assert dict(restored) == dict(wanted)


def test_doctor_restores_an_env_file_that_was_deleted(stack: Stack) -> None:
    before = dotenv_values(stack.env)
    stack.env.unlink()
    assert run(stack, "doctor", "--repair", "--yes").returncode == 0
    assert {**dotenv_values(stack.env), "MINE": before["MINE"]} == before


def raising(error: Exception) -> Check:
    def look() -> Result:
        raise error

    return Check("raising", look)


def test_a_check_that_fails_stops_no_other_and_is_not_taken_for_well(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL):
        failure = StoreError("no", rule="rule", remedy="remedy", code="test")
        examined = list(doctor([raising(failure), raising(RuntimeError(CANARY)), Check("well", lambda: ok("well"))]))
    assert [result.level for _, result in examined] == [Level.UNKNOWN, Level.UNKNOWN, Level.OK]
    assert examined[0][1] == Result(Level.UNKNOWN, "no", "rule", "remedy")
    assert CANARY not in str(examined)
    assert exit_code(examined) == ExitCode.ATTENTION
    assert exit_code(examined[2:]) == ExitCode.DONE


def test_a_repair_that_fails_stops_no_other_and_shows_no_text_of_its_error(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> str:
        raise KeyError(CANARY)

    with caplog.at_level(logging.CRITICAL):
        came = [run_repair(Repair("one", fail)), run_repair(Repair("another", lambda: "done"))]
    assert isinstance(came[0], SecretopsError) and came[0].code == "unexpected-error"
    assert CANARY not in str(came[0])
    assert came[1] == "done"


@pytest.mark.parametrize(("answer", "mode"), [(None, 0o644), ("n", 0o644), ("y", 0o600)])
def test_repair_changes_nothing_before_somebody_agrees(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, answer: str | None, mode: int
) -> None:
    stack.env.chmod(0o644)
    if answer is None:  # standard input is no terminal
        assert run(stack, "doctor", "--repair").returncode == ExitCode.USAGE
    else:
        ours, theirs = pty.openpty()
        os.write(ours, f"{answer}\n".encode())
        with os.fdopen(theirs) as terminal, pytest.raises(SystemExit):
            monkeypatch.setattr(sys, "stdin", terminal)
            monkeypatch.setattr(sys, "argv", ["secretops", "doctor", "--repair", "--manifest", str(stack.file)])
            cli.main()
        os.close(ours)
    assert stat.S_IMODE(stack.env.stat().st_mode) == mode
