"""Each component of AWS in another program, with three lines of arguments; and ids that are outputs."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, cast

import pulumi
import pulumi_aws as aws
import pytest

from components.arguments import CorefluxSecretsArgs
from components.aws.access_trail import AwsAccessTrail, AwsAccessTrailArgs
from components.aws.ecs import EcsMcpServer, EcsMcpServerArgs
from components.aws.identity import AwsIdentity, AwsIdentityArgs
from components.aws.principals import AwsCaller
from components.aws.redeploy import Redeploy, RedeployArgs
from components.aws.rotation import AwsRotation, AwsRotationArgs
from components.aws.secret_store import AwsSecretStore, AwsSecretStoreArgs
from components.core.broker import BrokerArgs
from components.core.references import Fetched, NativeRef
from components.coreflux_secrets import CorefluxSecrets
from tests.unit.aws_stack import CA, IMAGE, OPERATOR, READER, a_package
from tests.unit.harness import Deployed, deploy
from tests.unit.stack_file import StackFile

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")

HERE: Any = {"account": "123456789012", "region": "eu-central-1"}
BROKER = BrokerArgs(host="mqtt.example.com")
Program = Callable[[str], object]


def later(entry: Any) -> Any:
    return pulumi.Output.from_input(entry)


def run(program: Program, *, into: Deployed | None = None) -> Deployed:
    return deploy(StackFile({}, []), "shop", program=lambda: cast(None, program("x")), into=into)


def store(name: str) -> None:
    caller = AwsCaller(arn=READER)
    made = AwsSecretStore(name, AwsSecretStoreArgs(**HERE, operators=[OPERATOR], broker=BROKER, reader=caller))
    references = made.publish(reader=caller)
    assert isinstance(references, Fetched) and references.source.startswith("aws-sm:eu-central-1/coreflux-mcp/shop/")
    made.rotate()
    made.record_access()
    with pytest.raises(pulumi.RunError, match="reader-not-declared"):
        made.publish(reader=AwsCaller(arn=OPERATOR))


def server(name: str, references: Fetched | NativeRef | None = None) -> None:
    references = references or Fetched(source="env:", secrets=())
    network: Any = {"subnets": later(["subnet-0123456789abcdef0"]), "security_groups": [later("sg-0123456789abcdef0")]}
    args = EcsMcpServerArgs(**HERE, broker=BROKER, references=references, image=IMAGE, redeploys=False, **network)
    EcsMcpServer(name, args)


def injected(name: str) -> None:
    place = later("arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-AbCdEf:url::")
    server(name, NativeRef(source="env:", secrets=("db",), variables={"DB_URL": place}))


def redeploy(name: str) -> None:
    arns = {what: f"arn:aws:ecs:eu-central-1:123456789012:{what}/plant" for what in ("cluster", "service")}
    args = RedeployArgs(**HERE, cluster=arns["cluster"], service="mcp", service_arn=arns["service"], secrets=["mqtt"])
    Redeploy(name, args)


ALONE: dict[str, Program] = {
    "rotate-mqtt-schedule": store,
    "task-role": lambda name: AwsIdentity(name, AwsIdentityArgs(**HERE)).task(),
    "schedule": lambda name: AwsRotation(name, AwsRotationArgs(**HERE, broker=BROKER, prefix="shop/")),
    "trail-bucket": lambda name: AwsAccessTrail(name, AwsAccessTrailArgs(**HERE, prefix="shop/")),
    "service": server,
    "task": injected,
    "new-versions": redeploy,
}
"""By one of its children."""


@pytest.mark.parametrize("child", ALONE)
def test_each_component_of_aws_works_alone(child: str) -> None:
    assert {child, "aws", "letters"} <= run(ALONE[child]).resources.keys()


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
            "store": {"kind": "aws", **HERE, "operators": [OPERATOR], **own,
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


@pytest.mark.parametrize("account", [HERE["account"], "210987654321"])
def test_provider_of_the_program_is_used_and_its_account_checked(account: str) -> None:
    def program(name: str) -> None:
        provider = aws.Provider("yours", region=HERE["region"])
        args = AwsAccessTrailArgs(account=account, region=HERE["region"])
        AwsAccessTrail(name, args, pulumi.ResourceOptions(provider=provider))

    into = Deployed()
    refused = pytest.raises(pulumi.RunError, match=r"account 123456789012 .provider-of-other-account")
    with nullcontext() if account == HERE["account"] else refused:
        run(program, into=into)
    assert {one.provider for one in into.resources.values() if one.type.startswith("aws:")} == {"yours"}
