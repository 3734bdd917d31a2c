"""Each component alone in another program, with a few arguments; and a provider of that program, used and checked."""

import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pulumi
import pytest

from components.arguments import CorefluxSecretsArgs
from components.coreflux_secrets import CorefluxSecrets
from components.settings.section import PROJECT_FOLDER
from components.vault.args import VaultServerArgs
from tests.unit.alone import ALONE, AWS, IMAGE, OPERATOR, VAULT, component, later
from tests.unit.aws_stack import CA, a_package
from tests.unit.azure_ids import TENANT
from tests.unit.harness import Deployed, deploy
from tests.unit.stack_file import StackFile

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")


def run(program: Callable[[str], object]) -> Deployed:
    return deploy(StackFile({}, []), "shop", program=lambda: cast(None, program("x")))


@pytest.mark.parametrize("platform", ALONE)
def test_each_component_works_alone_by_one_provider_and_asks_no_daemon(
    platform: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    source = "".join(path.read_text() for path in (PROJECT_FOLDER / "components" / platform).glob("*.py"))
    # A function is a part of a rotation alone.
    left = set(re.findall(r'super\(\).__init__\(\s*"(coreflux-mcp-secrets:\w+:\w+)"', source)) - {
        "coreflux-mcp-secrets:aws:Function"
    }
    for alone in ALONE[platform]:
        made = run(alone.deploy)
        left.discard(made.resources["x"].type)
        assert alone.child in made.resources
        providers = {one.provider for one in made.resources.values() if not one.type.startswith("coreflux-")}
        assert len(providers - {""}) == (platform != "dotenv"), alone
    assert left == set(), "add them to tests/unit/alone.py"


def test_only_the_declared_reader_of_aws_is_published_to() -> None:
    store = next(one for one in ALONE["aws"] if one.path.endswith(":AwsSecretStore"))
    other = component("aws.principals:AwsCaller")(arn=OPERATOR)
    with pytest.raises(pulumi.RunError, match="reader-not-declared"):
        run(lambda name: store.deploy(name, reader=other))


ELSEWHERE: list[tuple[str, dict[str, str], dict[str, Any], str]] = [
    (
        "aws.access_trail:AwsAccessTrail",
        {"region": AWS["region"]},
        {"account": "210987654321"},
        "provider-of-other-account",
    ),
    ("azure.secret_store:AzureSecretStore", {}, {"subscription": TENANT}, "provider-of-other-account"),
    ("swarm.identity:SwarmIdentity", {"host": "ssh://a"}, {"host": "ssh://b"}, "provider-of-other-host"),
    (
        "vault.pki:VaultCertificates",
        {"address": VAULT},
        {"server": VaultServerArgs(address="https://b")},
        "provider-of-other-server",
    ),
    ("kubernetes.mcp_server:KubernetesMcpServer", {}, {}, ""),
]
SDKS = {"azure": "pulumi_azure_native", "swarm": "pulumi_docker"}


@pytest.mark.parametrize(("path", "provider", "other", "refusal"), ELSEWHERE)
def test_provider_of_the_program_is_used_and_refused_for_another_place(
    path: str, provider: dict[str, str], other: dict[str, Any], refusal: str
) -> None:
    platform = path.partition(".")[0]
    sdk = importlib.import_module(SDKS.get(platform, f"pulumi_{platform}"))

    def program(name: str, **more: Any) -> None:
        opts = pulumi.ResourceOptions(provider=sdk.Provider("yours", **provider))
        next(one for one in ALONE[platform] if one.path == path).deploy(name, opts, **more)

    package = sdk.__name__.removeprefix("pulumi_").replace("_", "-")
    made = [one for one in run(program).resources.values() if one.type.startswith(f"{package}:")]
    assert {one.provider for one in made} == {"yours"}
    if other:
        with pytest.raises(pulumi.RunError, match=refusal):
            run(lambda name: program(name, **other))


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
