"""The files of an incident: their content and escaping, and which incident is resumed."""

import stat
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pytest

from secretops.engine.state import Stage, Version, Versions
from secretops.errors import (
    BusyError,
    ExitCode,
    LeaseHeldError,
    NotFoundError,
    SecretopsError,
    StoreError,
    UnreachableError,
    UsageError,
)
from secretops.manifest import Broker, BrokerKind, MqttProtocol, Secret, SecretKind
from secretops.operations.audit import Row
from secretops.operations.compromise import (
    Outcome,
    advice,
    compromise,
    containment,
    files_of,
    load,
    open_incident,
    recorder,
)
from secretops.operations.compromise.incident import ExposedVersion, Incident, Step, find_unfinished, page, save
from secretops.platforms.vault.location import VaultIssuer
from secretops.stores.payload import parse
from secretops.values import Value, new_password
from tests.real.ports import free_port
from tests.real.stack import Stack, make_stack
from tests.unit.test_cli import run

BEGAN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    broker = Broker(kind=BrokerKind.MOSQUITTO, host="localhost", port=free_port(), protocol=MqttProtocol.V5, tls=True)
    return make_stack(tmp_path / "store", broker)


def an_incident(**changes: object) -> Incident:
    incident = Incident(
        project="coreflux-mcp-secrets", stack="test", store="dotenv", secret="mqtt", kind="mqtt-user", began=BEGAN,
        since=BEGAN - timedelta(days=1), known=("one", "two"),
        exposed=(ExposedVersion(id="two", stage="current", user="a"),),
    )  # fmt: skip
    return incident.model_copy(update=changes)


def test_saved_incident_is_private_and_loads_unchanged(stack: Stack, tmp_path: Path) -> None:
    incident = an_incident().begin(Step.FREEZE, BEGAN).end(Step.FREEZE, BEGAN, "held", manual=("look",))
    save(incident, tmp_path)
    for path in files_of(incident, tmp_path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert find_unfinished(stack.manifest, stack.manifest.secret("mqtt"), tmp_path, datetime.now(UTC)) == incident


@pytest.mark.parametrize(
    "other",
    [{"ended": BEGAN}, {"began": BEGAN - timedelta(days=1)}, {"stack": "another"}, {"project": "another"},
     {"secret": "broker-admin"}],
    ids=["ended", "of another day", "of another stack", "of another project", "of another secret"],
)  # fmt: skip
def test_ended_old_or_foreign_incident_is_not_continued(stack: Stack, tmp_path: Path, other: dict[str, object]) -> None:
    save(an_incident(**other), tmp_path)
    assert find_unfinished(stack.manifest, stack.manifest.secret("mqtt"), tmp_path, datetime.now(UTC)) is None


@pytest.mark.parametrize("text", [b"", b"{}", b"\xff", b"[" * 100_000], ids=["empty", "half", "binary", "deep"])
def test_invalid_incident_file_is_reported_and_nothing_begins(stack: Stack, tmp_path: Path, text: bytes) -> None:
    (tmp_path / "incident-mqtt-20261126T064000Z.json").write_bytes(text)
    with pytest.raises(UsageError, match=r"Z\.json: .*\[incident-unreadable\]") as refused:
        find_unfinished(stack.manifest, stack.manifest.secret("mqtt"), tmp_path, datetime.now(UTC))
    assert "--to FOLDER" in refused.value.remedy


def test_incident_behind_a_planted_link_is_refused(stack: Stack, tmp_path: Path) -> None:
    save(an_incident(), tmp_path)
    path, _ = files_of(an_incident(), tmp_path)
    path.rename(tmp_path / "planted")
    path.symlink_to("planted")
    with pytest.raises(StoreError, match="path-is-symlink"):
        find_unfinished(stack.manifest, stack.manifest.secret("mqtt"), tmp_path, datetime.now(UTC))


@pytest.mark.parametrize("how", ["--dry-run", "--yes"])
@pytest.mark.parametrize(
    ("wrong", "code"),
    [(("--to", "nowhere"), "incident-folder-missing"), (("--trail", "nowhere"), "log-unreadable"),
     (("--file", "it=nowhere"), "file-option-invalid")],
)  # fmt: skip
def test_wrong_argument_is_reported_before_an_incident_begins(
    stack: Stack, tmp_path: Path, how: str, wrong: tuple[str, str], code: str
) -> None:
    stack.put("agent-key", {"api-key": new_password()})
    done = run(stack, "compromise", "agent-key", how, "--to", str(tmp_path), *wrong)
    assert f"[{code}]".encode() in done.stderr
    assert not [*tmp_path.glob("incident-*")]


def test_folder_of_another_account_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(StoreError, match=r"\[file-owner-mismatch\]"):
        recorder(tmp_path)


def test_failed_compromise_prints_its_steps_and_how_to_continue(stack: Stack, tmp_path: Path) -> None:
    (stack.root / "versions" / "mqtt").mkdir(mode=0o700)
    (stack.root / "versions" / "mqtt" / "state.json").touch()
    done = run(stack, "compromise", "mqtt", "--yes", "--to", str(tmp_path))
    assert f"secretops compromise mqtt --to {tmp_path} ".encode() in done.stderr
    assert Step.FREEZE.encode() in done.stdout
    again = run(stack, "compromise", "mqtt", "--yes", "--to", str(tmp_path))
    assert [each.stdout.count(b" UTC freeze: ") for each in (done, again)] == [1, 1]
    assert again.stderr.count(b"mqtt: replace") == 1


def test_compromised_value_itself_is_refused_as_the_new_value_before_a_change(stack: Stack, tmp_path: Path) -> None:
    stack.put("agent-key", {"api-key": (leaked := new_password())})
    before = stack.session().store.versions("agent-key")
    done = run(stack, "compromise", "agent-key", "--yes", "--to", str(tmp_path), supplied=leaked.encode())
    assert (done.returncode, b"[value-not-new]" in done.stderr) == (ExitCode.USAGE, True)
    assert stack.session().store.versions("agent-key") == before
    stack.put("agent-key", {"api-key": leaked})
    done = run(stack, "compromise", "agent-key", "--yes", "--to", str(tmp_path), supplied=leaked.encode())
    assert b"[value-not-" in done.stderr
    done = run(stack, "compromise", "agent-key", "--yes", "--to", str(tmp_path), supplied=new_password().encode())
    assert done.returncode == ExitCode.ATTENTION, done.stderr
    assert done.stderr.count(b"agent-key: replace\n") == 1


def test_another_command_gets_the_lease_while_servers_are_awaited(stack: Stack, tmp_path: Path) -> None:
    stack.put("agent-key", {"api-key": new_password()})
    free = list[bool]()

    def record(incident: Incident) -> None:
        if incident.attempts[-1].step in {Step.PROOF, Step.READERS}:
            with suppress(LeaseHeldError), stack.session().lease("another"):
                free.append(incident.attempts[-1].step is Step.READERS)

    session, new = stack.session(), Value({"api-key": new_password()})
    begun = open_incident(session, "agent-key", since=None, to=tmp_path)
    containment.contain(session, begun, supplied=new, record=record)
    assert free == [True, True]


def test_compromise_goes_on_when_the_stored_value_is_invalid(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.put("agent-key", {"api-key": new_password()})
    session = stack.session()
    begun = open_incident(session, "agent-key", since=None, to=tmp_path)
    monkeypatch.setattr(session.store, "read", lambda secret, version, **_: parse(secret, version, "[]"))
    outcome = compromise(session, begun, to=tmp_path, ask=lambda _: Value({"api-key": new_password()}))
    assert outcome.incident.ended


@pytest.mark.parametrize("error", [BusyError, NotFoundError])
def test_wait_for_servers_ends_only_if_this_task_can_never_read_the_newest_version(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, error: type[SecretopsError]
) -> None:
    session, incident = stack.session(), an_incident().model_copy(update={"servers": 1})
    newest = Version(id="newer", stage=Stage.CURRENT, created=BEGAN, user="a")
    monkeypatch.setattr(session.store, "versions", lambda _: Versions((newest,)))
    read = mock.Mock(side_effect=error("newer than this task", code="x"))
    monkeypatch.setattr(session.store, "read", read)
    waits = mock.Mock(side_effect=KeyboardInterrupt)
    awaiting = containment._Containment(session, session.secret("mqtt"), incident, None, mock.Mock(), waits, [])
    with pytest.raises(error if error is BusyError else KeyboardInterrupt):
        awaiting._await_readers()
    assert read.call_count == 1


@pytest.mark.parametrize("how", ["finished", "unfinished", "interrupted"])
def test_second_run_continues_the_incident_and_ends_the_first(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    stack.put("agent-key", {"api-key": new_password()})
    session, outcomes = stack.session(), list[Outcome]()

    def second(_: object) -> str:
        monkeypatch.undo()
        continued = open_incident(session, "agent-key", since=None, to=tmp_path)
        if how == "unfinished":
            save(continued.begin(Step.FREEZE, datetime.now(UTC)), tmp_path)
            return ""
        outcomes.append(compromise(session, continued, to=tmp_path))
        if how == "interrupted":
            raise KeyboardInterrupt
        return ""

    monkeypatch.setattr(containment._Containment, "_await_readers", second)
    command, value = ("compromise", "agent-key", "--yes", "--to", str(tmp_path)), new_password().encode()
    done = run(stack, *command, "--trail", str(stack.file), supplied=value)
    assert done.stdout == b""
    words = " ".join(done.stderr.decode().split())
    continues = (f"--trail {stack.file} continues it", "secretops compromise agent-key")
    assert [each in words for each in continues] == [how == "unfinished"] * 2
    if how != "interrupted":
        assert done.returncode == ExitCode.BUSY
        assert str(next(tmp_path.glob("*.md"))) in words.partition("[incident-continued]")[2]
    assert [load(path) for path in tmp_path.glob("*.json")][: len(outcomes)] == [each.incident for each in outcomes]


@pytest.mark.parametrize(("made", "servers"), [((), 0), (("another",), None)])
def test_servers_are_counted_only_before_the_first_replacement(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: tuple[str, ...], servers: int | None
) -> None:
    monkeypatch.setattr(containment, "replicas", lambda *_: ())
    stack.put("agent-key", {"api-key": new_password()})
    begun = open_incident(stack.session(), "agent-key", since=None, to=tmp_path).begin(Step.REPLACE, BEGAN)
    begun = begun.model_copy(update={"made": made})
    new = Value({"api-key": new_password()})
    assert containment.contain(stack.session(), begun, supplied=new, record=lambda _: None).servers == servers


def test_continued_incident_takes_another_start_for_the_trail(stack: Stack, tmp_path: Path) -> None:
    save(an_incident().begin(Step.FREEZE, BEGAN), tmp_path)
    preview = ("compromise", "mqtt", "--dry-run", "--to", str(tmp_path))
    assert b"continued, done: nothing" in run(stack, *preview).stdout
    save(an_incident(done=(Step.FREEZE, Step.REPLACE, Step.BOTH_SLOTS)).begin(Step.PROOF, BEGAN), tmp_path)
    lines = [line.partition(b": ")[0] for line in run(stack, *preview).stdout.splitlines()]
    assert [line.decode() for line in lines if line.decode() in {*Step}] == ["freeze", "proof", "readers", "trail"]
    assert open_incident(stack.session(), "mqtt", since=None, to=tmp_path).since == BEGAN - timedelta(days=1)
    assert open_incident(stack.session(), "mqtt", since=BEGAN, to=tmp_path).since == BEGAN


def test_readers_name_injects_no_markdown_or_html_into_the_page() -> None:
    name = "x|y\n## Nothing is left to do\n<script>`[a](b)\x1b[2J *b* _i_ &lt; !() https://there"
    read = Row(
        reader=name, secret="mqtt", operation="get", outcome="got value", allowed=True, value_returned=True,
        changed=False, declared=False, count=1, first=BEGAN, last=BEGAN, sources=[name],
    )  # fmt: skip
    incident = an_incident(reads=(read,), manual={Step.TRAIL: (f"find out who {name} is",)})
    text = page(incident)
    assert "\n## Nothing" not in text
    assert "\x1b" not in text
    for special in "|<[`*_#&!":
        assert f"\\{special}" in text
    assert "https://" not in text
    assert "<script>" not in text.replace("\\<script\\>", "")
    (row,) = [line for line in text.splitlines() if line.startswith("| NO |")]
    assert row.replace("\\|", "").count("|") == 10


def a_secret(kind: SecretKind, **more: object) -> Secret:
    users = ("a", "b") if kind.alternates else ()
    secret = Secret(name="it", kind=kind, fields=("client.crt",), readers=(), cadence_days=1, users=users)
    return secret.model_copy(update=more)


@pytest.mark.parametrize(
    ("secret", "step"),
    [(a_secret(SecretKind.X509), "revoke certificate serial 1f"),
     (a_secret(SecretKind.X509, issuer=VaultIssuer(mount="pki", role="r", common_name="c", seconds=1)),
      "vault write pki/revoke serial_number=…, then vault read pki/crl/rotate"),
     (a_secret(SecretKind.CA), "secretops compromise client-cert"),
     (a_secret(SecretKind.AGENT_KEY), "revoke the old it"),
     (a_secret(SecretKind.SUPPLIED, name="http-token", fields=("token",)), "restart each server"),
     (a_secret(SecretKind.MQTT_USER), "your user mine: this incident gives it a random password")],
    ids=lambda it: it.name if isinstance(it, Secret) else it,
)  # fmt: skip
def test_manual_steps_name_where_to_do_them(secret: Secret, step: str) -> None:
    incident = an_incident(exposed=(ExposedVersion(id="two", stage="current", serial="1f", user="mine"),))
    assert any(step in text for text in advice.manual_steps(secret, incident))


@pytest.mark.parametrize(("fails", "result"), [((True, False, True), "refuses"), ((True, False, False), "accepts")])
def test_old_certificate_counts_as_refused_only_if_it_fails_twice(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, fails: tuple[bool, ...], result: str
) -> None:
    left = list(fails)

    def prove(*_: object) -> None:
        if left.pop(0):
            raise UnreachableError("no route", code="test")

    monkeypatch.setattr(advice, "prove", prove)
    monkeypatch.setattr(advice, "requires_certificate", lambda _: True)
    stack.put("agent-key", {"api-key": new_password()})
    secret = a_secret(SecretKind.X509, name="agent-key")
    text, is_known = advice.try_value(stack.session(), secret, "old", Value({}), sleep=lambda _: None)
    assert (text.split()[2], is_known, left) == (result, True, [])


def test_a_private_key_of_a_ca_is_not_read_to_be_tried() -> None:
    assert [kind for kind in SecretKind if advice.is_testable(a_secret(kind))] == ["mqtt-user", "broker-admin", "x509"]


def test_failed_proof_repeats_every_step_with_the_new_versions_known() -> None:
    failed = an_incident(done=(Step.FREEZE, Step.REPLACE, Step.BOTH_SLOTS)).with_known("two", "three")
    assert failed.known == ("one", "two", "three")
    assert failed.done == ()
