"""The commands that check, repair and show a stack, and `compromise`, run with canary values."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from secretops.errors import ExitCode
from secretops.manifest import AGENT_ADMIN, OwnedAgent, Reader, Secret, SecretKind
from secretops.targets import open_target
from secretops.targets.digitalocean import API_VARIABLE
from secretops.values import Value, new_password
from tests.gates.test_leak import Canaries, Folder, Watch, processes_leak, watching_processes
from tests.real.agent_stack import PREFIX
from tests.real.digitalocean import DigitalOcean, digitalocean
from tests.real.mosquitto import Mosquitto
from tests.real.own_ca import AUTHORITY, CERTIFICATE, Certified, make_certified, rehash, trusting_broker

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture
def account() -> Iterator[DigitalOcean]:
    with digitalocean() as made:
        yield made


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with trusting_broker(tmp_path / "broker") as started:
        yield started


@pytest.fixture
def certified(tmp_path: Path, broker: Mosquitto, account: DigitalOcean) -> Certified:
    made = make_certified(tmp_path, broker)
    stack, (name, field) = made.stack, AGENT_ADMIN
    admin = Secret(name=name, kind=SecretKind.SUPPLIED, fields=(field,), readers=(Reader.ROTATOR,), cadence_days=90)
    agent = OwnedAgent(url=account.url, id=account.agent, prefix=PREFIX)
    others = (
        one.model_copy(update={"agent": agent}) if one.kind is SecretKind.AGENT_KEY else one
        for one in stack.manifest.secrets
    )
    stack.manifest = stack.manifest.model_copy(update={"secrets": (admin, *others), "grace_seconds": 1})
    stack.file.write_text(stack.manifest.model_dump_json())
    stack.environment[API_VARIABLE] = account.url
    return made


def spoil(certified: Certified) -> None:
    stack = certified.stack
    stack.root.chmod(0o755)
    changed = Value({"username": stack.credential()["username"], "password": new_password()})
    target = open_target(stack.session().broker, SecretKind.MQTT_USER)
    target.apply(certified.read("broker-admin"), changed)


def test_no_value_leaves_its_place_when_a_stack_is_compromised(
    tmp_path: Path, certified: Certified, broker: Mosquitto, account: DigitalOcean
) -> None:
    stack, canaries = certified.stack, Canaries()
    watch = Watch(stack, canaries, Folder(stack.root))
    trusts, shown = broker.folder / "trusts", tmp_path / "shown"
    shown.mkdir()
    page = shown / "report.html"

    def trust() -> None:
        watch.run("trust", "--to", str(trusts))
        rehash(trusts)

    def compromise(name: str, *arguments: str, stdin: str = "") -> None:
        watch.any("compromise", name, "--yes", "--to", str(shown), *arguments, stdin=stdin)

    with watching_processes() as seen:
        watch.run("put", "agent-admin", stdin=json.dumps(dict(account.admin)))
        watch.run("rotate", AUTHORITY, code=ExitCode.WAITING)
        trust()
        watch.run("rotate", AUTHORITY)
        watch.run("rotate", CERTIFICATE)
        watch.run("put", "broker-admin", stdin=json.dumps(dict(broker.admin)))
        watch.loud("tick")
        assert certified.log_in() == "Success"
        watch.loud("doctor")
        spoil(certified)
        watch.loud("doctor", "--json", code=ExitCode.ATTENTION)
        watch.loud("doctor", "--repair", "--yes", "--json")
        assert certified.log_in() == "Success"
        watch.any("trust")
        watch.any("compromise", "mqtt", "--dry-run", "--to", str(shown))
        compromise("mqtt", "--json")
        compromise("broker-admin")
        compromise("agent-key")
        compromise(AUTHORITY)
        trust()
        compromise(AUTHORITY, "--json")
        compromise(CERTIFICATE)
        account.token = new = canaries.make("agent-admin: new token")
        compromise("agent-admin", stdin=new)
        watch.any("audit", "--json")
        watch.any("report", "--to", str(page), "--json")
    incidents = [json.loads(path.read_text()) for path in shown.glob("incident-*.json")]
    assert sorted(one["secret"] for one in incidents if one["ended"]) == sorted(
        ["mqtt", "broker-admin", "agent-key", AUTHORITY, CERTIFICATE, "agent-admin"]
    )
    written = [path for folder in (shown, trusts) for path in folder.iterdir() if path.is_file()]
    assert {path.suffix for path in written} >= {".json", ".md", ".html", ".crt"}
    assert watch.leaks(broker.log_file, *written) == []
    assert processes_leak(canaries, seen) == []
    fields = {name.rpartition(" ")[2] for name in canaries.names()}
    assert fields == {"password", "api-key", "client.key", "ca.key", "token"}
    kept = b"".join(path.read_bytes() for path in stack.root.rglob("*") if path.is_file())
    assert account.token.encode() in kept and canaries.found_in(kept), "the finder finds nothing"
