"""The command line: exit codes, JSON, errors without a traceback.

Most tests call `cli.main` in this process, with standard streams of their own; a few start a process.
"""

import io
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
import typer
from typer.core import TyperGroup

from secretops import cli
from secretops.cli import console, values
from secretops.engine.state import Stage, Version
from secretops.manifest import Broker, BrokerKind, ExternalAgent, MqttProtocol, Reader, Secret, SecretKind
from secretops.values import Value
from tests.real.embedded import Embedded
from tests.real.ports import free_port
from tests.real.stack import DEADLINE, Stack, make_stack


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    broker = Broker(kind=BrokerKind.MOSQUITTO, host="localhost", port=free_port(), protocol=MqttProtocol.V5, tls=True)
    return make_stack(tmp_path / "store", broker)


def run(
    stack: Stack, *arguments: str, supplied: bytes = b"", manifest: bool = True
) -> subprocess.CompletedProcess[bytes]:
    """Run the command line in this process, with the stack's manifest unless `manifest` is false."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", ["secretops", *arguments, *(("--manifest", str(stack.file)) * manifest)])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(supplied), encoding="utf-8"))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        cli.main()
    texts = [stream.buffer.getvalue() for stream in (out, err)]
    return subprocess.CompletedProcess(arguments, cast(int, end.value.code), *texts)


def process(stack: Stack, *arguments: str, supplied: bytes = b"", **environ: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        stack.command(*arguments), input=supplied, capture_output=True, timeout=DEADLINE, check=False,
        env={**os.environ, **environ},
    )  # fmt: skip


def refused(done: subprocess.CompletedProcess[bytes], code: int, *words: str) -> None:
    """Check the exit code, that standard error has `words` and no traceback, and that standard output has at most a
    JSON error."""
    text = done.stderr.decode()
    assert done.returncode == code, text
    assert "Traceback" not in text
    if "--json" in done.args:
        error = json.loads(done.stdout)["error"]
        assert error["exit_code"] == code and error["what"] in text
    else:
        assert not done.stdout
    for word in words:
        assert word in text, text


PLACEHOLDER = "canary-of-this-test-only"


@pytest.mark.real
@pytest.mark.parametrize(("typed", "message"), [([], ""), (["--now", "rotate"], "options follow the command")])
def test_unknown_command_prints_help_and_never_an_empty_error(typed: list[str], message: str) -> None:
    done = subprocess.run([sys.executable, "-m", "secretops", *typed], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert bool(done.stderr) is bool(message)


@pytest.mark.parametrize("group", [(), ("broker",), ("export",)], ids=str)
def test_help_prints_each_summary_whole_at_80_columns(group: tuple[str, ...]) -> None:
    command = typer.main.get_command(cli.app)
    for name in group:
        command = cast(TyperGroup, command).commands[name]
    text = command.get_help(command.context_class(command, terminal_width=80))
    assert "..." not in text.partition("Commands:")[2]


@pytest.mark.parametrize(("arguments", "supplied", "code", "words"), [
    pytest.param(["rotate", "--force", "x"], b"", 2, ["--force", "-> secretops rotate --help\n"], id="help of it"),
    pytest.param(["rotate", "nothing"], b"", 2, ["[secret-unknown]", "agent-key"], id="an unknown secret"),
    pytest.param(["rotate", "mqt"], b"", 2, ["did you mean mqtt?"], id="a misspelled secret"),
    pytest.param(["rotate", "MQTT"], b"", 2, ["did you mean mqtt?", "it is exposed"], id="a secret in capitals"),
    pytest.param(["audit", "--secret", "MQTT"], b"", 2, ["did you mean mqtt?"], id="a misspelled secret of the trail"),
    pytest.param(["history"], b"", 2, ["secretops status", "secretops history --help"], id="no secret"),
    pytest.param(["rotat", "mqtt"], b"", 2, ["did you mean rotate?"], id="a misspelled command"),
    pytest.param(["rivet", "mqtt"], b"", 2, ["-> secretops --help\n"], id="a command like no other"),
    pytest.param(["report"], b"", 2, ["[report-target-missing]", "report.html"], id="a report without a place"),
    pytest.param(["rotate", "agent-key"], b"", 2, ["[secret-not-made]", "put agent-key"], id="a supplied kind"),
    pytest.param(["put", "agent-key"], b"", 2, ["[standard-input-empty]", "-> "], id="put of nothing"),
    pytest.param(["put", "agent-key", "--untested"], b" \n", 2, ["[standard-input-empty]"], id="a blank key"),
    pytest.param(["put", "agent-key"], b"x" * 8001, 2, ["api-key: 8001 bytes", "8000"], id="a long key"),
    pytest.param(["put", "mqtt"], b'{"username": "u"}', 2, ["no password"], id="put without a field"),
    pytest.param(["put", "agent-key"], b"a\0b", 2, ["NUL", "base64"], id="a NUL in a value"),
    pytest.param(["put", "agent-key"], b"\xff\xfe\xfd", 2, ["UTF-8"], id="a value that is not UTF-8"),
    pytest.param(["put", "agent-key", "--file", "api-key=/nowhere/at/all"], b"", 2, ["api-key: No such"],
                 id="no such file"),
    pytest.param(["put", "client-cert"], b'{"ca.crt": "a", "client.crt": "b", "client.key": "c"}', 2,
                 ["no certificate", "PEM"], id="a certificate that is none"),
    pytest.param(["rotate", "mqtt"], b"", 5, ["secretops put broker-admin"], id="rotate before the first admin"),
])  # fmt: skip
def test_a_mistake_ends_with_its_code_its_rule_and_its_remedy(
    stack: Stack, arguments: list[str], supplied: bytes, code: int, words: list[str]
) -> None:
    done = run(stack, *arguments, supplied=supplied)
    refused(done, code, *words)


def test_a_value_as_an_argument_is_refused_and_not_repeated(stack: Stack) -> None:
    done = run(stack, "put", "agent-key", PLACEHOLDER)
    refused(done, 2, "standard input")
    assert PLACEHOLDER not in done.stderr.decode()
    done = run(stack, "put", "agent-key", "--api-key", PLACEHOLDER)
    refused(done, 2)
    assert PLACEHOLDER not in done.stderr.decode()


@pytest.mark.parametrize("text", [b"\x00\xff", b'{"project": "p"}', b"[" * 100_000], ids=["binary", "half", "deep"])
def test_a_garbage_manifest_is_refused(tmp_path: Path, stack: Stack, text: bytes) -> None:
    stack.file.write_bytes(text)
    for command in (["status"], ["tick", "--json"]):
        refused(run(stack, *command), 2, str(stack.file), "pulumi up")


def test_broker_stop_with_a_missing_manifest_leaves_the_projects_own_broker_alone(stack: Stack) -> None:
    """The current folder is a project. Without --manifest, the command would stop that project's default broker."""
    stack.file.unlink()
    refused(run(stack, "broker", "stop"), 2, str(stack.file), "[manifest-unreadable]")


@pytest.mark.parametrize("line", [{"LD_PRELOAD": "x"}, {"MQTT_BROKER\nX": "x"}, {"MQTT_BROKER": "x\0"}], ids=str)
def test_manifest_with_a_line_that_no_program_writes_is_refused(stack: Stack, line: dict[str, str]) -> None:
    document = json.loads(stack.manifest.model_dump_json())
    document["store"]["lines"] = line
    stack.file.write_text(json.dumps(document))
    refused(run(stack, "doctor", "--repair", "--yes"), 2, str(stack.file), "pulumi up")


def test_put_of_the_admin_fails_and_stores_nothing_when_the_broker_is_down(stack: Stack) -> None:
    done = run(stack, "put", "broker-admin", supplied=b'{"username": "boss", "password": "canary-pass"}')
    refused(done, 1, "cannot connect", "start the broker")
    assert stack.session().store.versions("broker-admin").all == ()
    assert "canary-pass" not in done.stderr.decode()


@pytest.mark.real
def test_every_command_prints_valid_json(stack: Stack) -> None:
    done = run(stack, "put", "agent-key", "--json", supplied=b"key-of-an-agent\n")
    assert done.returncode == 0, done.stderr
    version = json.loads(done.stdout)
    assert version["stage"] == "current" and version["published"]
    for arguments, code in (
        *((["broker", "start", "--json"], 0), (["broker", "stop", "--json"], 0), (["status", "--json"], 0)),
        *((["tick", "--json"], 5), (["purge", "--json"], 0), (["purge", "--destroy", "--yes", "--json"], 0)),
        (["status", "--json"], 0),  # the values are gone, as expected
    ):
        done = run(stack, *arguments)
        assert done.returncode == code, done.stderr
        assert json.loads(done.stdout) is not None
        assert "Traceback" not in done.stderr.decode()


def test_a_secret_that_needs_a_person_ends_status_with_attention(stack: Stack) -> None:
    stack.clock.skip(-400 * 86400)
    stack.put("agent-key", {"api-key": "of-last-year"})
    done = run(stack, "status")
    assert done.returncode == 3, done.stdout
    assert b"secretops put agent-key" in done.stdout
    assert run(stack, "status", "--json").returncode == 3


def test_status_shows_the_other_secrets_when_one_does_not_read(stack: Stack) -> None:
    stack.put("agent-key", {"api-key": "still-wanted"})
    state = stack.root / "versions" / "agent-key" / "state.json"
    journal = stack.root / "log" / "rotation.jsonl"
    journal.unlink()
    journal.mkdir()
    (value,) = state.parent.glob("2*.json")
    for broken, standing in ((value, "attention"), (state, "unreadable")):
        broken.write_text("garbage")
        done = run(stack, "status")
        assert done.returncode == 3 and b"secretops purge agent-key --destroy" in done.stdout, done.stderr
        rows = {one["name"]: one for one in json.loads(run(stack, "status", "--json").stdout)["secrets"]}
        assert (rows["agent-key"]["status"], rows["mqtt"]["current"]) == (standing, None)
        assert bool(rows["agent-key"]["current"]) is (broken is value)
        assert run(stack, "report", "--skip-doctor", "--json").returncode == 3
    for each in stack.manifest.secrets:
        (stack.root / "versions" / each.name).mkdir(exist_ok=True)
        (stack.root / "versions" / each.name / "state.json").write_text("garbage")
    refused(run(stack, "status"), 1, "dotenv-file-invalid")
    assert run(stack, "purge", "agent-key", "--destroy", "--yes").returncode == 0
    assert not state.parent.exists() and "still-wanted" not in stack.env.read_text()


def test_tick_names_a_secret_once_and_status_the_next_command(stack: Stack) -> None:
    stack.put("agent-key", {"api-key": "a-key"})
    stack.env.write_text(stack.env.read_text().replace("a-key", "edited"))
    assert b"remove the line DO_AGENT_API_KEY=; then: secretops tick\n" in run(stack, "status").stdout
    (value,) = (stack.root / "versions" / "agent-key").glob("2*.json")
    value.unlink()
    assert b"\nagent-key: the store has no value" in run(stack, "tick").stderr


def test_command_exits_busy_and_names_the_holder_when_the_lease_is_taken(stack: Stack) -> None:
    with stack.session().lease("rotate mqtt"):
        for command in (["tick"], ["rotate", "mqtt"], ["put", "agent-key"], ["purge"]):
            refused(run(stack, *command, supplied=b"some-key"), 4, f"secretops rotate mqtt (pid {os.getpid()} on")
    assert run(stack, "purge").returncode == 0


def test_a_stack_without_its_first_admin_waits_and_is_not_a_failure(stack: Stack) -> None:
    done = run(stack, "tick")
    assert done.returncode == 5
    assert b"secretops put broker-admin" in done.stderr
    assert b"agent-key: has no value yet: secretops put agent-key" in done.stdout, "and not that there is nothing to do"
    done = run(stack, "status", "--json")
    assert {one["name"]: one["status"] for one in json.loads(done.stdout)["secrets"]} == dict.fromkeys(
        ("broker-admin", "mqtt", "agent-key", "client-cert"), "waiting"
    )
    assert done.returncode == 0
    assert stack.session().store.versions("mqtt").all == ()


def test_scheduled_tick_reports_pending_work_and_exits_0(stack: Stack) -> None:
    plain, scheduled = (run(stack, "tick", *more) for more in ([], ["--scheduled"]))
    assert (plain.returncode, scheduled.returncode) == (5, 0)
    assert (plain.stdout, plain.stderr) == (scheduled.stdout, scheduled.stderr)
    with stack.session().lease("rotate mqtt"):
        plain, scheduled = (run(stack, "tick", "--json", *more) for more in ([], ["--scheduled"]))
    assert (plain.returncode, scheduled.returncode) == (4, 0)
    assert plain.stderr == scheduled.stderr != b""
    assert json.loads(scheduled.stdout)["error"]["what"] == json.loads(plain.stdout)["error"]["what"]


def test_a_scheduled_tick_that_fails_or_is_called_wrong_ends_as_any_other(stack: Stack, tmp_path: Path) -> None:
    stack.put("agent-key", {"api-key": "of-today"})
    stack.env.write_text(stack.env.read_text().replace("of-today", "by-hand"))
    assert run(stack, "tick", "--scheduled").returncode == 1, "although broker-admin is awaited, too"
    stack.file.write_text("{}")
    assert run(stack, "tick", "--scheduled").returncode == 2
    stack.manifest_file = tmp_path / "none"
    assert run(stack, "tick", "--scheduled").returncode == 2


def test_secret_that_left_the_stack_is_reported_until_it_is_purged(stack: Stack) -> None:
    stack.put("agent-key", {"api-key": "still-wanted"})
    session = stack.session()
    value = Value(dict.fromkeys(("ca.crt", "client.crt", "client.key"), "of-before"))
    session.store.add("client-cert", Version(id="v1", stage=Stage.PENDING, created=session.clock()), value)
    session.store.publish("client-cert", "v1", session.clock())
    assert (stack.root / "certs" / "client.key").exists()
    assert run(stack, "status").returncode == 0
    secrets = tuple(secret for secret in stack.manifest.secrets if secret.name != "client-cert")
    stack.file.write_text(stack.manifest.model_copy(update={"secrets": secrets}).model_dump_json())
    done = run(stack, "status")
    assert done.returncode == 3
    assert b"client-cert: not in the stack" in done.stdout
    assert b"secretops purge client-cert --destroy" in done.stdout
    message = {one["name"]: one for one in json.loads(run(stack, "status", "--json").stdout)["secrets"]}
    assert message["client-cert"]["status"] == "attention"
    done = run(stack, "purge", "client-cert")
    assert b"client-cert" in done.stdout and b"agent-key" not in done.stdout
    assert run(stack, "status").returncode == 3, "a dry run takes nothing"
    assert run(stack, "purge", "client-cert", "--destroy", "--yes").returncode == 0
    assert not (stack.root / "certs" / "client.key").exists()
    assert run(stack, "status").returncode == 0
    assert "still-wanted" in stack.env.read_text()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["put", "agent-key=Pasted-8Value"], "[secret-unknown]"),
        (["put", "agent-key", "Pasted8Value"], "replace that value"),
        (["compromise", "agent-key", "Pasted8Value"], "-> secretops compromise --help"),
        (["purge", "Pasted8Value"], "the argument: no stored values"),
    ],
    ids=["a pair", "put", "compromise", "purge"],
)
def test_possible_value_in_arguments_is_not_repeated(typed: list[str], message: str, stack: Stack) -> None:
    done = run(stack, *typed, supplied=b"x")
    refused(done, 2, message)
    assert b"8Value" not in done.stdout + done.stderr


def test_first_admin_of_the_embedded_broker_needs_no_operator(stack: Stack) -> None:
    embedded = Embedded(stack.root / "broker", free_port(), Value({})).broker()
    stack.file.write_text(stack.manifest.model_copy(update={"broker": embedded}).model_dump_json())
    assert b"broker-admin: has no value yet: secretops broker start" in run(stack, "status").stdout
    refused(run(stack, "rotate", "mqtt"), 5, "[broker-admin-missing]", "-> secretops broker start")


def test_a_purge_that_nobody_confirms_removes_nothing(stack: Stack) -> None:
    stack.put("agent-key", {"api-key": "still-wanted"})
    for name in ([], ["agent-key"]):
        refused(run(stack, "purge", *name, "--destroy"), 2, "[confirmation-missing]", "--yes")
    assert stack.session().store.secret_names() == ("agent-key",)
    assert run(stack, "purge", "--destroy", "--yes").returncode == 0
    assert stack.session().store.secret_names() == ()


@pytest.mark.real
@pytest.mark.parametrize(("typed", "code"), [("prod", 2), ("test", 0)])
def test_purge_on_a_terminal_requires_the_stack_name(typed: str, code: int, stack: Stack) -> None:
    stack.put("agent-key", {"api-key": "still-wanted"})
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        stack.command("purge", "--destroy"), stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as prompt:
        os.write(ours, f"{typed}\n".encode())
        _, message = prompt.communicate(timeout=DEADLINE)
    os.close(ours)
    os.close(theirs)
    assert prompt.returncode == code, message
    assert b"every value of agent-key in stack test" in message
    assert stack.session().store.secret_names() == (("agent-key",) if code else ())


@pytest.mark.parametrize("command", [["status"], ["put", "agent-key"], ["broker", "start"]], ids=" ".join)
def test_another_stacks_folder_is_neither_shown_nor_changed(command: list[str], stack: Stack, tmp_path: Path) -> None:
    stack.put("agent-key", {"api-key": "of-theirs"})
    theirs = stack.manifest.model_copy(update={"stack": "theirs"})
    stack.manifest_file = tmp_path / "ours.json"
    stack.file.write_text(stack.manifest.model_dump_json())
    (stack.root / "config" / "secretops.json").write_text(theirs.model_dump_json())
    before = {path: path.read_bytes() for path in stack.root.rglob("*") if path.is_file()}
    name = stack.manifest.stack
    refused(
        run(stack, *command, supplied=b"of-ours"),
        2,
        f"is the store of stack theirs, and this is stack {name}",
        "[store-of-another-stack]",
        f"root: .coreflux-mcp-{name}",
    )
    assert {path: path.read_bytes() for path in stack.root.rglob("*") if path.is_file()} == before


def test_the_embedded_brokers_admin_is_not_purged_alone(stack: Stack) -> None:
    session = stack.session()
    version = Version(id="v1", stage=Stage.PENDING, created=session.clock(), user="root")
    session.store.add("broker-admin", version, Value({"username": "root", "password": "p" * 12}))
    broker = Embedded(stack.root / "broker", free_port(), Value({})).broker()
    stack.file.write_text(stack.manifest.model_copy(update={"broker": broker}).model_dump_json())
    refused(run(stack, "purge", "broker-admin", "--destroy"), 2, "[purge-embedded-admin]")
    assert session.store.secret_names() == ("broker-admin",)


def test_value_is_stored_exactly_without_one_final_newline(stack: Stack, tmp_path: Path) -> None:
    text = "'\"$HOME${HOME}#\\n"
    (tmp_path / "value").write_bytes(f"{text}\n".encode())
    assert run(stack, "put", "agent-key", "--file", f"api-key={tmp_path / 'value'}").returncode == 0
    assert stored(stack) == text
    assert run(stack, "put", "agent-key", supplied=f"{text}\n".encode()).returncode == 0
    assert stored(stack) == text
    assert run(stack, "put", "agent-key", supplied=json.dumps({"api-key": text}).encode()).returncode == 0
    assert stored(stack) == text


def stored(stack: Stack) -> str:
    store = stack.session().store
    current = store.versions("agent-key").current
    assert current
    return store.read("agent-key", current.id, purpose="test")["api-key"]


def test_access_records_name_the_account_not_the_environment(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("USER", "LOGNAME"):
        monkeypatch.setenv(variable, "mallory")
    assert run(stack, "put", "agent-key", supplied=b"some-key").returncode == 0
    assert "mallory" not in (stack.root / "log" / "access.jsonl").read_text()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [(["--json", "status"], '"schema": 1'), (["status", "--json"], '"schema": 1'),
     (["-s", "test", "run", "--from", "env:"], "secretops run --help"),
     (["--json", "export", "compose", "--to", "nowhere"], "secretops export compose --help")],
    ids=["before", "after", "an option that it lacks", "of a group"],
)  # fmt: skip
def test_common_options_may_precede_the_command(
    typed: list[str], expected: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRETOPS_MANIFEST", "/nowhere")
    done = run(stack, "--manifest", str(stack.file), *typed, manifest=False)
    assert expected in done.stdout.decode() + done.stderr.decode()


def test_an_option_after_the_command_wins_over_one_before_it(stack: Stack) -> None:
    assert run(stack, "--manifest", "/nowhere", "status").returncode == 0
    typed = ["--stack", "a", "export", "compose", "--to", "x", "--stack", "b"]
    refused(run(stack, *typed, manifest=False), 2, "Pulumi.b.yaml")
    refused(run(stack, "purge", "agent-key", "--stack", ""), 2, "empty name")
    for other in ("prod", "org/coreflux-mcp-secrets/prod", "org/project/test"):
        done = run(stack, "purge", "agent-key", "--stack", other)
        refused(done, 2, "manifest of stack coreflux-mcp-secrets/test [manifest-of-another-stack]")
    for own in ("test", "org/test", "org/coreflux-mcp-secrets/test"):
        assert run(stack, "purge", "--stack", own).returncode == 0


@pytest.mark.parametrize("typed", [["--version"], ["-h"], ["rotate", "-h"], ["broker", "start", "-h"]], ids=" ".join)
def test_version_and_short_help_end_with_0(typed: list[str], stack: Stack) -> None:
    done = run(stack, *typed, manifest=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"secretops" in done.stdout


@pytest.mark.parametrize(
    ("words", "offered"), [("st", "status"), ("--stack dev rotate --no", "--now"), ("broker st", "stop")]
)
def test_a_shell_completes_commands_and_options(
    words: str, offered: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_SECRETOPS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"secretops {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
    assert offered in run(stack, manifest=False).stdout.decode().splitlines()


@pytest.mark.real
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_with_128_and_its_number(number: signal.Signals, stack: Stack) -> None:
    waiting = subprocess.Popen(
        stack.command("put", "agent-key"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert waiting.stdin
    fills_up = b"x" * (1 << 20)  # larger than a pipe's buffer: once it is written, the command waits for the rest
    waiting.stdin.write(fills_up)
    waiting.stdin.flush()
    waiting.send_signal(number)
    text = waiting.communicate(timeout=DEADLINE)[1]
    assert (waiting.returncode, text) == (128 + number, b"interrupted; nothing was changed\n")


MODEL = """
from pydantic import BaseModel, field_serializer

class Noted(BaseModel):
    step: str = "proof"

    @field_serializer("step")
    def shown(self, step: str) -> str:
        signal.raise_signal(signal.SIGINT)
        return step

def work():
    print(Noted().model_dump_json())
"""
MODULE = """
def work():
    import importlib.util
    spec = importlib.util.spec_from_loader("noted", loader=None)
    spec.loader = Loader()
    importlib._bootstrap._load(spec)

class Loader:
    def create_module(self, spec):
        return None

    def exec_module(self, module):
        signal.raise_signal(signal.SIGINT)
        print('{"step":"proof"}')
"""
CHANGED = """
def work():
    from secretops.errors import unexpected
    print('{"step":"proof"}')
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        unexpected("mqtt", TypeError("expected a message argument"))
"""


@pytest.mark.parametrize("where", [MODEL, MODULE, CHANGED], ids=["pydantic", "import", "another error"])
def test_a_signal_that_compiled_code_would_lose_ends_the_command(where: str) -> None:
    program = f"""
import signal, sys, time
from secretops import signals
{where}
signals.install()
signals.begin()
try:
    work()
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(signals.end(0))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, '{"step":"proof"}\n', "")


@pytest.mark.parametrize("untested", [False, True])
def test_a_prompt_has_a_short_line_and_says_before_it_that_the_key_is_tested(
    untested: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = Secret(
        name="agent-key", kind=SecretKind.AGENT_KEY, fields=("api-key",), readers=(Reader.SERVER,), cadence_days=90,
        agent=ExternalAgent(),
    )  # fmt: skip
    prompts: list[str] = []
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)

    def ask(question: str, *, hidden: bool) -> str:
        prompts.append(question)
        return "x" if hidden else ""

    monkeypatch.setattr(console, "ask", ask)
    values.supplied(key, [], untested=untested)
    assert prompts == ["api-key"]
    assert ("api-key: tested at" in capsys.readouterr().err) is not untested


def test_a_token_that_the_launcher_would_refuse_is_not_published(tmp_path: Path, stack: Stack) -> None:
    own = Secret(
        name="http-token", kind=SecretKind.SUPPLIED, fields=("token",), readers=(Reader.SERVER,), cadence_days=90
    )
    guarded = Stack(
        stack.manifest.model_copy(update={"secrets": (*stack.manifest.secrets, own)}),
        manifest_file=tmp_path / "guarded.json",
    )
    guarded.file.write_text(guarded.manifest.model_dump_json())
    refused(
        run(guarded, "put", "http-token", supplied=b"has a space and is long enough for it"), 2, "openssl rand -hex 32"
    )
    assert guarded.session().store.versions("http-token").all == ()
