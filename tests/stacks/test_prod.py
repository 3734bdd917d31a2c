"""Prod end to end without a cloud account, with the real engine, CLI and SDKs, and a real broker.

Each cloud has the same tests. The provider is the stand-in (tools/standin lists what it does not prove). On AWS,
Secrets Manager, KMS, IAM and ECS are moto, the first with AWS' own rules (tests/real/strict_secrets_manager); on Azure,
Key Vault is tools/key_vault, which applies the stack's roles, and Storage is Azurite. Tests call or run what a cloud
would, as the stack declares it (tests/real/lambda_runtime, tests/real/container_app).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from moto.ecs.models import ecs_backends

from secretops.values import new_password
from tests.gates.test_leak import forms
from tests.real import azurite
from tests.real.azure import Azure
from tests.real.mosquitto import Mosquitto, start_mosquitto
from tests.real.moto import ACCOUNT, REGION, Aws
from tests.real.strict_secrets_manager import strict
from tests.stacks.prod import Prod
from tests.stacks.prod_aws import AwsProd, new_prod
from tests.stacks.prod_azure import AzureProd, new_azure
from tools.key_vault.management import Management

pytestmark = [pytest.mark.real, pytest.mark.slow]

ON_AWS = pytest.mark.parametrize("deployed", ["aws"], indirect=True)
ON_AZURE = pytest.mark.parametrize("deployed", ["azure"], indirect=True)


@contextmanager
def on_aws(home: Path, broker: Mosquitto, moto: Aws) -> Iterator[Prod]:
    stack = new_prod(home, broker, moto)
    assert "STAND-IN for aws " in stack.up()
    with strict(moto) as strictly:
        yield AwsProd(stack, broker, moto=moto, strict=strictly)


@contextmanager
def on_azure(home: Path, broker: Mosquitto, azure: Azure) -> Iterator[Prod]:
    management = Management(azure.vault)
    management.start()
    try:
        stack = new_azure(home, broker, azure, management)
        assert "STAND-IN for azure-native " in stack.up()
        made = AzureProd(stack, broker, azure=azure, management=management)
        (home / "azurite").mkdir()
        with azurite.running(azure, home / "azurite", made.resource("lease-account")["name"]) as storage:
            # Replaces Azure Resource Manager: the container that the stack declares, and not the blob in it.
            somebody = azure.principal("resource manager")
            storage.service(somebody).create_container(made.resource("lease-container")["name"])
            yield made
    finally:
        management.stop()


@pytest.fixture(scope="module", params=["aws", "azure"])
def deployed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prod]:
    broker = start_mosquitto(tmp_path_factory.mktemp("mosquitto"))
    home = tmp_path_factory.mktemp("prod")
    try:
        if request.param == "aws":
            with on_aws(home, broker, request.getfixturevalue("moto")) as made:
                yield made
        else:
            with on_azure(home, broker, request.getfixturevalue("azure")) as made:
                yield made
    finally:
        broker.stop()


@pytest.fixture(scope="module")
def rotated(deployed: Prod) -> Prod:
    admin = dict(deployed.broker.admin)
    deployed.values.add(admin["password"])
    deployed.operator("put", "broker-admin", stdin=json.dumps(admin))
    deployed.operator("put", "http-token", stdin=new_password())
    deployed.operator("put", "agent-key", "--untested", stdin=f"canary-{new_password()}/+%")
    deployed.rotate_mqtt(3)
    users = deployed.outputs["secretops"]["secrets"]
    (two,) = (one["users"] for one in users if one["name"] == "mqtt")
    assert [one["username"] for one in deployed.history] == [*two, two[0]]
    return deployed


def test_rotators_and_operators_have_the_same_manifest(deployed: Prod) -> None:
    packed, reported = deployed.packed, deployed.reported
    assert packed["broker"]["ca_file"] != reported["broker"]["ca_file"], "each has the broker's CA where it runs"
    assert {**packed, "broker": {**packed["broker"], "ca_file": reported["broker"]["ca_file"]}} == reported


@ON_AZURE
def test_each_identity_may_read_its_own_secrets_and_no_other(rotated: Prod) -> None:
    """Only the role assignments of the stack grant rights here."""
    assert isinstance(rotated, AzureProd)
    store = rotated.reported["store"]
    own = {store["secrets"][name] for name in rotated.outputs["references"]["secrets"]}
    assert rotated.may_read(rotated.principal("server-identity")) == own
    assert own < set(store["secrets"].values())
    everything = {*store["secrets"].values(), *store["pending"].values()}
    assert rotated.may_read(rotated.principal("rotator-identity")) == everything
    assert rotated.may_read(rotated.principal("platform-identity")) == set()
    assert rotated.may_read(rotated.azure.principal("nobody")) == set()


def test_tick_that_the_stack_declares_retires_the_replaced_user(rotated: Prod) -> None:
    replaced = rotated.history[-2]
    assert rotated.log_in(replaced) == "Success", "nobody has shut it out yet"
    assert "retired" in rotated.tick()
    assert rotated.log_in(replaced) != "Success"
    assert rotated.log_in(rotated.served()) == "Success"


@ON_AWS
def test_three_new_versions_in_a_minute_are_one_deployment(rotated: Prod) -> None:
    """The function that the stack declares runs, with moto's ECS. Lambda's own boto3 is that of this environment."""
    assert isinstance(rotated, AwsProd)
    reported, ecs = (
        rotated.resource("redeploy-service-function")["environment"]["variables"],
        rotated.moto.client("ecs"),
    )
    ecs.create_cluster(clusterName=reported["CLUSTER"].rpartition("/")[2])
    task = rotated.resource("task")
    ecs.register_task_definition(
        containerDefinitions=json.loads(task["containerDefinitions"]),
        **{name: task[name] for name in ("family", "cpu", "memory", "networkMode", "requiresCompatibilities")},
    )
    ecs.create_service(
        cluster=reported["CLUSTER"], serviceName=reported["SERVICE"], taskDefinition=task["family"], desiredCount=1
    )
    service = ecs_backends[ACCOUNT][REGION]._get_service(reported["CLUSTER"], reported["SERVICE"])
    service.deployments[0]["createdAt"] = datetime.now(UTC) - timedelta(hours=1)
    labels = [f"{datetime.now(UTC) - timedelta(seconds=ago):%Y-%m-%dT%H:%M:%SZ}" for ago in (60, 40, 10)]
    records = [
        {"messageId": each, "body": json.dumps({"time": each, "detail": {"name": reported["SECRETS"].split()[0]}})}
        for each in labels
    ]
    begun, again = [service.deployments[0]["id"]], []
    with rotated.function("redeploy-service", brings=[Path(boto3.__file__).parents[1]]) as function:
        for batch in (records[:1], records[1:], records):
            again.append(len(function.invoke({"Records": batch})["batchItemFailures"]))
            begun.append(service.deployments[0]["id"])
            if len(batch) == 2:
                service.deployments[0]["rolloutState"] = "COMPLETED"  # moto's never is: it starts no task
    assert len(set(begun)) == 2, "one deployment next to the existing one"
    assert begun[1] == begun[2] == begun[3]
    assert again == [1, 2, 0], "messages come again until the deployment is completed"


def test_after_rotations_refresh_and_preview_find_nothing_and_no_value_is_anywhere(rotated: Prod) -> None:
    stack = rotated.stack
    done = stack.run("preview", "--refresh", "--diff", "--expect-no-changes")
    assert done.returncode == 0, done.stdout[-4000:]
    kept = [path.read_text() for path in (stack.home / "state").rglob("*") if path.is_file()]
    whole = "\0".join([*stack.output, stack.state(), *kept]).encode()
    assert len(rotated.values) >= 6, "an admin's, a token, an agent key, and three passwords of mqtt"
    found = rotated.served()["password"] in rotated.values
    assert found, "what is looked for can be found"
    leaks = sum(form in whole for value in rotated.values for form in forms(value))
    assert leaks == 0  # a failure must not print a value


@ON_AZURE
def test_removed_operator_reads_nothing_and_the_others_go_on(rotated: Prod) -> None:
    """The update must be one that Azure accepts. Azure refuses to assign the same role to the same principal twice."""
    assert isinstance(rotated, AzureProd)
    leaves, stays = rotated.operators
    may = rotated.may_read(leaves)
    assert may == rotated.may_read(stays) != set()
    rotated.stack.config["store"] |= {"operators": [stays.oid]}
    rotated.stack.configure()
    rotated.stack.up()
    assert rotated.may_read(leaves) == set()
    assert rotated.may_read(stays) == may


def test_prod_is_destroyed_only_without_its_protection(rotated: Prod) -> None:
    stack = rotated.stack
    refused = stack.run("destroy", "--yes")
    assert refused.returncode != 0
    assert "protected" in refused.stdout
    assert stack.run("state", "unprotect", "--all", "--yes", config=False).returncode == 0
    done = stack.run("destroy", "--yes", "--skip-preview")
    assert done.returncode == 0, done.stdout[-4000:]
    rotated.remains()
