"""Prod end to end, as far as it goes without an account: the real engine, CLI and SDK; a real broker.

The provider is the stand-in (tools/standin says what that does not prove). Secrets Manager, KMS, IAM and ECS are moto,
the first with AWS' own rules (tests/real/strict_secrets_manager). What AWS would call is called here, and runs from the
packages that the stack declares (tests/real/lambda_runtime).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from moto.ecs.models import ecs_backends

from secretops.values import new_password
from tests.gates.test_leak import forms
from tests.real.aws_stack import STEPS
from tests.real.mosquitto import Mosquitto
from tests.real.moto import ACCOUNT, REGION, Aws
from tests.real.strict_secrets_manager import strict
from tests.stacks.prod import Prod, new_prod

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def deployed(moto: Aws, broker: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prod]:
    """After `pulumi up`. No value is anywhere yet."""
    stack = new_prod(tmp_path_factory.mktemp("prod"), broker, moto)
    assert "STAND-IN for aws" in stack.up()
    with strict(moto) as strictly:
        yield Prod(stack, broker, strictly)


@pytest.fixture(scope="module")
def rotated(deployed: Prod) -> Prod:
    """With an operator's values and three rotations of mqtt, whose credential logged in after each step.

    AWS' calls go to the function that the stack declares: its handler, variables and package.
    """
    admin = dict(deployed.broker.admin)
    deployed.values.add(admin["password"])
    deployed.operator("put", "broker-admin", given=json.dumps(admin))
    deployed.operator("put", "http-token", given=new_password())
    deployed.operator("put", "agent-key", given=f"canary-{new_password()}/+ %")
    rotations, users = deployed.rotations, []
    with deployed.function("rotate-mqtt") as rotations.rotates:
        for turn in range(3):
            token = rotations.begin()
            for step in STEPS:
                rotations.step(step, token)
                if turn or step == "finishSecret":
                    assert deployed.log_in(deployed.injected()) == "Success", step
            users.append(deployed.injected()["MQTT_USER"])
            rotations.skip_grace()
    assert users == [*rotations.manifest.secret("mqtt").users, users[0]]
    return deployed


def test_what_the_stack_made_is_in_secrets_manager_without_a_value(deployed: Prod) -> None:
    place = deployed.rotations.place
    for name in (*place.secrets.values(), place.lease):
        about = deployed.moto.secrets_manager.describe_secret(SecretId=name)
        key = deployed.moto.client("kms").describe_key(KeyId=about["KmsKeyId"])["KeyMetadata"]
        assert key["KeyManager"] == "CUSTOMER"
        assert deployed.moto.client("kms").get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]
        policy = deployed.moto.secrets_manager.get_resource_policy(SecretId=name)["ResourcePolicy"]
        assert {one["Effect"] for one in json.loads(policy)["Statement"]} >= {"Deny"}


def test_functions_and_operators_are_told_the_same(deployed: Prod) -> None:
    told = deployed.outputs["secretops"]
    packed = deployed.rotations.manifest.model_dump(mode="json")
    assert packed == {**told, "broker": {**told["broker"], "ca_file": str(deployed.broker.ca_file)}}


def test_every_reference_of_the_task_resolves_to_what_logs_in(rotated: Prod) -> None:
    given = rotated.injected()
    assert {"MQTT_USER", "MQTT_PASSWORD"} < given.keys()
    assert [name for name, text in given.items() if not text] == []
    assert rotated.log_in(given) == "Success"


def test_the_tick_that_the_stack_declares_shuts_the_replaced_user_out_and_counts_what_it_found(rotated: Prod) -> None:
    rotations = rotated.rotations
    replaced = rotations.labelled("AWSPREVIOUS")
    assert rotations.log_in(replaced) == "Success", "nobody has shut it out yet"
    with rotated.function("tick") as rotations.ticks:
        assert "retired" in str(rotations.tick_function()["mqtt"])
        lines = [json.loads(line) for line in rotations.ticks.log.read_text().splitlines() if '"_aws"' in line]
    assert rotations.log_in(replaced) != "Success"
    assert rotated.log_in(rotated.injected()) == "Success"
    (counted,) = lines
    alarm = rotated.resource("alarm-tick-failed")
    assert alarm["dimensions"] == {"Stack": counted["Stack"]}
    assert [one["Namespace"] for one in counted["_aws"]["CloudWatchMetrics"]] == [alarm["namespace"]]
    assert (counted["Failed"], counted["Overdue"]) == (0, 0)


def test_three_new_versions_in_a_minute_are_one_deployment(deployed: Prod) -> None:
    """By the function that the stack declares, on moto's ECS. The runtime's own boto3 is this environment's."""
    told, ecs = deployed.resource("redeploy-service-function")["environment"]["variables"], deployed.moto.client("ecs")
    ecs.create_cluster(clusterName=told["CLUSTER"].rpartition("/")[2])
    task = deployed.resource("task")
    ecs.register_task_definition(
        containerDefinitions=json.loads(task["containerDefinitions"]),
        **{name: task[name] for name in ("family", "cpu", "memory", "networkMode", "requiresCompatibilities")},
    )
    ecs.create_service(
        cluster=told["CLUSTER"], serviceName=told["SERVICE"], taskDefinition=task["family"], desiredCount=1
    )
    service = ecs_backends[ACCOUNT][REGION]._get_service(told["CLUSTER"], told["SERVICE"])
    service.deployments[0]["createdAt"] = datetime.now(UTC) - timedelta(hours=1)
    labels = [f"{datetime.now(UTC) - timedelta(seconds=ago):%Y-%m-%dT%H:%M:%SZ}" for ago in (60, 40, 10)]
    records = [
        {"messageId": each, "body": json.dumps({"detail-type": "Secret Label Updated", "time": each})}
        for each in labels
    ]
    begun, again = [service.deployments[0]["id"]], []
    with deployed.function("redeploy-service", brings=[Path(boto3.__file__).parents[1]]) as function:
        for batch in (records[:1], records[1:], records):
            again.append(len(function.invoke({"Records": batch})["batchItemFailures"]))
            begun.append(service.deployments[0]["id"])
            if len(batch) == 2:
                service.deployments[0]["rolloutState"] = "COMPLETED"  # moto's never is: it starts no task
    assert len(set(begun)) == 2, "one deployment beside the one that was there"
    assert begun[1] == begun[2] == begun[3]
    assert again == [1, 2, 0], "messages come again until the deployment is completed"


def test_after_rotations_refresh_and_preview_find_nothing_and_no_value_is_anywhere(rotated: Prod) -> None:
    stack = rotated.stack
    done = stack.run("preview", "--refresh", "--diff", "--expect-no-changes")
    assert done.returncode == 0, done.stdout[-4000:]
    kept = [path.read_text() for path in (stack.home / "state").rglob("*") if path.is_file()]
    whole = "\0".join([*stack.said, stack.state(), *kept]).encode()
    assert len(rotated.values) >= 6, "an admin's, a token, an agent key, and three passwords of mqtt"
    found = rotated.injected()["MQTT_PASSWORD"] in rotated.values
    assert found, "what is looked for can be found"
    leaks = sum(form in whole for value in rotated.values for form in forms(value))
    assert leaks == 0  # a failure shows no value either


def test_prod_is_destroyed_only_once_somebody_takes_its_protection_away(rotated: Prod) -> None:
    stack, place = rotated.stack, rotated.rotations.place
    refused = stack.run("destroy", "--yes")
    assert refused.returncode != 0
    assert "protected" in refused.stdout
    assert stack.run("state", "unprotect", "--all", "--yes", config=False).returncode == 0
    done = stack.run("destroy", "--yes", "--skip-preview")
    assert done.returncode == 0, done.stdout[-4000:]
    for name in (*place.secrets.values(), place.lease):
        about = rotated.moto.secrets_manager.describe_secret(SecretId=name)
        assert (about["DeletedDate"] - about["LastChangedDate"]).days >= 29, "30 days to change one's mind"
