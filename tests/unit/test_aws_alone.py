"""Each component of AWS in another program, with three lines of arguments; and ids that are outputs."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest

from components.aws.access_trail import AwsAccessTrail, AwsAccessTrailArgs, ExistingTrail
from components.aws.ecs import EcsMcpServer, EcsMcpServerArgs
from components.aws.functions import Vpc
from components.aws.identity import AwsIdentity, AwsIdentityArgs
from components.aws.principals import AwsCaller
from components.aws.redeploy import Redeploy, RedeployArgs
from components.aws.rotation import AwsRotation, AwsRotationArgs
from components.aws.secret_store import AwsSecretStore, AwsSecretStoreArgs
from components.core.broker import BrokerArgs
from components.core.references import Fetched, NativeRef
from tests.unit.aws_stack import IMAGE, OPERATOR, READER
from tests.unit.harness import Deployed, deploy
from tests.unit.stack_file import StackFile

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")

HERE: Any = {"account": "123456789012", "region": "eu-central-1"}
BROKER = BrokerArgs(host="mqtt.example.com")


def known(text: Any) -> pulumi.Output[Any]:
    return pulumi.Output.from_input(text)


def run(program: Callable[[], object], *, into: Deployed | None = None) -> Deployed:
    return deploy(StackFile({}, []), "shop", program=lambda: program() and None, into=into)


def store() -> None:
    caller = AwsCaller(arn=READER)
    made = AwsSecretStore("x", AwsSecretStoreArgs(**HERE, operators=[OPERATOR], broker=BROKER, reader=caller))
    assert made.publish(reader=caller).source.startswith("aws-sm:eu-central-1/coreflux-mcp/shop/mqtt")
    made.rotate(), made.record_access()


def server(*, injected: bool = False) -> EcsMcpServer:
    fetched = Fetched(source="env:", secrets=())
    native = NativeRef(source="env:", secrets=("db",), variables={"DB_URL": known("arn:of:yours")})
    args = EcsMcpServerArgs(
        **HERE, broker=BROKER, references=native if injected else fetched, image=known(IMAGE), cluster=known("plant"),
        subnets=known(["subnet-1"]), security_groups=[known("sg-1")], redeploys=False,
    )  # fmt: skip
    return EcsMcpServer("x", args)


@pytest.mark.parametrize(
    ("program", "child"),
    [
        (store, "schedule"),
        (lambda: AwsIdentity("x", AwsIdentityArgs(**HERE)).task(), "task-role"),
        (lambda: AwsRotation("x", AwsRotationArgs(**HERE, broker=BROKER, prefix="shop/")), "rotate-mqtt-schedule"),
        (lambda: AwsAccessTrail("x", AwsAccessTrailArgs(**HERE, prefix="shop/")), "trail-bucket"),
        (lambda: server(), "service"),
        (lambda: server(injected=True), "task"),
        (
            lambda: Redeploy("x", RedeployArgs(**HERE, cluster="c", service="s", service_arn="a", secrets=["mqtt"])),
            "new-versions",
        ),
    ],
)
def test_each_component_of_aws_works_alone(program: Callable[[], object], child: str) -> None:
    assert {child, "aws", "letters"} <= run(program).resources.keys()


def test_ids_that_are_outputs_reach_resources_and_policies() -> None:
    key = "arn:aws:kms:eu-central-1:123456789012:key/12345678-1234-1234-1234-123456789012"
    exported = {}

    def program() -> None:
        args = AwsSecretStoreArgs(
            **HERE, operators=[OPERATOR], broker=BROKER, kms_key=known(key), alert_topic=known("arn:of:topic"),
            vpc=Vpc(subnets=known(["subnet-1"]), security_groups=[known("sg-1")], way_out=known("vpce-1")),
            existing_trail=ExistingTrail(arn=known("arn:of:trail"), log_group=known("org")),
        )  # fmt: skip
        made = AwsSecretStore("x", args)
        made.rotate()
        pulumi.export("trail", made.record_access().records)
        pulumi.export("manifest", made.manifest_output)

    made = run(program)
    tick = json.loads(made.resources["tick-grants"].inputs["policy"])["Statement"]
    assert key in json.dumps(tick) and {"aws:SourceVpce": "vpce-1"} in [
        one.get("Condition", {}).get("StringEquals") for one in tick
    ]
    assert made.exports["trail"] == "arn:of:trail and the log group org"
    assert made.exports["manifest"]["store"]["log_group"] == "org"
    assert any(
        '"org"' in one.inputs["pattern"] for one in made.of_type("aws:cloudwatch/logMetricFilter:LogMetricFilter")
    )


@pytest.mark.parametrize("account", [HERE["account"], "210987654321"])
def test_provider_of_another_program_is_used_and_its_account_checked(account: str) -> None:
    def program() -> None:
        provider = aws.Provider("yours", region=HERE["region"])
        args = AwsAccessTrailArgs(account=account, region=HERE["region"])
        AwsAccessTrail("x", args, pulumi.ResourceOptions(provider=provider))

    into = Deployed()
    refused = pytest.raises(pulumi.RunError, match="x-identity: its provider is of .* account 123456789012")
    with nullcontext() if account == HERE["account"] else refused:
        run(program, into=into)
    assert {one.provider for one in into.resources.values() if one.type.startswith("aws:")} == {"yours"}
