"""Each component alone in another program, with few arguments. It uses and validates that program's provider."""

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
def test_each_component_works_alone_by_one_provider_without_a_daemon(
    platform: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    source = "".join(path.read_text() for path in (PROJECT_FOLDER / "components" / platform).glob("*.py"))
    # A function is only a part of a rotation.
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
    other = component("aws.principals:AwsCaller")(arn=OPERATOR)
    with pytest.raises(pulumi.RunError, match="reader-not-declared"):
        run(lambda name: ALONE["aws"][1].deploy(name, reader=other))


ELSEWHERE: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "trail-bucket": ("aws", {"region": AWS["region"]}, {"account": "210987654321"}),
    "vault": ("azure_native", {}, {"subscription": TENANT}),
    "network": ("docker", {"host": "ssh://a"}, {"host": "ssh://b"}),
    "pki-client": ("vault", {"address": VAULT}, {"server": VaultServerArgs(address="https://b.example.com")}),
    "deployment": ("kubernetes", {}, {}),
}


@pytest.mark.parametrize("child", ELSEWHERE)
def test_provider_of_the_program_is_used_and_refused_for_another_place(child: str) -> None:
    package, provider, other = ELSEWHERE[child]
    (alone,) = [one for rows in ALONE.values() for one in rows if one.child == child]

    def program(name: str, **more: Any) -> None:
        yours = importlib.import_module(f"pulumi_{package}").Provider("yours", **provider)
        alone.deploy(name, pulumi.ResourceOptions(provider=yours), **more)

    made = [one for one in run(program).resources.values() if one.type.startswith(f"{package.replace('_', '-')}:")]
    assert {one.provider for one in made} == {"yours"}
    if other:
        with pytest.raises(pulumi.RunError, match="provider-of-other-"):
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
