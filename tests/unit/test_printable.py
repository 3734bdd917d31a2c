"""Terminal output: control characters from outside, the terminal's current width, and closed or full outputs."""

import io
import json
import logging
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from secretops import printable
from secretops.access import this_actor
from secretops.cli.console import Styled, err, out, print_table
from secretops.engine.journal import Entry
from secretops.engine.rotator import new_token
from secretops.engine.state import Replica, Stage, Version
from secretops.errors import SecretopsError
from secretops.operations import broker_access
from secretops.printable import Screen, ScreenedBytes
from secretops.values import Value
from tests.real.stack import Stack, make_stack
from tests.unit.test_audit import BROKER
from tests.unit.test_cli import run

# Every C0, DEL, C1 and bidirectional control, the separators of lines, a tag, and sequences made of them:
# clipboard (OSC 52), title (OSC 0), color, cursor.
CONTROLS = [chr(each) for each in (*range(9), *range(11, 32), *range(127, 160), 0x61C, 0x200E, 0x200F)]
CONTROLS += [chr(each) for each in (*range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF, 0xE0001)]
SEQUENCES = ["\x1b]52;c;aGk=\x07", "\x1b]0;title\x07", "\x1b[31mred\x1b[0m", "\x9b2J", "a\rb", "\u202egnp.exe", "\b\b"]
HOSTILE = f"x{''.join((*CONTROLS, *SEQUENCES))}y"


def is_printed(text: str) -> bool:
    return all(each.isprintable() or each in "\n\t" for each in text)


@pytest.mark.parametrize("hostile", [*CONTROLS, *SEQUENCES, "\ud800"], ids=ascii)
def test_screen_escapes_all_but_printable_text_newline_and_tab(hostile: str) -> None:
    stream = io.StringIO()
    screen = Screen(stream, required=True)
    screen.write(f"a\t{hostile}é\n")
    screen.write_styled(hostile, "31")
    first, _, styled = stream.getvalue().partition("\n")
    assert is_printed(first) and first.startswith("a\t") and first.endswith("é")
    assert is_printed(styled.removeprefix("\x1b[31m").removesuffix("\x1b[0m"))
    assert json.loads(json.dumps(hostile, ensure_ascii=False).replace(hostile, printable.printable(hostile))) == hostile


def test_screened_bytes_escape_what_another_process_printed() -> None:
    stream = io.StringIO()
    passed = ScreenedBytes(Screen(stream, required=True))  # type: ignore[arg-type]
    for part in ("é".encode()[:1], "é".encode()[1:], b"\x1b[2J\xff\n"):
        passed.write(part)
    assert stream.getvalue() == "é\\u001b[2J\\xff\n"


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return make_stack(tmp_path / "store", BROKER)


@pytest.fixture
def hostile(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """Return a stack with hostile names in its versions, journal, access log and reports."""
    stack.put("agent-key", {"api-key": "of-this-test"})
    state = stack.root / "versions" / "agent-key" / "state.json"
    (version,) = json.loads(state.read_text())
    state.write_text(json.dumps([{**version, "user": HOSTILE}]))
    for log in ("access", "rotation"):
        path = stack.root / "log" / f"{log}.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        changed = [{**line, "actor": HOSTILE, "outcome": HOSTILE} for line in lines]
        path.write_text("".join(f"{json.dumps(line)}\n" for line in [*lines, *changed]) + HOSTILE[:9])
    report = Replica(id=HOSTILE, user=HOSTILE, secret="mqtt", version=HOSTILE, since=stack.clock())
    monkeypatch.setattr(broker_access, "replicas", lambda *_, **__: (report,))
    return stack


@pytest.mark.parametrize(
    "command",
    [
        *(["status"], ["status", "--json"], ["tick"], ["tick", "--json"], ["audit"], ["audit", "--json"], ["doctor"]),
        *(["doctor", "--json"], ["report", "--json", "--skip-doctor"], ["purge"], ["rotate", HOSTILE]),
        *(["compromise", HOSTILE, "--json"], ["put", "agent-key", "--file", f"{HOSTILE}=x"]),
        *(["status", f"--{HOSTILE}"], [HOSTILE]),
    ],
    ids=lambda command: ascii(" ".join(command))[:40],
)
def test_no_command_prints_a_control_character(command: list[str], hostile: Stack) -> None:
    done = run(hostile, *(each.replace("\0", "") for each in command))
    assert done.stdout + done.stderr
    assert is_printed(done.stdout.decode()) and is_printed(done.stderr.decode())
    if "--json" in command:
        for document in done.stdout.decode().splitlines() if "audit" in command else [done.stdout]:
            assert json.loads(document)["schema"] == 1


def test_no_log_record_has_a_control_character(caplog: pytest.LogCaptureFixture, stack: Stack) -> None:
    run(stack, "audit")  # it installs the filter
    logging.getLogger("a.library").warning("a line of %s", HOSTILE)
    assert is_printed(caplog.records[-1].getMessage())


@pytest.mark.parametrize(("columns", "longest"), [(None, 80), ("40", 40)])
def test_piped_text_is_folded_at_80_columns_or_as_columns_says(
    columns: str | None, longest: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS")
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    out.print("word " * 50)
    remedy = f"read the log {'again ' * 4}and then: secretops rotate mqtt --now"
    err.print(str(SecretopsError("it is wrong " * 20, rule="it must not " * 20, remedy=remedy, code="a-code")))
    print_table(("a column", "another column", "the third column"), [("x" * 30, Styled("y" * 35, "red"), "z" * 39)])
    printed = capsys.readouterr()
    assert max(map(len, printed.err.splitlines())) <= longest
    assert "secretops rotate mqtt --now\n" in printed.err, "a command is not broken"
    lines = printed.out.splitlines()
    assert max(map(len, lines)) <= longest + 10, "the last cells are wider than a line"
    assert sum(line.count("word") for line in lines) == 50


def test_a_command_is_broken_only_if_it_is_wider_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    fits = f"secretops put agent-key --file {'x' * 10}"
    err.print(f"the value is missing: {fits}; secretops run requires the unmodified server of commit {'0b3cf' * 8}")
    first, *lines = capsys.readouterr().err.splitlines()
    assert (first, lines[0]) == ("the value is missing:", f"   {fits}; secretops run")
    assert max(map(len, lines)) <= 60


def test_folded_lines_keep_the_indent_of_their_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    problem = SecretopsError("it is wrong " * 5, rule="it must not " * 5, remedy="mend it " * 6, code="a-code")
    err.print(textwrap.indent(str(problem), "    ")[2:])
    lines = capsys.readouterr().err.splitlines()
    assert [len(line) - len(line.lstrip()) for line in lines] == [2, 4, 4, 4, 4, 7]


@pytest.mark.real
@pytest.mark.parametrize("command", [["status"], ["doctor"], ["audit", "--json"], ["--help"]], ids=" ".join)
def test_a_full_output_is_an_error_and_a_closed_one_is_none(command: list[str], stack: Stack) -> None:
    stack.put("agent-key", {"api-key": "of-this-test"})
    typed = [sys.executable, "-m", "secretops", "--manifest", str(stack.file), *command]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(typed, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "[output-incomplete]" in done.stderr
    assert "Traceback" not in done.stderr
    closed = ["sh", "-c", 'exec "$0" "$@" >&-', *typed]
    assert b"[output-incomplete]" in subprocess.run(closed, stderr=subprocess.PIPE, check=False).stderr
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(typed, stdout=writes, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writes)
    assert (done.returncode, done.stderr) == (141, "")


LONG = ("coreflux-mcp-production-emea-a", "coreflux-mcp-production-emea-b")


@pytest.mark.parametrize("users", [("user-a", "user-b"), LONG], ids=["short", "long"])
@pytest.mark.parametrize("command", [["status"], ["history", "mqtt"], ["audit"]], ids=" ".join)
def test_tables_fit_80_columns_with_each_name_whole(
    command: list[str], users: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = make_stack(tmp_path / "store", BROKER, users=users)
    session = stack.session()
    for user in users:
        id, now = new_token(stack.clock()), stack.clock()
        session.store.add(
            "mqtt",
            Version(id=id, stage=Stage.PENDING, created=now, user=user),
            Value({"username": user, "password": "x"}),
        )
        session.store.publish("mqtt", id, now)
        outcome = f"the broker refuses user {user}: {'no answer ' * 9}" if user == users[0] else "done"
        session.journal.write(Entry(time=now, secret="mqtt", version=id, step="verify", outcome=outcome))
    report = Replica(id="server", user=users[0], secret="mqtt", version=new_token(stack.clock()), since=stack.clock())
    monkeypatch.setattr(broker_access, "replicas", lambda *_, **__: (report,))
    actor = this_actor("operator")
    names = {"status": ["broker-admin", users[1]], "history": [*users, actor], "audit": ["mqtt", actor.split("@")[0]]}
    for columns in ("80", "300"):
        monkeypatch.setenv("COLUMNS", columns)
        printed = run(stack, *command).stdout.decode()
        assert max(map(len, printed.splitlines())) <= int(columns), printed
        assert [name for name in names[command[0]] if name not in printed] == []
        if command == ["status"]:
            assert re.fullmatch("secret .* servers", printed.splitlines()[1]), "a secret has one line"
    assert "…" not in printed, "a wide terminal has all"
