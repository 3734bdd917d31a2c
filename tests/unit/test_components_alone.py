"""Each component alone in another program, with a few arguments; and a provider of that program, used and checked."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pulumi
import pytest

from components.arguments import CorefluxSecretsArgs
from components.coreflux_secrets import CorefluxSecrets
from components.settings.section import PROJECT_FOLDER
from tests.unit import alone
from tests.unit.alone import AWS, IMAGE, OPERATOR, PLATFORMS, VAULT, later
from tests.unit.aws_stack import CA, a_package
from tests.unit.azure_ids import SUBSCRIPTION, TENANT
from tests.unit.harness import Deployed, deploy
from tests.unit.stack_file import StackFile

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")

PARTS = {"coreflux-mcp-secrets:aws:Function"}
"""Types of components that are parts of one other alone."""


def run(program: Callable[[str], object]) -> Deployed:
    return deploy(StackFile({}, []), "shop", program=lambda: cast(None, program("x")))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_component_works_alone_by_one_provider_and_asks_no_daemon(
    platform: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    source = "".join(path.read_text() for path in (PROJECT_FOLDER / "components" / platform).glob("*.py"))
    left = set(re.findall(r'super\(\).__init__\(\s*"(coreflux-mcp-secrets:\w+:\w+)"', source)) - PARTS
    for child, program in PLATFORMS[platform]():
        made = run(program)
        left.discard(made.resources["x"].type)
        assert child in made.resources
        providers = {one.provider for one in made.resources.values() if not one.type.startswith("coreflux-")}
        assert len(providers - {""}) == (platform != "dotenv"), child
    assert left == set(), "add a program to tests/unit/alone.py"


def certificates(name: str) -> None:
    import pulumi_vault

    alone.vault_certificates("x", pulumi.ResourceOptions(provider=pulumi_vault.Provider("yours", address=name)))


def trail(account: str) -> None:
    import pulumi_aws

    from components.aws.access_trail import AwsAccessTrail, AwsAccessTrailArgs

    opts = pulumi.ResourceOptions(provider=pulumi_aws.Provider("yours", region=AWS["region"]))
    AwsAccessTrail("x", AwsAccessTrailArgs(account=account, region=AWS["region"]), opts)


def azure_store(subscription: str) -> None:
    import pulumi_azure_native

    opts = pulumi.ResourceOptions(provider=pulumi_azure_native.Provider("yours"))
    alone.azure_store("x", opts, subscription=subscription)


def service(host: str) -> None:
    import pulumi_docker

    from components.swarm.identity import SwarmIdentity, SwarmIdentityArgs

    opts = pulumi.ResourceOptions(provider=pulumi_docker.Provider("yours", host="ssh://manager.example.com"))
    SwarmIdentity("x", SwarmIdentityArgs(host=host), opts)


def pods(_: str) -> None:
    import pulumi_kubernetes

    from components.kubernetes.identity import KubernetesIdentityArgs

    opts = pulumi.ResourceOptions(provider=pulumi_kubernetes.Provider("yours"))
    alone.kubernetes_server("x", KubernetesIdentityArgs(), opts)


@pytest.mark.parametrize(
    ("program", "package", "own"),
    [
        (trail, "aws", AWS["account"]),
        (azure_store, "azure-native", SUBSCRIPTION),
        (service, "docker", "ssh://manager.example.com"),
        (certificates, "vault", VAULT),
        (pods, "kubernetes", ""),
    ],
)
def test_provider_of_the_program_is_used(program: Callable[[str], object], package: str, own: str) -> None:
    made = run(lambda _: program(own))
    found = [one for one in made.resources.values() if one.type.startswith(f"{package}:")]
    assert {one.provider for one in found} == {"yours"}


@pytest.mark.parametrize(
    ("program", "other", "refusal"),
    [
        (trail, "210987654321", r"x-identity: its provider is of .* account 123456789012"),
        (azure_store, TENANT, rf"subscription {SUBSCRIPTION}\n.* {TENANT}(.|\n)*-> "),
        (service, "ssh://elsewhere.example.com", r"its provider is of ssh://manager\.example\.com"),
        (certificates, "https://other.example.com", "give both the same address"),
    ],
)
def test_provider_for_another_place_is_refused(program: Callable[[str], object], other: str, refusal: str) -> None:
    with pytest.raises(pulumi.RunError, match=refusal):
        run(lambda _: program(other))


@pytest.mark.parametrize("reference", ["NativeRef", "Fetched"])
def test_ids_that_are_outputs_reach_resources_policies_and_manifest(reference: str) -> None:
    key = "arn:aws:kms:eu-central-1:123456789012:key/12345678-1234-1234-1234-123456789012"
    topic, boundary = "arn:aws:sns:eu-central-1:123456789012:alarms", "arn:aws:iam::123456789012:policy/boundary"
    fetched = reference == "Fetched"

    def program(name: str) -> None:
        groups, subnets = later([later("sg-0123456789abcdef0")]), later(["subnet-0123456789abcdef0"])
        vpc = {"subnets": subnets, "security_groups": groups, "way_out": later("vpce-0123456789abcdef0")}
        trail = {"arn": later("arn:aws:cloudtrail:eu-central-1:123456789012:trail/org"), "log_group": later("org")}
        own = {"vpc": vpc, "existing_trail": trail, "kms_key": later(key), "log_kms_key": later(key)}
        cluster = {"image": later(IMAGE), "cluster": later("plant"), "subnets": subnets, "security_groups": groups}
        sections = {
            "store": {"kind": "aws", **AWS, "operators": [OPERATOR], **own,
                      "alert_topic": later(topic), "permissions_boundary": later(boundary)},
            "server": {"kind": "ecs", "reference": reference, **cluster},
            "broker": {"kind": "coreflux", "host": "mqtt.example.com", "client_certificate": fetched},
            **({"issuer": {"kind": "aws-private-ca", "arn": later(CA)}} if fetched else {}),
        }  # fmt: skip
        made = CorefluxSecrets(name, cast(CorefluxSecretsArgs, sections))
        pulumi.export("manifest", made.secretops)

    with a_package():
        made = run(program)
    tick, pull = (made.resources[name].inputs["policy"] for name in ("tick-grants", "task-start-grants"))
    assert key in tick and {"aws:SourceVpce": "vpce-0123456789abcdef0"} in [
        one.get("Condition", {}).get("StringEquals") for one in json.loads(tick)["Statement"]
    ]
    assert "repository/coreflux-mcp-secrets" in pull
    filters = [one.inputs["pattern"] for one in made.of_type("aws:cloudwatch/logMetricFilter:LogMetricFilter")]
    assert any('"org"' in pattern for pattern in filters) and any(topic in pattern for pattern in filters)
    packed = made.resources["tick-function"].inputs["code"]["assets"]["secretops.json"]["text"]
    for manifest in (made.exports["manifest"], json.loads(packed)):
        assert (manifest["store"]["log_group"], manifest["store"]["alerts"]) == ("org", topic)
        assert [one["issuer"]["arn"] for one in manifest["secrets"] if one.get("issuer")] == [CA] * fetched
