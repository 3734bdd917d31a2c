"""That docs/operations/doctor.md has the checks of each store, and what secretops mends, as the code has them."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from secretops.manifest import (
    AwsStore,
    AzureStore,
    Broker,
    BrokerKind,
    DotenvStore,
    ExternalAgent,
    KubernetesStore,
    Manifest,
    MqttProtocol,
    SecretKind,
    SwarmStore,
    VaultStore,
)
from secretops.operations.doctor import checks
from secretops.operations.session import Session
from tests.real.stack import make_catalogue

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/operations/doctor.md").read_text()

VAULT = "https://kv-page.vault.azure.net"
STORES: dict[str, Callable[[], object]] = {
    "dotenv": lambda: DotenvStore(root="/nowhere"),
    "kubernetes": lambda: KubernetesStore(
        namespace="n", versions="v", lease="l", readers={"coreflux-mcp-certificate": ()}
    ),
    "aws": lambda: AwsStore(account="1" * 12, region="eu-central-1", secrets={}, lease="coreflux-mcp/page/lease"),
    "azure": lambda: AzureStore(tenant="t", vault=VAULT, secrets={}, pending={}, lease="https://a.invalid/c/lease"),
    "vault": lambda: VaultStore(address="https://v.invalid", mount="m", secrets={}, pending={}, lease="lease"),
    "swarm": lambda: SwarmStore(prefix="p-", book="b", instance="i", service="s", uid=1, image="i"),
}
EXTRAS = {"kubernetes": "lightkube", "aws": "boto3", "azure": "azure.identity", "vault": "hvac", "swarm": "docker"}


def table(heading: str) -> list[dict[str, str]]:
    """The rows of the first table below a heading."""
    lines = PAGE.partition(f"\n## {heading}\n")[2].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    columns = rows[0]
    end = next((at for at, row in enumerate(rows[1:], 1) if len(row) != len(columns)), len(rows))
    return [dict(zip(columns, row, strict=True)) for row in rows[2:end]]


@pytest.mark.parametrize("store", STORES)
def test_the_page_has_the_checks_of_each_store_in_no_other_number(store: str) -> None:
    if store in EXTRAS:
        pytest.importorskip(EXTRAS[store], reason=f"the extra `{store}` is not installed")
    broker = Broker(kind=BrokerKind.MOSQUITTO, host="h", port=1, protocol=MqttProtocol.V5, tls=False)
    manifest = Manifest(
        project="p",
        stack="s",
        store=STORES[store](),  # type: ignore[arg-type]
        broker=broker,
        secrets=tuple(
            each.model_copy(update={"agent": ExternalAgent()}) if each.kind is SecretKind.AGENT_KEY else each
            for each in make_catalogue()
        ),
        grace_seconds=30,
    )
    found = checks(Session.open(manifest, role="operator"))
    of_secrets = {f"{kind} {each.name}": f"{kind} NAME" for kind in ("secret", "login") for each in manifest.secrets}
    names = {of_secrets.get(each.name, each.name) for each in found}
    told = {row["check"].strip("`") for row in table("What it looks at") if row[store] != "–"}
    assert told == names


def test_each_finding_that_the_page_calls_mended_has_its_repair_in_the_code() -> None:
    folder = ROOT / "secretops/src/secretops/operations/doctor"
    source = "\n".join(file.read_text() for file in sorted(folder.glob("*.py")))
    made = re.findall(r'(?:Repair\(|words =)\s*f?"([^"]+)"', source)
    told = [row["what it does"].split("`")[1].removesuffix(" NAME") for row in table("What `--repair` does")]
    assert len(made) > 5
    assert [words for words in made if not words.startswith(tuple(told))] == []
    assert [words for words in told if not any(each.startswith(words) for each in made)] == []


def test_at_least_twenty_five_faults_are_planted_and_each_store_has_some_that_are_mended() -> None:
    """They are planted by the tests of tests/contract, whose tables are counted here. A Swarm's are in no table."""
    planted, mended = 0, 0
    for store in ("dotenv", "kubernetes", "aws", "azure", "vault"):
        module = importlib.import_module(f"tests.contract.test_doctor_{store}")
        here = sum(bool(fault.mended) for fault in module.FAULTS)
        assert here, store
        planted, mended = planted + len(module.FAULTS), mended + here
    assert (planted >= 25, mended >= 10) == (True, True), (planted, mended)
