"""What goes wrong between the Azure store and Azure: requests that fail, are refused, or reach nobody."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")

from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError
from secretops.manifest import AzureStore
from secretops.stores import open_store
from secretops.stores.key_vault import api
from tests.contract.live_key_vault import DEADLINE, NOW, LiveVault, V, less_patient, make, publish, version
from tests.contract.places import FIELDS
from tests.real.azure import Azure
from tools.key_vault.faults import Fault, failing, losing_the_answer, throttling
from tools.key_vault.problems import Refusal

if TYPE_CHECKING:
    from tools.key_vault.tokens import Principal

pytestmark = pytest.mark.real


@pytest.fixture
def place(azure: Azure) -> LiveVault:
    return LiveVault.at(azure)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    less_patient(monkeypatch)


def test_a_version_that_was_made_twice_because_its_answer_was_lost_is_one_and_both_are_forgotten(
    place: LiveVault, impatient: None
) -> None:
    publish(place, V[1])
    value = make()
    place.vault.faults += [
        losing_the_answer("SetSecret", secret="it-pending"),
        losing_the_answer("SetSecret", secret="it"),
    ]
    store = place.again().open()
    store.add("it", version(V[2]), value)
    assert len(place.all_versions("it-pending")) == 3
    store.mark("it", V[2], verified=NOW)
    store.publish("it", V[2], NOW)
    assert len(place.all_versions()) == 3
    assert place.delivered() == dict(value)
    assert [one.id for one in store.versions("it").all] == [V[1], V[2]]
    assert [one for one in place.all_versions("it-pending") if one.enabled] == []
    publish(place, V[3])
    place.open().mark("it", V[2], retired=NOW)
    assert place.keeps(value["password"]) == []
    previous = place.open().versions("it").previous
    assert previous and (previous.id, previous.verified, previous.retired) == (V[2], NOW, NOW)


@pytest.mark.parametrize(
    "fault",
    [
        throttling(times=100, retry_after=3600),
        failing(status=503, times=100),
        losing_the_answer(times=100),
        pytest.param(Fault(delay=3.0, times=100), marks=pytest.mark.slow),
    ],
    ids=["429", "503", "a closed connection", "no answer in time"],
)
def test_a_vault_that_does_not_serve_is_asked_again_and_after_some_times_given_up(
    place: LiveVault, impatient: None, fault: Fault
) -> None:
    value = publish(place, V[1])
    client = replace(place.clients, answer_seconds=0.5).vault(place.location.vault)
    assert place.open(client=client).read("it", V[1], purpose="test") == value
    place.vault.faults.append(replace(fault, operation="GetSecret", times=2))
    assert place.open(client=client).read("it", V[1], purpose="test") == value, "two are got over"
    place.vault.faults[:] = [replace(fault, operation="GetSecret")]
    before, began = len(place.requests("SecretGet")), time.monotonic()
    with pytest.raises(UnreachableError) as caught:
        place.open(client=client).read("it", V[1], purpose="test")
    assert caught.value.remedy
    place.vault.faults.clear()
    end = time.monotonic() + DEADLINE
    while len(place.requests("SecretGet")) < before + 3 and time.monotonic() < end:
        time.sleep(0.05)
    assert len(place.requests("SecretGet")) == before + 3
    assert time.monotonic() - began < DEADLINE, "whatever Retry-After asks for"


def rotate(place: LiveVault) -> None:
    publish(place, V[2])
    place.open().mark("it", V[1], retired=NOW)
    assert [one.retired for one in place.open().versions("it").all] == [NOW, None]


def purge(place: LiveVault) -> None:
    place.open().forget("it")
    assert place.vault.all_deleted()[0] == [] and place.delivered() == dict.fromkeys(FIELDS)


def put_again(place: LiveVault) -> None:
    place.vault.purge_protection = True
    place.open().forget("it")
    assert place.delivered() == dict.fromkeys(FIELDS)
    new = publish(place, V[2])
    assert place.delivered() == dict(new)


@pytest.mark.parametrize(
    ("operation", "work"),
    [
        ("GetSecretVersions", rotate),
        ("SetSecret", rotate),
        ("UpdateSecret", rotate),
        ("DeleteSecret", purge),
        ("GetDeletedSecret", purge),
        ("PurgeDeletedSecret", purge),
        ("RecoverDeletedSecret", put_again),
    ],
)
def test_every_operation_is_asked_again_whatever_goes_wrong_first(
    place: LiveVault,
    impatient: None,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    work: Callable[[LiveVault], None],
) -> None:
    publish(place, V[1])
    faults = [
        losing_the_answer(operation),
        throttling(operation, retry_after=None),
        Fault(Refusal(408, "RequestTimeout", "said by the stand-in"), operation),
        *(failing(operation, status=status) for status in (500, 502, 503, 504)),
    ]
    monkeypatch.setattr(api, "RETRIES", len(faults))
    place.vault.faults += faults
    work(place.again())
    assert [fault.times for fault in faults] == [0] * len(faults)


@pytest.mark.parametrize(
    ("refusal", "kind", "named"),
    [
        (Refusal(403, "Forbidden", "said by the stand-in", "ForbiddenByFirewall"), StoreError, "private endpoint"),
        (Refusal(403, "Forbidden", "said by the stand-in"), StoreError, "Secrets Officer"),
        (Refusal(409, "Conflict", "said by the stand-in", "ObjectIsBeingDeleted"), UnreachableError, "it-pending"),
        (Refusal(400, "BadParameter", "said by the stand-in"), StoreError, "BadParameter"),
    ],
    ids=["firewall", "no role", "being deleted", "anything else"],
)
def test_what_azure_refuses_is_reported_with_its_remedy_and_without_its_text(
    place: LiveVault, impatient: None, refusal: Refusal, kind: type[SecretopsError], named: str
) -> None:
    store = place.again().open()
    place.vault.faults.append(Fault(refusal=refusal, operation="SetSecret", times=10))
    with pytest.raises(kind, match=named) as caught:
        store.add("it", version(V[1]), make())
    assert caught.value.remedy and "stand-in" not in str(caught.value)
    assert caught.value.__cause__ is None
    place.vault.faults.clear()


def granted(place: LiveVault, principal: Principal) -> AzureStore:
    from tools.key_vault.roles import SECRETS_OFFICER

    place.vault.access.grant(principal.oid, SECRETS_OFFICER)
    return place.location


def test_azure_identitys_own_chain_leads_to_the_store(place: LiveVault, azure_environment: Principal) -> None:
    value = publish(place, V[1])
    store, _ = open_store(granted(place, azure_environment), role="operator")
    assert store.read("it", V[1], purpose="test") == value


@pytest.mark.parametrize(
    ("environment", "location", "kind"),
    [
        ({"IDENTITY_HEADER": "wrong"}, {}, UsageError),
        ({}, {"vault": "https://no-such-vault.vault.azure.net"}, UnreachableError),
        ({"REQUESTS_CA_BUNDLE": None}, {}, StoreError),
        ({}, {"vault": "http://kv.vault.azure.net"}, StoreError),
    ],
    ids=["no login", "no such vault", "a stranger", "no TLS"],
)
def test_what_the_sdk_can_not_do_is_told_with_its_remedy(
    environment: dict[str, str | None],
    location: dict[str, str],
    kind: type[SecretopsError],
    request: pytest.FixtureRequest,
) -> None:
    place, azure_environment, monkeypatch = map(request.getfixturevalue, ("place", "azure_environment", "monkeypatch"))
    request.getfixturevalue("impatient")
    for name, text in environment.items():
        if text is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, text)
    where = granted(place, azure_environment).model_copy(update=location)
    with pytest.raises(kind) as caught:
        open_store(where, role="operator")[0].versions("it")
    assert caught.value.remedy


WITHOUT = """
import sys
sys.modules["azure"] = sys.modules["azure.core"] = None
from secretops.errors import UsageError
from secretops.manifest import AzureStore
from secretops.launcher.sources import open_source
from secretops.stores import open_store
for act in (
    lambda: open_store(
        AzureStore(tenant="t", vault="https://v", secrets={}, pending={}, lease="https://l"), role="operator"
    ),
    lambda: open_source("azure-kv:some.vault.azure.net/mqtt"),
):
    try:
        act()
    except UsageError as error:
        assert error.remedy
    else:
        raise SystemExit("it was not refused")
"""


def test_an_installation_without_azures_sdk_says_which_extra_to_install() -> None:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("AZURE_")}
    command = [sys.executable, "-c", WITHOUT]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2], timeout=DEADLINE, env=environment)
