"""`secretops compromise` as an operator types it, on each available store, over a real broker.

Independent logins check whether the old credential still works.
"""

import functools
import json
import os
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from secretops.errors import ExitCode, SecretopsError, WaitingError
from secretops.operations.compromise import compromise, containment, open_incident, recorder
from secretops.operations.compromise.advice import try_value
from secretops.operations.compromise.incident import Incident, Step
from secretops.operations.rotators import rotation
from secretops.targets import open_target
from secretops.targets.digitalocean import API_VARIABLE
from secretops.targets.reports import report_text, report_topic
from secretops.values import Value, new_password
from tests.real import own_ca
from tests.real.accidents import LOSSES, SPOILS, each_broken
from tests.real.agent_stack import owned_stack
from tests.real.digitalocean import DigitalOcean, digitalocean
from tests.real.embedded import Embedded, start_embedded
from tests.real.mosquitto import Mosquitto, installed_mosquitto, record_replacement
from tests.real.own_ca import AUTHORITY, CERTIFICATE, Certified, make_certified, trusting_broker
from tests.real.stack import DEADLINE, MqttSession, Stack, make_stack

pytestmark = pytest.mark.real

STEPS = ("freeze", "replace", "both slots", "proof", "readers", "trail")


@dataclass(frozen=True)
class Drill:
    stack: Stack
    folder: Path

    def compromise(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return self.stack.run("compromise", *arguments, "--to", str(self.folder), stdin=stdin)

    def incident(self) -> dict[str, Any]:
        (path,) = self.folder.glob("incident-*.json")
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def page(self) -> str:
        (path,) = self.folder.glob("incident-*.md")
        return path.read_text()

    def is_gone_through_with(self) -> float:
        """Run the command on mqtt while an attacker has two valid values and a session with each. Return the seconds
        from the start of the command until the newer value is refused."""
        stack = self.stack
        stack.rotate()
        before = stack.credential()
        stack.rotate()
        old = stack.credential()
        with ExitStack() as opened:
            sessions = [opened.enter_context(MqttSession(stack.manifest.broker, each)) for each in (before, old)]
            assert [each.outcome for each in sessions] == ["Success", "Success"]
            began = time.monotonic()
            command = stack.command("compromise", "mqtt", "--yes", "--to", str(self.folder))
            pipe = subprocess.PIPE
            with subprocess.Popen(
                command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **stack.environment}
            ) as it:
                while stack.log_in(old) == "Success":
                    assert time.monotonic() - began < DEADLINE
                refused = time.monotonic() - began
                out, err = it.communicate(timeout=DEADLINE)
            for session in sessions:
                assert session.ended.wait(DEADLINE)
        incident = self.incident()
        assert it.returncode == (ExitCode.ATTENTION if incident["manual"] else ExitCode.DONE), out + err
        assert set(incident["manual"]) <= {"trail"}, "only a trail that can't be queried may be left"
        assert incident["ended"]
        assert tuple(each["step"] for each in incident["attempts"]) == STEPS
        for each in (before, old):
            assert stack.log_in(each) != "Success"
            assert each["password"] not in out + err + json.dumps(incident) + self.page()
        assert stack.log_in(stack.credential()) == "Success"
        assert {before["username"], old["username"]} == set(stack.manifest.secret("mqtt").users)
        versions = stack.session().store.versions("mqtt")
        assert versions.current
        assert versions.previous
        assert not {versions.current.id, versions.previous.id} & set(incident["known"])
        assert {stat.S_IMODE(path.stat().st_mode) for path in self.folder.glob("incident-*")} == {0o600}
        assert [one.error for one in stack.tick() if one.error] == []
        return refused


def drill(stack: Stack, folder: Path) -> Drill:
    incidents = folder / "incidents"
    incidents.mkdir()
    return Drill(stack, incidents)


IN_CLOUDS = [pytest.param(store, marks=pytest.mark.slow) for store in ("kubernetes", "aws", "azure", "vault")]


@pytest.fixture(params=["dotenv", *IN_CLOUDS])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Drill:
    from tests.gates.conftest import aws_stack, azure_stack, openbao_stack

    if installed_mosquitto() or request.param != "dotenv":
        started: Mosquitto | Embedded = request.getfixturevalue("mosquitto")
    else:
        record_replacement(request)
        started = request.getfixturevalue("embedded_broker")
    broker = started.broker()
    match request.param:
        case "kubernetes":
            from tests.real.cluster_stack import make_cluster_stack

            stack: Stack = make_cluster_stack(tmp_path, broker, request.getfixturevalue("cluster"))
        case "aws":
            stack = aws_stack(tmp_path, broker, request)
        case "azure":
            stack = azure_stack(tmp_path, broker, request)
        case "vault":
            stack = openbao_stack(tmp_path, broker, request)
        case _:
            stack = make_stack(tmp_path / "store", broker)
    stack.put("broker-admin", dict(started.admin))
    return drill(stack, tmp_path)


def test_compromise_ends_old_sessions_and_records_an_incident(any_store: Drill, request: pytest.FixtureRequest) -> None:
    """The sessions use the current value, and the previous value, which is within its grace period."""
    refused = any_store.is_gone_through_with()
    print(f"{request.node.callspec.id}: refused {refused:.1f} s after the command began")


@pytest.mark.parametrize("any_store", ["dotenv"], indirect=True)
def test_dry_run_prints_each_step_and_changes_nothing(any_store: Drill) -> None:
    stack = any_store.stack
    stack.rotate()
    before, versions = stack.credential(), stack.session().store.versions("mqtt")
    done = any_store.compromise("mqtt", "--dry-run")
    assert done.returncode == ExitCode.DONE, done.stderr
    assert {"incident", *STEPS, "cost"} <= {line.partition(": ")[0] for line in done.stdout.splitlines()}
    assert list(any_store.folder.iterdir()) == []
    assert stack.session().store.versions("mqtt") == versions
    assert stack.log_in(before) == "Success"


@pytest.fixture
def dev(tmp_path: Path, embedded_broker: Embedded) -> Drill:
    stack = make_stack(tmp_path / "store", embedded_broker.broker())
    stack.put("broker-admin", dict(embedded_broker.admin))
    return drill(stack, tmp_path)


def test_compromise_prompts_and_needs_yes_without_a_terminal(dev: Drill) -> None:
    dev.stack.rotate()
    old = dev.stack.credential()
    done = dev.compromise("mqtt")
    assert done.returncode == ExitCode.USAGE
    assert "--yes" in done.stderr
    assert "--dry-run" in done.stderr
    assert list(dev.folder.iterdir()) == []
    assert dev.stack.log_in(old) == "Success"


@pytest.mark.slow
@pytest.mark.parametrize("stops", [True, False])
def test_compromise_waits_for_each_server_and_names_one_that_stays_behind(dev: Drill, stops: bool) -> None:
    stack = dev.stack
    stack.rotate()

    def report(servers: int) -> None:
        current, user = stack.session().store.versions("mqtt").current, stack.credential()["username"]
        assert current
        with MqttSession(stack.manifest.broker, stack.credential()) as session:
            for number in range(servers):
                text = report_text("mqtt", current.id, stack.clock())
                assert session.publishes(report_topic(user, f"server-{number}"), text, retain=True)

    def passes(seconds: float) -> None:
        assert [one.error for one in stack.tick() if one.error] == []
        report(1 if stops else 2)
        stack.clock.skip(seconds * 5 if stops else 0)

    report(2)
    session = stack.session()
    outcome = compromise(
        session, open_incident(session, "mqtt", since=None, to=dev.folder), to=dev.folder, sleep=passes
    )
    assert outcome.exit_code == (ExitCode.ATTENTION if stops else ExitCode.DONE)
    assert outcome.incident.servers == 2
    assert [reported[:6] for reported in outcome.incident.manual.get(Step.READERS, ())] == ["1 of 2"] * stops


@pytest.mark.slow
@pytest.mark.parametrize("is_new", [False, True])
def test_value_made_during_an_incident_stays_unless_a_new_one_begins(dev: Drill, is_new: bool) -> None:
    stack = dev.stack
    stack.rotate()
    recorder(dev.folder)(open_incident(stack.session(), "mqtt", since=None, to=dev.folder))
    stack.rotate()
    since, version = stack.credential(), stack.session().store.versions("mqtt").current
    assert version
    done = dev.compromise("mqtt", "--yes", *(["--new"] if is_new else []))
    assert done.returncode == (ExitCode.DONE if is_new else ExitCode.ATTENTION), done.stderr
    assert ("continuing " in done.stderr) is not is_new
    assert (version.id in "".join(line for line in done.stdout.splitlines() if "--new" in line)) is not is_new
    assert (stack.log_in(since) == "Success") is not is_new


def test_interrupted_incident_does_not_ask_about_the_versions_that_it_made(dev: Drill) -> None:
    dev.stack.rotate()
    session, keep = dev.stack.session(), recorder(dev.folder)

    def record(incident: Incident) -> None:
        keep(incident)
        current = session.store.versions("mqtt").current
        if current and current.id not in incident.known:
            raise KeyboardInterrupt

    begun = open_incident(session, "mqtt", since=None, to=dev.folder)
    with pytest.raises(KeyboardInterrupt):
        containment.contain(session, begun, supplied=None, record=record)
    assert dev.compromise("mqtt", "--yes").returncode == ExitCode.DONE


def test_pending_version_is_discarded_and_not_published(dev: Drill) -> None:
    """Readers of the store may have read the pending version."""
    stack = dev.stack
    stack.rotate()
    session = stack.session()
    pending = rotation(session, session.secret("mqtt")).prepare(force=True)
    value = session.store.read("mqtt", pending.id, purpose="test")
    rotation(session, session.secret("mqtt")).apply(pending, force=True)
    assert stack.log_in(value) == "Success"
    assert dev.compromise("mqtt", "--yes").returncode == ExitCode.DONE
    assert stack.log_in(value) != "Success"
    assert pending.id in dev.incident()["known"]
    assert pending.id not in {one.id for one in session.store.versions("mqtt").all}
    records = [json.loads(line) for line in (stack.root / "log" / "access.jsonl").read_text().splitlines()]
    assert [one["purpose"] for one in records if one["version"] == pending.id and one["operation"] != "read"] == [
        "keep as pending",
        "discard",
    ]


@pytest.mark.slow
def test_broker_admin_and_the_operators_former_one_are_replaced(tmp_path: Path) -> None:
    """The test has its own broker, because nobody knows its first admin's password afterwards."""
    embedded = start_embedded(tmp_path)
    try:
        stack = make_stack(tmp_path / "store", embedded.broker())
        stack.put("broker-admin", dict(embedded.admin))
        stack.rotate("broker-admin")
        old, its = stack.credential("broker-admin"), drill(stack, tmp_path)
        done = its.compromise("broker-admin", "--yes")
        assert done.returncode == ExitCode.ATTENTION, done.stderr
        for each in (old, embedded.admin):
            assert stack.log_in(each) != "Success"
        assert embedded.admin["username"] in " ".join(its.incident()["manual"]["replace"])
        assert stack.log_in(stack.credential("broker-admin")) == "Success"
    finally:
        embedded.stop()


@pytest.mark.slow
def test_supplied_secret_is_replaced_and_the_old_value_purged(dev: Drill) -> None:
    stack = dev.stack
    stack.put("agent-key", {"api-key": (old := new_password())})
    done = dev.compromise("agent-key", "--yes", stdin=(new := new_password()))
    assert done.returncode == ExitCode.ATTENTION, done.stderr
    session = stack.session()
    versions = session.store.versions("agent-key")
    assert versions.current
    assert session.store.read("agent-key", versions.current.id, purpose="test") == {"api-key": new}
    assert versions.previous
    assert versions.previous.retired
    assert not [path for path in stack.root.rglob("*") if path.is_file() and old in path.read_text(errors="replace")]
    for text in (old, new):
        assert text not in done.stdout + done.stderr + json.dumps(dev.incident()) + dev.page()


@pytest.mark.slow
@pytest.mark.parametrize("spoil", SPOILS)
def test_compromise_goes_on_when_any_file_of_the_store_is_broken(
    dev: Drill, embedded_broker: Embedded, spoil: Callable[[Path], object]
) -> None:
    stack = dev.stack
    stack.put("agent-key", {"api-key": new_password()})
    for _ in range(2):
        stack.rotate(force=True)
    old, public = stack.credential(), stack.env.read_text().splitlines()[1:6]
    for path in each_broken(stack.root, spoil):
        assert stack.log_in(old) == "Success"
        session = stack.session()
        try:
            outcome = compromise(session, open_incident(session, "mqtt", since=None, to=dev.folder), to=dev.folder)
        except WaitingError:  # nobody else knows the password of the broker's admin
            assert path.parent.name == "broker-admin"
            stack.put("broker-admin", dict(embedded_broker.admin), force=True)
            outcome = compromise(session, open_incident(session, "mqtt", since=None, to=dev.folder), to=dev.folder)
        assert outcome.incident.ended
        assert stack.log_in(old) != "Success"
        old = stack.credential()
        assert set(public) <= set(stack.env.read_text().splitlines())
        asides = [str(aside) for aside in stack.root.glob("aside/*")]
        assert all(aside in " ".join(outcome.incident.to_do) for aside in asides if "broker-admin" not in aside)
        if path.parent.name == "agent-key":
            stack.put("agent-key", {"api-key": new_password()}, force=True)
        assert [one.error for one in stack.tick() if one.error] == []


@pytest.mark.parametrize("lose", [LOSSES[1], *(pytest.param(LOSSES[at], marks=pytest.mark.slow) for at in (0, 2))])
def test_compromise_takes_over_both_users_when_their_record_is_lost(dev: Drill, lose: Callable[[Path], object]) -> None:
    dev.stack.rotate()
    old = dev.stack.credential()
    lose(dev.stack.root / "versions" / "mqtt")
    done = dev.compromise("mqtt", "--yes")
    assert dev.incident()["ended"], done.stderr
    assert [dev.stack.log_in(each) == "Success" for each in (old, dev.stack.credential())] == [False, True]


def give(dev: Drill, broker: Embedded, value: Value) -> None:
    open_target(dev.stack.manifest.broker, dev.stack.manifest.secret("mqtt").kind).apply(broker.admin, value)


def test_reused_old_password_is_found_and_the_incident_continues(dev: Drill, embedded_broker: Embedded) -> None:
    stack = dev.stack
    stack.rotate()
    old, session, keep = stack.credential(), stack.session(), recorder(dev.folder)

    def record(incident: Incident) -> None:
        keep(incident)
        if incident.attempts and incident.attempts[-1].step is Step.PROOF and not incident.attempts[-1].ended:
            give(dev, embedded_broker, old)

    with pytest.raises(SecretopsError, match=r"\[credential-still-accepted\]"):
        containment.contain(
            session, open_incident(session, "mqtt", since=None, to=dev.folder), supplied=None, record=record
        )
    assert stack.log_in(old) == "Success"
    assert dev.incident()["ended"] is None
    assert dev.incident()["done"] == []


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[DigitalOcean]:
    with digitalocean() as made:
        monkeypatch.setenv(API_VARIABLE, made.url)
        yield made


@pytest.fixture
def certified(tmp_path: Path) -> Iterator[Certified]:
    with trusting_broker(tmp_path / "broker") as broker:
        yield own_ca.begun(make_certified(tmp_path, broker))


def compromised(stack: Stack, name: str, folder: Path, *, stdin: str = "") -> tuple[int, str, dict[str, Any]]:
    done = stack.run("compromise", name, "--yes", "--to", str(folder), stdin=stdin)
    path = max(folder.glob(f"incident-{name}-*.json"))
    output = done.stdout + done.stderr + path.read_text() + path.with_suffix(".md").read_text()
    store = stack.session().store
    for version in store.versions(name).living:
        value = store.read(name, version.id, purpose="test")
        assert not [field for field in ("api-key", "client.key", "ca.key") if value.get(field, "-" * 9) in output]
    return done.returncode, done.stdout + done.stderr, json.loads(path.read_text())


def test_compromise_of_an_owned_agent_leaves_only_a_new_key(tmp_path: Path, account: DigitalOcean) -> None:
    """The current key, and the previous key within its grace period, are deleted. The agent refuses them a moment
    later."""
    stack = owned_stack(tmp_path / "store", account)
    stack.tick()
    first = stack.key()
    stack.rotate("agent-key")
    second = stack.key()
    assert account.takes(first)
    assert account.takes(second)
    account.still = 1
    code, output, incident = compromised(stack, "agent-key", tmp_path)
    assert code == ExitCode.ATTENTION, output
    assert [account.takes(value) for value in (first, second, stack.key())] == [False, False, True]
    assert len(account.names()) == 1
    assert output.count("the agent refuses the key") == 2
    assert list(incident["manual"]) == ["replace", "readers"]
    assert incident["ended"]


@pytest.mark.slow
def test_compromised_certificate_is_replaced_and_a_new_ca_revokes_it(certified: Certified, tmp_path: Path) -> None:
    stack, folder = certified.stack, tmp_path / "incidents"
    folder.mkdir()
    out: Value = certified.read(CERTIFICATE)
    code, output, incident = compromised(stack, AUTHORITY, folder)
    assert code == ExitCode.ATTENTION, output
    assert "secretops trust" in output
    assert not incident["ended"], "the broker does not trust the new one yet"
    assert certified.takes(out)
    certified.trust()
    code, output, incident = compromised(stack, AUTHORITY, folder)
    assert code == ExitCode.ATTENTION, output
    assert incident["ended"]
    assert "secretops compromise client-cert" in incident["manual"]["replace"][0]
    code, output, incident = compromised(stack, CERTIFICATE, folder)
    assert code == ExitCode.ATTENTION, output
    assert incident["exposed"][0]["serial"] in incident["manual"]["replace"][0]
    assert certified.read(CERTIFICATE) != out
    assert certified.log_in() == "Success"
    session, certificate = stack.session(), stack.manifest.secret(CERTIFICATE)
    certified.trust()
    certified.broker.stop()
    assert certified.broker.start()
    assert not certified.takes(out)
    assert certified.log_in() == "Success"
    reported = functools.partial(try_value, session, certificate, "what-was-out", out, sleep=lambda _: None)
    assert reported()[1], "the broker takes the new one, and the old one no more"
    certified.broker.stop()
    assert not reported()[1], "who speaks to nobody refuses nothing"
