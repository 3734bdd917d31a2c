"""What goes wrong between the Azure store and Azure: requests that fail, are refused, or reach nobody."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")

from secretops.errors import SecretopsError, StoreError, UnreachableError
from secretops.stores import open_store
from tests.contract.live_key_vault import DEADLINE, NOW, LiveVault, V, less_patient, make, publish, version
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


def test_azure_identitys_own_chain_leads_to_the_store(place: LiveVault, azure_environment: Principal) -> None:
    value = publish(place, V[1])
    store, _ = open_store(granted(place, azure_environment), role="operator")
    assert store.read("it", V[1], purpose="test") == value


