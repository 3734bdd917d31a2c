"""`secretops doctor` on a stack in a real OpenBao: each check well, and each spoiled on purpose, then mended.

What a running server can't be made to show is played, and said so: too few audit devices, and another clock.
"""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("hvac", reason="Vault's client is not installed: the extra `vault`")

from secretops.engine.rotation import new_token
from secretops.engine.state import Stage, Version
from secretops.errors import ExitCode
from secretops.manifest import Manifest, Reader, Secret, SecretKind
from secretops.operations.doctor import checks, doctor, exit_code, vault, vault_server
from secretops.operations.doctor.check import Level, Result
from secretops.operations.doctor.vault_policy import Rule, rules
from secretops.operations.doctor.vault_server import VaultServer
from secretops.operations.put import put
from secretops.operations.rotate import rotate
from secretops.operations.session import Session
from secretops.stores.leases import Timing
from secretops.stores.vault import store as storing
from secretops.stores.vault.api import Api
from secretops.stores.vault.lease import take
from secretops.targets import open_target
from secretops.values import Value, new_password
from tests.contract.doctor_fault import Fault, prove
from tests.contract.live_openbao import LEASE, LiveVault, live_vault, without
from tests.real.mosquitto import Mosquitto
from tests.real.openbao import OpenBao

pytestmark = pytest.mark.real

QUICK = Timing(duration=1.0, renew=0.1, look=0.05)


@dataclass
class Stack:
    """A stack whose every part is as it should be, until a test spoils one."""

    live: LiveVault
    mosquitto: Mosquitto
    operator: str
    manifest: Manifest
    exit_code: ExitCode = ExitCode.DONE
    mending: list[Callable[[], object]] = field(default_factory=list)

    def become(self, **changes: Any) -> None:
        """With another store in the manifest."""
        store = self.manifest.store.model_copy(update=changes)
        self.manifest = self.manifest.model_copy(update={"store": store})

    def look(self, *named: str) -> dict[str, Result]:
        """What the checks find; of those that are named alone where any is."""
        all_of_them = checks(Session.open(self.manifest, role="operator"))
        found = list(doctor([check for check in all_of_them if not named or check.name in named]))
        self.exit_code = exit_code(found)
        return dict(found)

    def finds(self, name: str) -> Result:
        return self.look(name)[name]

    def policy(self, name: str, text: str) -> None:
        """Instead of the stack's own, until the test ends."""
        mine: str = getattr(self.live, f"{name}_policy")()
        self.live.root.sys.create_or_update_policy(self.live.role(name), text)
        self.mending.append(lambda: self.live.root.sys.create_or_update_policy(self.live.role(name), mine))

    def role(self, **changes: object) -> None:
        self.live.set_role("server", **changes)
        self.mending.append(lambda: self.live.set_role("server", token_num_uses=0, secret_id_num_uses=0))

    def configure(self, **said: object) -> None:
        self.live.root.write_data(f"{self.live.mount}/config", data=said)
        well = {"max_versions": 10, "delete_version_after": "0s"}
        self.mending.append(lambda: self.live.root.write_data(f"{self.live.mount}/config", data=well))

    def tune(self, **said: object) -> None:
        self.live.root.write_data(f"sys/mounts/{self.live.mount}/tune", data=said)
        well: dict[str, list[str]] = {key: [] for key in said}
        self.mending.append(lambda: self.live.root.write_data(f"sys/mounts/{self.live.mount}/tune", data=well))


@pytest.fixture(scope="module")
def well(openbao: OpenBao, tmp_path_factory: pytest.TempPathFactory, mosquitto: Mosquitto) -> Stack:
    live = live_vault(openbao, tmp_path_factory.mktemp("stack"))
    for name in ("server", "rotator"):
        live.secret_id(name)
    session = live.rotator()
    manifest = session.manifest.model_copy(update={"broker": mosquitto.broker()})
    session = dataclasses.replace(session, manifest=manifest)
    put(session, "broker-admin", mosquitto.admin)
    rotate(session, "mqtt", cut_off=True, say=lambda _: None)
    stack = live.manifest.model_copy(update={"broker": mosquitto.broker()})
    return Stack(live, mosquitto, live.operator(), stack)


@pytest.fixture
def stack(well: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.setenv("VAULT_TOKEN", well.operator)
    made = Stack(well.live, well.mosquitto, well.operator, well.manifest)
    yield made
    for mend in made.mending:
        mend()


def test_a_stack_whose_every_part_is_as_it_should_be_is_well(stack: Stack) -> None:
    found = stack.look()
    wrong = {name: result for name, result in found.items() if result.level is not Level.OK}
    assert not wrong
    assert stack.exit_code is ExitCode.DONE
    assert found["server"].value.startswith(stack.live.openbao.address)
    assert "version 2." in found["server"].value
    assert found["audit"].value == "first (file), second (file)"
    assert found["your token"].value.startswith(f"{stack.live.userpass}-ann (")
    assert found["lease"].value == "free"
    assert stack.live.role("server") in found["readers' rights"].value
    assert found["secret mqtt"].level is Level.OK


def sealed(stack: Stack) -> None:
    stack.live.openbao.seal()
    stack.mending.append(stack.live.openbao.unseal)


def token_is_bad(_stack: Stack) -> None:
    os.environ["VAULT_TOKEN"] = "made-up"


def there_is_no_token(stack: Stack) -> None:
    del os.environ["VAULT_TOKEN"]
    os.environ["HOME"] = str(stack.live.folder)


def another_ca(stack: Stack) -> None:
    stack.become(ca_file=None)


def nobody_is_there(stack: Stack) -> None:
    stack.become(address="https://127.0.0.1:1")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (sealed, "is sealed"),
        (token_is_bad, "does not take this token"),
        (there_is_no_token, "there is no token"),
        (another_ca, "does not prove to be it"),
        (nobody_is_there, "can't be reached"),
    ],
)
def test_a_server_that_does_not_serve_is_told_once_and_keeps_the_others_from_looking(
    spoil: Callable[[Stack], None], told: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", os.environ["HOME"])
    monkeypatch.setattr("secretops.stores.vault.server.PAUSES", ())
    spoil(stack)
    found = stack.look()
    assert told in found["server"].value and found["server"].level is Level.ATTENTION
    assert found["server"].remedy
    for name in ("mount", "versions kept", "roles", "readers' rights", "lease", "secret mqtt", "secrets that left"):
        assert (found[name].level, found[name].value) == (Level.UNKNOWN, found["server"].value), name
    assert stack.exit_code is ExitCode.ATTENTION


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ('path "{m}/data/broker-admin" {{ capabilities = ["read"] }}', "may read {m}/data/broker-admin"),
        ('path "{m}/data/mqtt" {{ capabilities = ["read", "update"] }}', "may update {m}/data/mqtt"),
        ('path "{m}/*" {{ capabilities = ["read", "list"] }}', "may list/read {m}/*"),
        ('path "{m}/metadata/" {{ capabilities = ["list"] }}', "may list {m}/metadata/"),
        ('path "+/data/mqtt" {{ capabilities = ["read"] }}', "may read +/data/mqtt"),
        ('path "*" {{ capabilities = ["sudo"] }}', "may sudo *"),
    ],
)
def test_a_readers_policy_that_is_wider_than_declared_is_told_with_what_is_too_much(
    policy: str, told: str, stack: Stack
) -> None:
    stack.policy("server", stack.live.server_policy() + policy.format(m=stack.live.mount))
    found = stack.finds("readers' rights")
    assert found.level is Level.ATTENTION
    assert told.format(m=stack.live.mount) in found.value


def test_a_policy_that_lacks_something_or_is_not_there_is_told(stack: Stack) -> None:
    live = stack.live
    stack.policy("server", without("/data/mqtt", live.server_policy()))
    assert f"may not read {live.mount}/data/mqtt" in stack.finds("readers' rights").value
    less = without("/destroy/mqtt", live.rotator_policy())
    stack.policy("rotator", less + '\npath "sys/*" { capabilities = ["sudo"] }')
    found = stack.finds("rotator's rights")
    assert found.value.endswith(f"may not update {live.mount}/destroy/mqtt")
    stack.role(token_policies=["never-made"])
    assert "has policy never-made, which is not there" in stack.finds("readers' rights").value


def test_a_rotator_that_may_list_or_read_more_is_told(stack: Stack) -> None:
    stack.policy(
        "rotator",
        stack.live.rotator_policy() + f'path "{stack.live.mount}/metadata/*" {{ capabilities = ["read", "list"] }}',
    )
    found = stack.finds("rotator's rights")
    assert f"may list/read {stack.live.mount}/metadata/* by policy {stack.live.role('rotator')}" in found.value


def test_policies_of_others_that_read_the_mount_are_told_and_those_that_do_not_are_not(stack: Stack) -> None:
    client, name = stack.live.root, stack.live.role("team")
    client.sys.create_or_update_policy(name, f'path "{stack.live.mount}/data/+" {{ capabilities = ["read"] }}')
    stack.mending.append(lambda: client.sys.delete_policy(name))
    found = stack.finds("others' rights")
    assert found.level is Level.ATTENTION
    assert f"{name} ({stack.live.mount}/data/+)" in found.value
    assert stack.live.role("server") not in found.value
    client.sys.create_or_update_policy(name, f'path "{stack.live.mount}/metadata/*" {{ capabilities = ["list"] }}')
    assert name not in stack.finds("others' rights").value


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"token_ttl": "0s"}, "server's default"),
        ({"token_ttl": "72h"}, "live for 3 days"),
        ({"token_num_uses": 9}, "good for 9 requests"),
        ({"secret_id_num_uses": 1}, "good for 1 logins"),
        ({"token_policies": []}, "it has no policy"),
    ],
)
def test_a_role_whose_tokens_or_secret_ids_do_not_do_is_told(
    changes: dict[str, object], told: str, stack: Stack
) -> None:
    stack.role(**{"token_max_ttl": "96h", **changes})
    found = stack.finds("roles")
    assert found.level is Level.ATTENTION and told in found.value


def test_a_role_that_is_not_there_is_told(stack: Stack) -> None:
    role = stack.live.role("server")
    stack.live.root.delete(f"auth/{stack.live.approle}/role/{role}")
    stack.mending += [lambda: stack.live.set_role("server"), lambda: stack.live.secret_id("server")]
    assert stack.finds("roles").value == f"there is no role {stack.live.approle}/{role}"
    stack.become(readers={"mqtt": ("no-such-method/server",)})
    os.environ["VAULT_TOKEN"] = stack.live.openbao.root  # the operator's policy does not name that one
    assert stack.finds("roles").value == "there is no role no-such-method/server"


def test_secret_ids_that_are_missing_or_end_within_days_are_told(stack: Stack) -> None:
    live = stack.live
    path = f"auth/{live.approle}/role/{live.role('lonely')}"
    live.set_role("lonely")
    entry = f"{live.approle}/{live.role('lonely')}"
    stack.become(readers={"mqtt": (entry,), LEASE: ()})
    found = Stack(live, stack.mosquitto, live.openbao.root, stack.manifest)
    os.environ["VAULT_TOKEN"] = live.openbao.root  # the operator's policy does not name this role
    assert f"{entry} has none" in found.finds("secret ids").value
    live.root.write_data(f"{path}/secret-id", data={"ttl": "1h"})
    result = found.finds("secret ids")
    assert f"the last one of {entry} ends 20" in result.value
    assert f"bao write -f -field=secret_id {path}/secret-id > FILE" in result.remedy
    server = f"{live.approle}/{live.role('server')}"
    found.become(readers={"mqtt": (server, entry), LEASE: ()})
    assert live.role("lonely") in found.finds("secret ids").remedy, "the role in trouble"
    assert live.role("server") not in found.finds("secret ids").remedy, "and not the first one"
    found.become(readers={"mqtt": (entry,), LEASE: ()})
    live.root.write_data(f"{path}/secret-id", data={"ttl": "720h"})
    assert found.finds("secret ids").value.startswith(f"{entry}: 2, until 20")
    live.root.write_data(path, data={"secret_id_ttl": "0s"})
    live.root.write_data(f"{path}/secret-id", data={})
    assert found.finds("secret ids").value == f"{entry}: 3, until revoked"


@pytest.mark.parametrize(
    ("said", "told"),
    [({"max_versions": 2}, "keeps 2 versions"), ({"delete_version_after": "24h"}, "deletes each version after 24h")],
)
def test_a_mount_that_forgets_versions_by_itself_is_told(said: dict[str, object], told: str, stack: Stack) -> None:
    stack.configure(**said)
    found = stack.finds("versions kept")
    assert found.level is Level.ATTENTION and f"{stack.live.mount} {told}" in found.value


def test_a_path_that_keeps_too_few_is_told_whatever_the_mount_says(stack: Stack) -> None:
    kv = stack.live.root.secrets.kv.v2
    kv.update_metadata("mqtt", max_versions=1, mount_point=stack.live.mount)
    stack.mending.append(lambda: kv.update_metadata("mqtt", max_versions=0, mount_point=stack.live.mount))
    assert stack.finds("versions kept").value == "mqtt keeps 1 versions"


def test_a_mount_that_is_not_there_or_is_of_version_1_is_told(stack: Stack) -> None:
    os.environ["VAULT_TOKEN"] = stack.live.openbao.root  # the operator's policy names the stack's mount alone
    stack.become(mount="nowhere-to-be-found")
    assert "there is no mount nowhere-to-be-found on the server" in stack.finds("mount").value
    client, name = stack.live.root, f"{stack.live.own}-v1"
    client.sys.enable_secrets_engine("kv", path=name, options={"version": "1"})
    stack.become(mount=name)
    assert stack.finds("mount").value == f"{name} is kv of version 1"


def test_a_mount_whose_values_are_logged_as_they_are_is_told(stack: Stack) -> None:
    stack.tune(audit_non_hmac_response_keys=["data"])
    found = stack.finds("audit")
    assert found.level is Level.ATTENTION
    assert found.value == "the mount has data written as they are (audit_non_hmac_response_keys)"


@pytest.mark.parametrize(
    ("devices", "told"),
    [
        ({}, "no audit device"),
        ({"first/": {"type": "file"}}, "one audit device, first/"),
        ({"a/": {"options": {"log_raw": "true"}}, "b/": {}}, "device a writes values as they are"),
    ],
)
def test_too_few_audit_devices_are_told(
    devices: dict[str, dict[str, Any]], told: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Played: those of a server are in its configuration."""
    monkeypatch.setattr(VaultServer, "devices", lambda _: devices)
    found = stack.finds("audit")
    assert found.level is Level.ATTENTION and told in found.value


def test_a_root_token_and_one_that_is_about_to_end_are_told(stack: Stack) -> None:
    os.environ["VAULT_TOKEN"] = stack.live.openbao.root
    assert stack.finds("your token").value == "it is a root token"
    os.environ["VAULT_TOKEN"] = stack.live.openbao.token(stack.live.role("operator"), ttl="90s")
    found = stack.finds("your token")
    assert found.level is Level.ATTENTION and found.value.startswith("it ends in ")


def test_what_the_token_at_hand_may_not_see_is_said_and_is_not_well(stack: Stack) -> None:
    os.environ["VAULT_TOKEN"] = stack.live.log_in("rotator")
    found = stack.look()
    for name in ("versions kept", "audit", "roles", "secret ids", "readers' rights", "rotator's rights"):
        assert found[name].level is Level.UNKNOWN and "may not ask" in found[name].value, name
    assert found["unknown paths"].level is Level.UNKNOWN and '"list"' in found["unknown paths"].remedy
    assert found["others' rights"].level is Level.UNKNOWN and found["others' rights"].value.startswith("not seen")
    for name in ("server", "TLS", "clock", "your token", "mount", "lease", "secret mqtt"):
        assert found[name].level is Level.OK, found[name]


def test_a_path_that_the_stack_does_not_know_is_told_while_it_has_a_value(stack: Stack) -> None:
    kv, mount = stack.live.root.secrets.kv.v2, stack.live.mount
    kv.create_or_update_secret("pending/old", {"password": new_password()}, mount_point=mount)
    found = stack.finds("unknown paths")
    assert found.level is Level.ATTENTION and found.value.startswith("pending/old: with a value")
    kv.destroy_secret_versions("pending/old", [1], mount_point=mount)
    assert stack.finds("unknown paths").level is Level.OK


def test_what_left_the_stack_is_purged_by_an_operator_whose_policy_names_it_no_more(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was kept while the stack still had it: by root here, and by its rotator there."""
    live, manifest, name = stack.live, stack.live.manifest, "plant-db"
    store = live.store.model_copy(
        update={
            "secrets": {**live.store.secrets, name: name},
            "pending": {**live.store.pending, name: f"pending/{name}"},
        }
    )
    kept = Secret(name=name, kind=SecretKind.SUPPLIED, fields=("url",), readers=(Reader.ROTATOR,), cadence_days=180)
    before = manifest.model_copy(update={"store": store, "secrets": (*manifest.secrets, kept)})
    monkeypatch.setenv("VAULT_TOKEN", live.openbao.root)
    session = Session.open(before, role="operator")
    with session.lease("test"):
        for turn in ("first", "second"):
            now = session.clock()
            made = Version(id=new_token(now), stage=Stage.PENDING, created=now)
            session.store.add(name, made, Value({"url": f"{turn}-{new_password()}"}))
            if turn == "first":
                session.store.publish(name, made.id, now)

    monkeypatch.setenv("VAULT_TOKEN", stack.operator)
    assert name in stack.finds("secrets that left").value
    done = live.run(stack.operator, "purge", name, "--destroy", "--yes")
    assert done.returncode == ExitCode.DONE, done.stderr
    for path in (name, f"pending/{name}"):
        assert live.root.read(f"{live.mount}/metadata/{path}") is None
    assert {one.level for one in stack.look("secrets that left", "unknown paths").values()} == {Level.OK}


def test_a_holder_of_the_lease_who_lives_is_told_from_one_who_was_killed(stack: Stack) -> None:
    server = VaultServer(stack.live.store, timing=QUICK)
    api = Api.of(stack.live.store)
    held = take(api, LEASE, "somebody", QUICK)
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(QUICK.renew):
            held._renew(patiently=False)

    renewing = threading.Thread(target=renew)
    renewing.start()
    try:
        assert vault.LeaseFree(server).look().value == "held by somebody, who renews it"
    finally:
        ended.set()
        renewing.join()
    dead = vault.LeaseFree(server).look()
    assert (dead.level, dead.value) == (Level.ATTENTION, "held by somebody, who did not renew it for 1 s")
    held._release()
    assert vault.LeaseFree(server).look().value == "free"


def leave_pending(stack: Stack) -> None:
    """A rotation that was killed after its first step."""
    then = datetime.now(UTC) - timedelta(hours=3)
    store = Session.open(stack.manifest, role="operator").store
    current = store.versions("mqtt").current
    idle = "mqtt-b" if current and current.user == "mqtt-a" else "mqtt-a"
    version = Version(id=new_token(then), stage=Stage.PENDING, created=then, user=idle)
    store.add("mqtt", version, Value({"username": idle, "password": new_password()}))


def change_the_password(stack: Stack) -> None:
    """At the broker, behind our back."""
    current = Session.open(stack.manifest, role="operator").store.versions("mqtt").current
    assert current and current.user
    changed = Value({"username": current.user, "password": new_password()})
    open_target(stack.manifest.broker, SecretKind.MQTT_USER).apply(stack.mosquitto.admin, changed)


def leave_the_lease(stack: Stack) -> None:
    """Whoever held it was killed: nobody renews it, and nobody gives it back."""
    take(Api.of(stack.live.store), LEASE, "one that was killed", QUICK)


def take_the_current_one_away(stack: Stack) -> None:
    """As somebody does who wants it to be read no more; that is theirs to undo."""
    kv, mount = stack.live.root.secrets.kv.v2, stack.live.mount
    number = kv.read_secret_metadata("mqtt", mount)["data"]["current_version"]
    kv.delete_secret_versions("mqtt", [number], mount_point=mount)
    stack.mending.append(lambda: kv.undelete_secret_versions("mqtt", [number], mount_point=mount))


TICK = "secretops tick"

FAULTS: tuple[Fault[Stack], ...] = (
    Fault(leave_pending, "secret mqtt", ("left pending", "secretops tick"), TICK),
    Fault(
        change_the_password, "login mqtt", ("the broker refuses user mqtt-", "find out who"), "secretops rotate mqtt"
    ),
    Fault(leave_the_lease, "lease", ("held by one that was killed, who did not renew it", "half-done"), TICK),
    Fault(take_the_current_one_away, "secret mqtt", ("the current one, was deleted",)),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_what_is_half_done_is_found_and_mended_where_secretops_can(
    fault: Fault[Stack], stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (vault_server, storing):
        monkeypatch.setattr(module, "Timing", lambda: QUICK)
    stack.manifest = stack.manifest.model_copy(update={"grace_seconds": 0})
    prove(fault, stack)


def test_a_certificate_near_its_end_and_clocks_apart_are_told(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other clock is played."""
    assert stack.finds("clock").value in ("0 s apart", "1 s apart")
    monkeypatch.setattr(vault, "CERTIFICATE_SHARE", 1)
    assert stack.finds("TLS").value.startswith("the server's certificate ends 20")
    for seconds, told in ((90, "90 s behind the server's"), (-3600, "3600 s ahead of the server's")):
        monkeypatch.setattr(VaultServer, "skew", timedelta(seconds=seconds))
        assert told in stack.finds("clock").value


def test_a_ca_file_that_is_gone_is_told_with_its_name(stack: Stack) -> None:
    stack.become(ca_file="/nowhere/ca.pem")
    found = stack.look("server", "TLS")
    assert {name: result.value for name, result in found.items()} == dict.fromkeys(
        ("server", "TLS"), "/nowhere/ca.pem: no CA can be read from it"
    )


def test_nothing_that_doctor_says_or_asks_holds_a_value_and_it_changes_nothing(stack: Stack) -> None:
    current = stack.live.root.secrets.kv.v2.read_secret_version(
        "mqtt", mount_point=stack.live.mount, raise_on_deleted_version=True
    )
    before = len(stack.live.openbao.audit())
    done = stack.live.run(stack.operator, "doctor", "--json")
    asked = [line["request"] for line in stack.live.openbao.audit()[before:]]
    assert current["data"]["data"]["password"] not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    changing = {
        f"{each['operation']} {each['path']}" for each in asked if each["operation"] not in ("read", "list", "help")
    }
    assert {each.rpartition("/")[2] for each in changing} <= {"lookup"}, "of a secret id's accessor"
    assert {each["path"] for each in asked} & {f"{stack.live.mount}/metadata/mqtt"}, "and it did look"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('path "a/b" { capabilities = ["read"] }', [Rule("a/b", frozenset({"read"}))]),
        ('path "a/*" {\n capabilities = [ "read", # all\n "list" ]\n}', [Rule("a/*", frozenset({"read", "list"}))]),
        ('/* path "x" { capabilities = ["read"] } */', []),
        ('path "a//b#c" { capabilities = ["read"] }', [Rule("a//b#c", frozenset({"read"}))]),
        ('path "a" { policy = "write" }', [Rule("a", frozenset({"create", "read", "update", "delete", "list"}))]),
        ('path "a" { capabilities = ["read", "deny"] }', []),
        (
            'path "a" { allowed_parameters = { "x" = ["}"] }\n capabilities = ["create"] }',
            [Rule("a", frozenset({"create"}))],
        ),
        ('{"path": {"a": {"capabilities": ["read"]}}}', [Rule("a", frozenset({"read"}))]),
        ('{"path": [{"a": [{"capabilities": ["read"]}]}]}', [Rule("a", frozenset({"read"}))]),
        ("", []),
    ],
)
def test_a_policys_text_is_read_as_the_server_reads_it(text: str, found: list[Rule]) -> None:
    assert rules(text) == found


@pytest.mark.parametrize(
    ("path", "covers", "touches"),
    [
        ("kv/data/mqtt", True, True),
        ("kv/data/*", True, True),
        ("kv/*", True, True),
        ("k*", True, True),
        ("*", True, True),
        ("+/data/mqtt", True, True),
        ("kv/+/mqtt", True, True),
        ("kv/data/mq*", True, True),
        ("kv/data/{{identity.entity.name}}", True, True),
        ("kv/data/mqtt/more", False, True),
        ("kv/config", False, True),
        ("kv", False, False),
        ("kv2/data/mqtt", False, False),
        ("sys/*", False, False),
        ("other/data/mqtt", False, False),
    ],
)
def test_a_rule_covers_a_path_and_touches_a_mount_as_globs_go(path: str, *, covers: bool, touches: bool) -> None:
    rule = Rule(path, frozenset({"read"}))
    assert (rule.covers("kv/data/mqtt"), rule.touches("kv")) == (covers, touches)
