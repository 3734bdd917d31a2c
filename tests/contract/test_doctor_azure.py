"""`secretops doctor` on a stack in Azure: each check well, and each spoiled on purpose.

A stand-in that keeps to Azure's description is the vault, Azurite the lease's blob; the vault's own audit log is what
the workspace, which is played, has.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")

from azure.core.exceptions import HttpResponseError

from secretops.engine.rotation import new_token
from secretops.engine.state import Stage, Version
from secretops.errors import ExitCode, UsageError
from secretops.manifest import AzureStore, Manifest
from secretops.operations.doctor import azure as examining
from secretops.operations.doctor import checks, doctor, exit_code
from secretops.operations.doctor import key_vault as doctors
from secretops.operations.doctor.check import Level, Result
from secretops.operations.put import put
from secretops.operations.rotate import rotate
from secretops.operations.session import Session
from secretops.stores.key_vault import api, lease
from secretops.stores.key_vault.lease import Timing
from secretops.trails import workspace as asking
from secretops.values import Value, new_password
from tests.contract.doctor_fault import Fault as Planted
from tests.contract.doctor_fault import prove, told
from tests.real.azure import Azure
from tests.real.azure_clients import AzureClients
from tests.real.azurite import Azurite
from tests.real.mosquitto import Mosquitto
from tests.real.stack import make_catalogue
from tests.real.workspace import Played
from tools.key_vault.roles import SECRETS_OFFICER

if TYPE_CHECKING:
    from tools.key_vault.tokens import Principal
    from tools.key_vault.vault import Vault

pytestmark = [pytest.mark.real, pytest.mark.slow]

WORKSPACE = "00000000-0000-0000-0000-00000000aaaa"


@dataclass
class Stack:
    """A stack whose every part is as it should be, until a test spoils one."""

    azure: Azure
    vault: Vault
    operator: Principal
    server: Principal
    manifest: Manifest
    workspace: Played
    patch: pytest.MonkeyPatch
    mosquitto: Mosquitto
    exit_code: ExitCode = ExitCode.DONE

    @property
    def store(self) -> AzureStore:
        assert isinstance(self.manifest.store, AzureStore)
        return self.manifest.store

    def become(self, **changes: Any) -> None:
        """With another store in the manifest."""
        store = self.store.model_copy(update=changes)
        self.manifest = self.manifest.model_copy(update={"store": store})

    @property
    def clients(self) -> AzureClients:
        return AzureClients(self.azure.environment(self.operator))

    @property
    def client(self) -> Any:
        return self.clients.vault(self.vault.url)

    def publish(self) -> Version:
        """Another version of mqtt, which logs in."""
        session = Session.open(self.manifest, role="operator")
        return rotate(session, "mqtt", cut_off=True, say=lambda _: None)

    def look(self) -> dict[str, Result]:
        found = list(doctor(checks(Session.open(self.manifest, role="operator"))))
        self.exit_code = exit_code(found)
        return dict(found)


@pytest.fixture
def stack(
    request: pytest.FixtureRequest,
    azure_environment: Principal,
    mosquitto: Mosquitto,
    monkeypatch: pytest.MonkeyPatch,
) -> Stack:
    azure: Azure = request.getfixturevalue("azure")
    azurite: Azurite = request.getfixturevalue("azurite")
    vault: Vault = request.getfixturevalue("vault")
    vault.clock = itertools.count(time.time() - 3 * 3600).__next__  # nothing is at work any more, no two in one second
    server = azure.principal("server")
    vault.access.grant(azure_environment.oid, SECRETS_OFFICER)
    catalogue = tuple(one for one in make_catalogue(users=("a", "b")) if one.kind.alternates)
    names = [one.name for one in catalogue]
    store = AzureStore(
        tenant=azure.authority.tenant,
        vault=vault.url,
        secrets={name: name for name in names},
        pending={name: f"{name}-pending" for name in names},
        due_days=dict.fromkeys(names, 90),
        lease=azurite.new_blob(azure_environment).url,
        workspace=WORKSPACE,
        readers={"mqtt": (server.oid, azure_environment.oid), "mqtt-pending": (azure_environment.oid,)},
    )
    manifest = Manifest(
        project="p", stack="prod", store=store, broker=mosquitto.broker(), secrets=catalogue, grace_seconds=30
    )
    played = Played(WORKSPACE, vault.audit)
    monkeypatch.setattr(asking, "connect", played.client)
    monkeypatch.setattr(doctors, "Timing", lambda: Timing(duration=15, renew=0.3, look=0.1))
    monkeypatch.setattr(api, "RETRIES", 0)
    monkeypatch.setattr(lease, "RETRIES", 0)
    made = Stack(azure, vault, azure_environment, server, manifest, played, monkeypatch, mosquitto)
    put(Session.open(manifest, role="operator"), "broker-admin", mosquitto.admin)
    made.publish()
    return made


def test_a_stack_that_is_as_it_should_be_is_well(stack: Stack) -> None:
    before = len(stack.vault.audit)
    found = stack.look()
    assert {name: (result.level, told(result)) for name, result in found.items() if result.level is not Level.OK} == {}
    assert stack.exit_code is ExitCode.DONE
    assert list(found)[:4] == ["vault", "clock", "your rights", "names"]
    read = [row for row in stack.vault.audit[before:] if row["OperationName"] == "SecretGet"]
    assert len(read) == 2, "of each user's secret the value that logs in, once"


def delete(stack: Stack) -> None:
    stack.client.begin_delete_secret("mqtt").wait()


def leave_pending(stack: Stack) -> None:
    then = datetime.now(UTC) - timedelta(hours=3)
    store = Session.open(stack.manifest, role="operator").store
    version = Version(id=new_token(then), stage=Stage.PENDING, created=then, user="b")
    store.add("mqtt", version, Value({"username": "b", "password": new_password()}))


def leave_a_copy(stack: Stack) -> None:
    stack.client.set_secret("mqtt-pending", "{}", tags=stack.client.get_secret("mqtt").properties.tags)


def disable(stack: Stack) -> None:
    stack.client.update_secret_properties("mqtt", stack.client.get_secret("mqtt").properties.version, enabled=False)


def enable_a_retired_one(stack: Stack) -> None:
    first = stack.client.get_secret("mqtt").properties
    stack.publish()
    store = Session.open(stack.manifest, role="operator").store
    store.mark("mqtt", (first.tags or {})["secretops-id"], retired=datetime.now(UTC))
    stack.client.update_secret_properties("mqtt", first.version, enabled=True)


def take_a_grant(stack: Stack) -> None:
    for each in list(stack.vault.access.assignments):
        stack.vault.access.revoke(each)
    stack.vault.access.grant(stack.operator.oid, SECRETS_OFFICER, "mqtt")


def hold_the_lease_unsaid(stack: Stack) -> None:
    """As who renews it and writes nothing does: it is held for longer than a dead holder's can be."""
    stack.clients.blob(stack.store.lease).acquire_lease(lease_duration=15)
    stack.patch.setattr(examining, "LONGEST_LEASE", 1)


def lose_the_trail(stack: Stack) -> None:
    stack.workspace.rows = []


def only_tick(stack: Stack) -> None:
    """A stack whose first values were not put yet: whoever looks lists versions, and nothing else is on record."""
    stack.look()
    stack.workspace.rows = [
        row
        for row in stack.vault.audit
        if row["OperationName"] == "SecretListVersions" and row["HttpStatusCode"] == 200
    ]
    assert stack.workspace.rows


def refuse_the_server(stack: Stack) -> None:
    with pytest.raises(HttpResponseError):
        AzureClients(stack.azure.environment(stack.server)).vault(stack.vault.url).get_secret("mqtt")


def leave_a_secret(stack: Stack) -> None:
    stack.client.set_secret("old-key", "{}", tags={"secretops-id": "1", "secretops-created": "2026-01-01T00:00:00Z"})
    stack.client.set_secret("old-key", '{"api-key": "typed"}')
    stack.client.set_secret("old-key", '{"api-key": "typed"}', enabled=False)
    stack.client.set_secret("somebody-elses", "{}")


FAULTS: tuple[Planted[Stack], ...] = (
    Planted(delete, "names", ("mqtt: deleted", "az keyvault secret recover"), "recover"),
    Planted(leave_pending, "pending", ("mqtt-pending holds version",), "secretops tick"),
    Planted(leave_a_copy, "pending", ("mqtt-pending still gives",), "secretops tick"),
    Planted(disable, "versions", ("is disabled", "--enabled true")),
    Planted(disable, "secret mqtt", ("is disabled",)),
    Planted(enable_a_retired_one, "versions", ("can still be read",), "secretops tick"),
    Planted(take_a_grant, "your rights", ("versions of mqtt-pending", "Secrets Officer")),
    Planted(hold_the_lease_unsaid, "lease", ("az storage blob lease break",)),
    Planted(lose_the_trail, "audit", ("no row of this vault",)),
    Planted(refuse_the_server, "readers' rights", ("SecretGet of mqtt 1 times",)),
    Planted(leave_a_secret, "unknown secrets", ("old-key, somebody-elses",)),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_what_is_not_as_it_should_be_is_found_and_mended_where_secretops_can(
    fault: Planted[Stack], stack: Stack
) -> None:
    prove(fault, stack)
    assert stack.exit_code is (ExitCode.DONE if fault.mended else ExitCode.ATTENTION)


def publish_while_doctor_looks(stack: Stack) -> None:
    """Up to where a rotation forgets what it replaced."""
    stack.vault.clock = itertools.count(time.time() - 3600).__next__
    enable_a_retired_one(stack)
    leave_a_copy(stack)
    state = doctors.Vault(stack.store).states["mqtt"]
    assert {lies_apart for lies_apart, _ in state.surplus} == {True, False}


@pytest.mark.parametrize(
    ("happens", "check"),
    [(take_a_grant, "vault"), (publish_while_doctor_looks, "versions"), (only_tick, "audit")],
)
def test_what_is_at_work_is_no_finding(happens: Callable[[Stack], None], check: str, stack: Stack) -> None:
    happens(stack)
    found = stack.look()[check]
    assert found.level is Level.OK, told(found)


def test_a_vault_that_another_tenant_took_is_told_and_is_shown_no_login(stack: Stack) -> None:
    theirs = "00000000-0000-0000-0000-00000000ffff"
    ours, before = stack.store.tenant, len(stack.vault.audit)
    stack.become(tenant=theirs)
    session = Session.open(stack.manifest, role="operator")
    now = datetime.now(UTC)
    version = Version(id=new_token(now), stage=Stage.PENDING, created=now, user="a")
    with pytest.raises(UsageError, match=f"is of tenant {ours}") as caught:
        session.store.add("mqtt", version, Value({"username": "a", "password": new_password()}))
    assert theirs in caught.value.rule and "pulumi up" in caught.value.remedy
    found = stack.look()["vault"]
    assert found.level is Level.ATTENTION and f"is of tenant {ours}" in found.value
    assert not [
        row for row in stack.vault.audit[before:] if row["Identity"].get("claim") or row["HttpStatusCode"] != 401
    ]


def test_what_secretops_deleted_itself_holds_no_name(stack: Stack) -> None:
    stack.vault.purge_protection = True
    Session.open(stack.manifest, role="operator").store.forget("mqtt")
    assert stack.look()["names"].level is Level.OK


def test_without_a_vault_that_answers_it_is_reported_once_what_is_wrong(stack: Stack) -> None:
    stack.become(vault="https://no-such-vault.vault.azure.net")
    found = stack.look()
    assert found["vault"].level is Level.ATTENTION
    on_it = ("your rights", "names", "pending", "versions", "unknown secrets", "secret mqtt")
    assert {found[name].level for name in on_it} == {Level.UNKNOWN}
    assert {found[name].value for name in on_it} == {found["vault"].value}
