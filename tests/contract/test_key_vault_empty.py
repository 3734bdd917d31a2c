"""Names in a vault that an operator made with nothing in them, should Azure assign no role on a secret that is not
there (docs/adr/0023). The vault is a stand-in that keeps to Azure's description."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")

from secretops.launcher import polled
from tests.contract.live_key_vault import NOW, LiveVault, V, publish
from tests.contract.places import InVault
from tests.real.azure import Azure

pytestmark = pytest.mark.real


@pytest.fixture
def made_first(request: pytest.FixtureRequest, tmp_path: Path, azure: Azure) -> LiveVault:
    place = LiveVault(InVault.fresh(request, tmp_path), azure)
    for name in ("it", "it-pending"):
        place.client.set_secret(name, "{}")
    return place


def test_it_is_no_value_and_no_edit(made_first: LiveVault) -> None:
    store = made_first.open()

    store.settle("it", NOW)
    assert store.versions("it").all == ()
    assert store.astray("it") is None
    assert polled.read("it", "1", "{}") is None


def test_the_first_value_takes_its_place(made_first: LiveVault) -> None:
    value = publish(made_first, V[1])

    assert made_first.delivered() == dict(value)
    assert made_first.open().astray("it") is None
