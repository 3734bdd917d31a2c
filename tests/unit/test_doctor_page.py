"""That docs/operations/doctor.md has the checks of each store, and what secretops mends, as the code has them."""

from __future__ import annotations

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
