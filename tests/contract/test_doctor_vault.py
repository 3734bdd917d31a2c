"""`secretops doctor` on a stack in a real OpenBao: checks that need a server. tests/unit/test_vault_doctor has the
rest."""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

pytest.importorskip("hvac", reason="Vault's client is not installed: the extra `vault`")

from secretops.check import Level, Result
from secretops.engine.rotator import new_token
from secretops.engine.state import Stage, Version
from secretops.operations.doctor import doctor
from secretops.operations.session import Session
from secretops.platforms.vault import checks
from secretops.platforms.vault.api import Api
from secretops.platforms.vault.checks.server import VaultServer
from secretops.platforms.vault.location import VaultStoreLocation
from secretops.platforms.vault.store import LeaseDocument
from secretops.stores.lease import Timing, acquire
from secretops.values import Value, new_password
from tests.contract.live_openbao import LEASE, LiveVault, live_vault
from tests.real.openbao import OpenBao

pytestmark = pytest.mark.real

QUICK = Timing(duration=5.0, renew=0.1, poll=0.05)


@dataclass
class Stack:
    live: LiveVault
    operator: str
    place: VaultStoreLocation
    mending: list[Callable[[], object]] = field(default_factory=list)

    def look(self, *named: str) -> dict[str, Result]:
        server = VaultServer(self.place, timing=QUICK)
        return dict(doctor([one for one in checks.vault_checks(server) if not named or one.name in named]))

    def finds(self, name: str) -> Result:
        return self.look(name)[name]


@pytest.fixture(scope="module")
def well(openbao: OpenBao, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    live = live_vault(openbao, tmp_path_factory.mktemp("stack"))
    for name in ("server", "rotator"):
        live.secret_id(name)
    put(live.rotator(), "mqtt", username="mqtt-a", password=new_password())
    return Stack(live, live.operator(), live.store)


@pytest.fixture
def stack(well: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.setenv("VAULT_TOKEN", well.operator)
    monkeypatch.setenv("VAULT_ADDR", well.place.address)
    made = Stack(well.live, well.operator, well.place)
    yield made
    for mend in made.mending:
        mend()


def put(session: Session, secret: str, *, publish: bool = True, **fields: str) -> None:
    now = session.clock()
    made = Version(id=new_token(now), stage=Stage.PENDING, created=now)
    with session.lease("test"):
        session.store.add(secret, made, Value(fields))
        if publish:
            session.store.publish(secret, made.id, now)


def test_intact_vault_stack_is_healthy(stack: Stack) -> None:
    found = stack.look()
    assert {name: result for name, result in found.items() if result.level is not Level.OK} == {}
    assert "version 2." in found["server"].value
    assert "first (file)" in found["audit"].value and "second (file)" in found["audit"].value
    assert f"{stack.live.userpass}-ann" in found["your token"].value


def sealed(stack: Stack) -> None:
    stack.live.openbao.seal()
    stack.mending.append(stack.live.openbao.unseal)


def token_is_bad(_stack: Stack) -> None:
    os.environ["VAULT_TOKEN"] = "made-up"


def nobody_is_there(stack: Stack) -> None:
    stack.place = stack.place.model_copy(update={"address": "https://127.0.0.1:1"})


@pytest.mark.parametrize("spoil", [sealed, token_is_bad, nobody_is_there])
def test_doctor_reports_a_server_once_when_it_does_not_serve(
    spoil: Callable[[Stack], None], stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", os.environ["HOME"])
    monkeypatch.setattr("secretops.platforms.vault.server.PAUSES", ())
    spoil(stack)
    found = stack.look()
    assert found["server"].level is Level.ATTENTION and found["server"].remedy
    for name in ("mount", "versions kept", "roles", "readers' rights", "lease"):
        assert (found[name].level, found[name].value) == (Level.UNKNOWN, found["server"].value), name


def test_check_without_a_right_of_the_token_is_unknown(stack: Stack) -> None:
    os.environ["VAULT_TOKEN"] = stack.live.log_in("rotator")
    found = stack.look()
    unseen = ("versions kept", "audit", "roles", "secret ids", "readers' rights", "rotator's rights")
    assert {name: found[name].level for name in (*unseen, "unknown paths", "others' rights")} == dict.fromkeys(
        (*unseen, "unknown paths", "others' rights"), Level.UNKNOWN
    )
    for name in ("server", "TLS", "clock", "your token", "mount", "lease"):
        assert found[name].level is Level.OK, found[name]


def test_live_lease_holder_differs_from_a_killed_one(stack: Stack) -> None:
    held = acquire(LeaseDocument(Api.of(stack.place), LEASE), "somebody", QUICK)
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(QUICK.renew):
            held.renew()

    renewing = threading.Thread(target=renew)
    renewing.start()
    try:
        assert stack.finds("lease").level is Level.OK
    finally:
        ended.set()
        renewing.join()
    dead = stack.finds("lease")
    assert dead.level is Level.ATTENTION and "somebody" in dead.value
    held.release()
    assert stack.finds("lease").level is Level.OK


def test_operator_alone_sees_the_stacks_policies_and_no_others(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", stack.live.operator("bob", stack.live.role("operator")))
    found = stack.look()
    assert found["others' rights"].level is Level.UNKNOWN and "-doctor" in (found["others' rights"].remedy or "")
    assert {name for name, one in found.items() if one.level is Level.UNKNOWN} == {"others' rights"}


def test_doctor_prints_and_requests_no_value_and_changes_nothing(stack: Stack) -> None:
    current = stack.live.root.secrets.kv.v2.read_secret_version(
        "mqtt", mount_point=stack.live.mount, raise_on_deleted_version=True
    )
    before = len(stack.live.openbao.audit())
    done = stack.live.run(stack.operator, "doctor", "--json")
    requested = [line["request"] for line in stack.live.openbao.audit()[before:]]
    assert current["data"]["data"]["password"] not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    changing = {each["path"] for each in requested if each["operation"] not in ("read", "list", "help")}
    assert {path.rpartition("/")[2] for path in changing} <= {"lookup"}, "of a secret id's accessor"
    assert {each["path"] for each in requested} & {f"{stack.live.mount}/metadata/mqtt"}, "and it did look"
