"""The AWS platform under mocks: the resources that the program registers."""

import json
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.aws import redeploy_handler, task
from components.aws.lambda_package import ARCHITECTURE, PYTHON
from components.aws.names import Names
from components.settings.remote_constraints import FETCHED
from components.settings.sections import Rotation
from secretops.launcher.polling_source import BACKOFF_FACTOR, POLL_SECONDS, RETRY_SECONDS
from secretops.launcher.settings import SECRET_VARIABLES
from secretops.manifest import Manifest
from secretops.platforms.aws.labels import NO_VALUE
from secretops.platforms.aws.location import AwsStoreLocation
from tests.unit import aws_stack
from tests.unit.aws_stack import OPERATOR, on_aws, with_every_option
from tests.unit.harness import Deployed, before, texts

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")

SECRET, ROTATION = "aws:secretsmanager/secret:Secret", "aws:secretsmanager/secretRotation:SecretRotation"
FUNCTION, ROLE, BUCKET = "aws:lambda/function:Function", "aws:iam/role:Role", "aws:s3/bucket:Bucket"
KEY, LOG = "aws:kms/key:Key", "aws:cloudwatch/logGroup:LogGroup"
ALARM, FILTER = "aws:cloudwatch/metricAlarm:MetricAlarm", "aws:cloudwatch/logMetricFilter:LogMetricFilter"


@pytest.fixture
def prod() -> Deployed:
    return aws_stack.prod()


@pytest.fixture
def trial() -> Deployed:
    return on_aws(stack="dev-trial")


def inputs(deployed: Deployed, name: str) -> Any:
    return deployed.resources[name].inputs


def containers(deployed: Deployed) -> dict[str, Any]:
    return {one["name"]: one for one in json.loads(inputs(deployed, "task")["containerDefinitions"])}


def manifest_of(deployed: Deployed) -> Manifest:
    return Manifest.model_validate(deployed.exports["secretops"])


def store_of(manifest: Manifest) -> AwsStoreLocation:
    assert isinstance(manifest.store, AwsStoreLocation)
    return manifest.store


def test_no_other_account_is_touched_than_the_one_that_the_file_names(prod: Deployed) -> None:
    provider = inputs(prod, "aws")
    assert json.loads(provider["allowedAccountIds"]) == ["123456789012"]
    assert provider["region"] == "eu-central-1"
    assert store_of(manifest_of(prod)).account == "123456789012", "by which secretops refuses another's, too"
    assert not {"accessKey", "secretKey", "token", "profile"} & provider.keys()


def test_the_environment_of_a_deployment_is_in_no_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    canary = f"Canary{secrets.token_hex(12)}"
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "MQTT_PASSWORD", "MCP_HTTP_TOKEN"):
        monkeypatch.setenv(name, canary)
    deployed = on_aws(into=Deployed())
    assert canary not in "\n".join(
        [*texts([vars(each) for each in deployed.resources.values()]), *texts(deployed.exports)]
    )


def test_the_manifest_has_fields_and_readers(prod: Deployed) -> None:
    store = store_of(manifest_of(prod))
    assert store.fields == {secret.name: secret.fields for secret in manifest_of(prod).secrets}
    assert store.readers.keys() == set(store.secrets.values())
    assert store.readers["coreflux-mcp/prod/broker-admin"] == (
        "arn:aws:iam::123456789012:role/coreflux-mcp-prod-eu-central-1@rotate-broker-admin",
        "arn:aws:iam::123456789012:role/coreflux-mcp-prod-eu-central-1@rotate-mqtt",
        "arn:aws:iam::123456789012:role/coreflux-mcp-prod-eu-central-1@tick",
        OPERATOR,
    )


def test_values_and_records_are_protected_in_production_alone(prod: Deployed, trial: Deployed) -> None:
    retained = {each.name for each in prod.resources.values() if each.type in (SECRET, KEY, BUCKET)}
    assert {each.name for each in prod.resources.values() if each.protected} == {*retained, "trail-log", "trail-trail"}
    assert [each.name for each in trial.resources.values() if each.protected] == []


def names(stack: str = "prod", **more: Any) -> Names:
    return Names(stack=stack, account="123456789012", region="eu-central-1", **more)


@pytest.mark.parametrize("secret", ["my-secret", "x-abcdef", "db-abc123"])
def test_no_secrets_name_ends_like_an_arn(secret: str) -> None:
    assert not re.search(r"-[A-Za-z0-9]{6}$", names().secret(secret))
    assert names().secret(secret) == f"coreflux-mcp/prod/{secret}_", "which no catalog has a name like"


LONG = "x" * 100


@pytest.mark.parametrize("stack", ["prod", "a", "Plant_7.eu", LONG, LONG[:-1] + "y", "plant-" * 16])
def test_names_are_those_that_aws_takes(stack: str) -> None:
    of = names(stack)
    assert re.fullmatch(r"[\w+=,.@-]{1,64}", of.role("rotate-broker-admin"))
    assert re.fullmatch(r"[a-zA-Z0-9-]{1,64}", of.plain("rotate-broker-admin"))
    assert re.fullmatch(r"[a-zA-Z0-9-]{1,80}", of.letters)
    assert re.fullmatch(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?", of.balancer)
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", of.bucket)
    assert re.fullmatch(r"[\w/+=.@-]{1,512}", of.secret("x" * 40))
    assert re.fullmatch(r"[\w./#-]{1,512}", of.log_group("trail"))


def _all(of: Names) -> tuple[str, ...]:
    return of.role("tick"), of.plain("tick"), of.balancer, of.bucket, of.secret("mqtt")


def test_no_two_stacks_share_a_name() -> None:
    stacks = ["prod", "prod-2", "prod_2", "prod.2", LONG, LONG[:-1] + "y", "prod-tick"]
    for stack_names in zip(*map(_all, map(names, stacks)), strict=True):
        assert len(set(stack_names)) == len(stacks)
    assert not names("prod-2").role("tick").startswith(names("prod").roles)
    assert names("prod").at("eu-west-1").role("tick") != names("prod").role("tick"), "IAM is global"


def test_a_user_and_a_role_with_a_path_are_known_as_cloudtrail_shows_them() -> None:
    sso = (
        "arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/eu-central-1/AWSReservedSSO_Ops_0123456789abcdef"
    )
    user = "arn:aws:iam::123456789012:user/alice"
    assert names().sessions(sso) == "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Ops_0123456789abcdef/*"
    assert names().sessions(user) == user


def test_generated_secrets_rotate_quarterly_and_not_at_once(prod: Deployed) -> None:
    rotations = {one.name: one.inputs for one in prod.of_type(ROTATION)}
    assert rotations.keys() == {"rotate-broker-admin-schedule", "rotate-mqtt-schedule"}
    for one in rotations.values():
        assert one["rotationRules"] == {"automaticallyAfterDays": 90, "duration": "3h"}
        assert one["rotateImmediately"] is False, "the secret has no value yet"


@pytest.mark.parametrize("secret", ["mqtt", "broker-admin"])
def test_a_rotation_is_set_up_after_who_may_call_what_it_may_and_who_may_read(prod: Deployed, secret: str) -> None:
    what = f"rotate-{secret}"
    assert {f"{what}-called", f"{what}-grants", f"policy-{secret}"} <= before(prod, f"{what}-schedule")
    assert f"{what}-grants" in before(prod, f"{what}-function")
    assert {"tick-grants", "schedule-grants", "policy-mqtt", "lease", "letters"} <= before(prod, "schedule")
    assert {"trail-bucket-policy", "trail-grants"} <= before(prod, "trail-trail")


@pytest.mark.parametrize("secret", ["mqtt", "broker-admin"])
def test_secrets_manager_calls_a_function_for_its_one_secret(prod: Deployed, secret: str) -> None:
    called, rotation = inputs(prod, f"rotate-{secret}-called"), inputs(prod, f"rotate-{secret}-schedule")
    assert called["principal"] == "secretsmanager.amazonaws.com"
    assert called["sourceAccount"] == "123456789012"
    arn = f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:coreflux-mcp/prod/{secret}-"
    assert called["sourceArn"] == f"{arn}??????", "Lambda compares it by StringLike"
    assert rotation["secretId"].startswith(arn)
    assert called["function"] == f"coreflux-mcp-prod-rotate-{secret}"
    assert rotation["rotationLambdaArn"].endswith(f":function:coreflux-mcp-prod-rotate-{secret}")


@pytest.mark.parametrize(("function", "retries"), [("rotate-mqtt", 0), ("rotate-broker-admin", 0), ("tick", 1)])
def test_failed_call_is_retried_and_never_overlaps_the_next(prod: Deployed, function: str, retries: int) -> None:
    queue, code = inputs(prod, f"{function}-queue"), inputs(prod, f"{function}-function")
    assert queue["functionName"] == code["name"]
    assert queue["maximumRetryAttempts"] == retries
    assert code["timeout"] < queue["maximumEventAgeInSeconds"] <= 1800, "a retry of the tick ends within its hour"


def test_each_function_has_a_role_of_its_own_and_logs_json(prod: Deployed) -> None:
    for deployed in (prod, with_every_option()):
        for function in deployed.of_type(FUNCTION):
            fields = function.inputs
            assert fields["loggingConfig"] == {"logFormat": "JSON", "logGroup": f"/aws/lambda/{fields['name']}"}
            assert fields["role"].startswith("arn:aws:iam::123456789012:role/coreflux-mcp-prod-eu-central-1@")
            assert (fields["runtime"], fields["architectures"]) == (f"python{PYTHON}", [ARCHITECTURE])
        roles = [function.inputs["role"] for function in deployed.of_type(FUNCTION)]
        assert len({*roles}) == len(roles)


@pytest.mark.parametrize("function", ["rotate-mqtt-function", "tick-function"])
def test_a_rotating_function_is_the_package_with_the_stacks_manifest_and_ca(prod: Deployed, function: str) -> None:
    ca, assets = aws_stack.ca(), inputs(prod, function)["code"]["assets"]
    inside = Manifest.model_validate_json(assets["secretops.json"]["text"])
    assert assets["."]["path"].endswith("dist/lambda.zip")
    assert assets["ca.crt"]["text"] == ca.read_text()
    assert inside.broker.ca_file == "/var/task/ca.crt"
    broker = inside.broker.model_copy(update={"ca_file": str(ca)})
    assert inside.model_copy(update={"broker": broker}) == manifest_of(prod)


@pytest.mark.parametrize("there", [True, False])
def test_missing_or_old_package_is_refused_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    zipped = tmp_path / "lambda.zip"
    if there:
        zipped.write_bytes(b"old")
    monkeypatch.setattr("components.aws.lambda_package.ZIP", zipped)
    into = Deployed()
    with pytest.raises(pulumi.RunError, match="make lambda"):
        on_aws(into=into, package=False)
    assert into.resources == {}


def test_at_the_end_of_a_production_stack_the_bucket_of_records_stays_as_it_is(prod: Deployed, trial: Deployed) -> None:
    guards = ("closed", "owned", "versioned", "encrypted", "locked", "lifecycle", "policy")
    retained = {"trail-bucket", "trail-key", *(f"trail-bucket-{guard}" for guard in guards)}
    assert {each.name for each in prod.resources.values() if each.retained} == retained
    assert {each.name for each in prod.resources.values() if each.name.startswith("trail-bucket")} <= retained
    assert not any(each.retained for each in trial.resources.values())


def test_a_trail_and_a_topic_that_are_there_are_used_and_none_made() -> None:
    topic = "arn:aws:sns:eu-central-1:123456789012:alarms"
    deployed = on_aws(
        ", existing_trail: {arn: 'arn:aws:cloudtrail:eu-central-1:210987654321:trail/org', log_group: org-trail}, "
        f"alert_topic: '{topic}'"
    )
    made = {each.type for each in deployed.resources.values()}
    assert not {"aws:cloudtrail/trail:Trail", BUCKET, "aws:sns/topic:Topic"} & made
    assert "trail-key" not in deployed.resources
    assert {one.inputs["logGroupName"] for one in deployed.of_type(FILTER)} == {"org-trail"}
    assert {tuple(one.inputs["alarmActions"]) for one in deployed.of_type(ALARM)} == {(topic,)}
    assert "trail/org" in deployed.exports["trail"]["records"]
    assert store_of(manifest_of(deployed)).log_group == "org-trail", "by which doctor knows whether alarms are deaf"


# Settings of a company

KEYS = "arn:aws:kms:eu-central-1:123456789012:key/{}2345678-1234-1234-1234-123456789012"
VALUES_KEY, LOGS_KEY, BOUNDARY = KEYS.format(1), KEYS.format(2), "arn:aws:iam::123456789012:policy/boundary"


@pytest.fixture
def company() -> Deployed:
    roles = f"permissions_boundary: '{BOUNDARY}', role_path: /platform/, tags: {{cost-center: '42'}}"
    keys = f"kms_key: '{VALUES_KEY}', log_kms_key: '{LOGS_KEY}'"
    return on_aws(f", {roles}, {keys}", ", architecture: arm64, container_insights: true")


def test_roles_and_tasks_follow_the_companys_settings(prod: Deployed, company: Deployed) -> None:
    roles = [role.inputs for role in company.of_type(ROLE)]
    assert {(role["path"], role["permissionsBoundary"]) for role in roles} == {("/platform/", BOUNDARY)}
    readers = {reader for who in store_of(manifest_of(company)).readers.values() for reader in who}
    assert readers - {OPERATOR} <= {f"arn:aws:iam::123456789012:role/platform/{role['name']}" for role in roles}
    tags = json.loads(inputs(company, "aws")["defaultTags"])["tags"]
    assert tags == {"cost-center": "42", "project": "coreflux-mcp-secrets", "stack": "prod"}
    for deployed, architecture, insights in ((prod, "X86_64", "disabled"), (company, "ARM64", "enabled")):
        assert inputs(deployed, "task")["runtimePlatform"]["cpuArchitecture"] == architecture
        assert inputs(deployed, "cluster")["settings"] == [{"name": "containerInsights", "value": insights}]


def test_the_companys_keys_encrypt_values_and_logs(company: Deployed) -> None:
    logs = {log.name: log.inputs["kmsKeyId"] for log in company.of_type(LOG) if log.name != "trail-log"}
    assert {*logs} >= {"tick-log", "server-log"} and {*logs.values()} == {LOGS_KEY}
    assert {key.name for key in company.of_type(KEY)} == {"trail-key"}
    assert {secret.inputs["kmsKeyId"] for secret in company.of_type(SECRET)} == {VALUES_KEY}
    assert VALUES_KEY in inputs(company, "tick-grants")["policy"]
    assert VALUES_KEY.rpartition("/")[2] in inputs(company, "filter-key-change")["pattern"]


def test_task_has_the_fields_of_its_secrets_by_reference(prod: Deployed) -> None:
    injected = {one["name"]: one["valueFrom"] for one in containers(prod)["server"]["secrets"]}
    start = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:coreflux-mcp/prod"
    assert injected == {
        "MQTT_USER": f"{start}/mqtt-AbCdEf:username::",
        "MQTT_PASSWORD": f"{start}/mqtt-AbCdEf:password::",
        "DO_AGENT_API_KEY": f"{start}/agent-key-AbCdEf:api-key::",
        "MCP_HTTP_TOKEN": f"{start}/http-token-AbCdEf:token::",
    }
    assert prod.exports["references"]["variables"] == injected
    assert {"MQTT_USER", *SECRET_VARIABLES} == injected.keys(), "all that the launcher takes from its environment"


def test_service_keeps_tasks_until_new_ones_are_healthy_or_rolls_back(prod: Deployed) -> None:
    service, task = inputs(prod, "service"), inputs(prod, "task")
    assert service["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
    assert (service["deploymentMinimumHealthyPercent"], service["deploymentMaximumPercent"]) == (100, 200)
    assert service["waitForSteadyState"] is False, "values come after pulumi up"
    assert service["desiredCount"] == 2
    assert "task-start-grants" in before(prod, "service")
    assert task["skipDestroy"] is True, "ECS may go back to it"
    assert task["executionRoleArn"].endswith("role/coreflux-mcp-prod-eu-central-1@task-start")
    assert task["taskRoleArn"].endswith("role/coreflux-mcp-prod-eu-central-1@task")


class Service:
    """A fake of ECS: one service and its deployments. The last is PRIMARY, earlier ones are ACTIVE."""

    def __init__(self, begun: datetime) -> None:
        self.deployments: list[dict[str, Any]] = [
            {"status": "PRIMARY", "createdAt": begun, "rolloutState": "COMPLETED"}
        ]
        self.calls: list[dict[str, Any]] = []
        self.now = begun

    @property
    def primary(self) -> dict[str, Any]:
        (found,) = (one for one in self.deployments if one["status"] == "PRIMARY")
        return found

    def describe_services(self, **_: Any) -> dict[str, Any]:
        return {"services": [{"deployments": [dict(one) for one in self.deployments]}]}

    def update_service(self, **calls: Any) -> None:
        self.calls.append(calls)
        self.primary["status"] = "ACTIVE"
        self.deployments.insert(0, {"status": "PRIMARY", "createdAt": self.now, "rolloutState": "IN_PROGRESS"})


NOON, AN_HOUR, A_MINUTE = datetime(2026, 11, 25, 12, tzinfo=UTC), timedelta(hours=1), timedelta(minutes=1)


def queue_messages(*times: datetime, name: str) -> dict[str, Any]:
    """Return a queue message for each time at which a label moved. EventBridge truncates times to seconds."""
    return {
        "Records": [
            {
                "messageId": f"{time:%H:%M:%S}",
                "body": json.dumps({"time": f"{time:%Y-%m-%dT%H:%M:%SZ}", "detail": {"name": name}}),
            }
            for time in times
        ]
    }


class Secrets(dict[str, str]):
    """A fake of Secrets Manager: name -> the version that has AWSCURRENT."""

    def describe_secret(self, *, SecretId: str) -> dict[str, Any]:  # noqa: N803 - as boto3 has it
        return {"VersionIdsToStages": {self[SecretId]: ["AWSCURRENT"]}} if SecretId in self else {}


VALUES = {"mqtt": "a-version", "http-token": "a-version"}


def again(service: Service, *times: datetime, secrets: Mapping[str, str] = VALUES, name: str = "mqtt") -> set[str]:
    answer = redeploy_handler.handle(queue_messages(*times, name=name), None, service, Secrets(secrets))
    return {one["itemIdentifier"] for one in answer["batchItemFailures"]}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    for variable, text in {"CLUSTER": "a-cluster", "SERVICE": "a-service", "SECRETS": " ".join(VALUES)}.items():
        monkeypatch.setenv(variable, text)
    made = Service(NOON - AN_HOUR)
    made.now = NOON + 2 * A_MINUTE  # the delay and the window are over
    return made


def test_three_labels_in_a_minute_are_one_deployment(service: Service) -> None:
    labels = [NOON, NOON + timedelta(seconds=20), NOON + timedelta(seconds=50)]
    assert len(again(service, labels[0]) | again(service, *labels[1:])) == 3, "each comes again"
    service.primary["rolloutState"] = "COMPLETED"
    assert again(service, *labels) == set()
    assert service.calls == [{"cluster": "a-cluster", "service": "a-service", "forceNewDeployment": True}]


@pytest.mark.parametrize(
    ("begun", "state", "calls"),
    [
        pytest.param(timedelta(seconds=0.5), "COMPLETED", 1, id="in the second of the label, which may be later"),
        pytest.param(A_MINUTE, "IN_PROGRESS", 0, id="since, and under way"),
        pytest.param(A_MINUTE, "FAILED", 1, id="since, and failed with nothing to go back to"),
    ],
)
def test_deployment_starts_unless_one_has_begun_since(
    service: Service, begun: timedelta, state: str, calls: int
) -> None:
    service.primary.update(createdAt=NOON + begun, rolloutState=state)
    assert again(service, NOON) == {"12:00:00"}
    assert len(service.calls) == calls


def test_new_version_of_a_secret_that_no_task_reads_starts_no_deployment(service: Service) -> None:
    assert again(service, NOON, name="agent-admin") == set()
    assert service.calls == []


@pytest.mark.parametrize("http_token", [{}, {"http-token": NO_VALUE}], ids=["never", "empty"])
def test_first_values_an_hour_apart_leave_no_dead_letter(service: Service, http_token: dict[str, str]) -> None:
    """A task needs all values to start, so ECS gives up on each deployment before the last value arrives."""
    service.deployments = [{"status": "PRIMARY", "createdAt": service.now, "rolloutState": "FAILED"}]
    assert again(service, NOON, secrets={"mqtt": "a-version", **http_token}) == set()
    assert service.calls == []
    service.now = NOON + AN_HOUR
    assert again(service, service.now) != set(), "it asks for a deployment, and waits for it"
    assert len(service.calls) == 1
    service.primary["rolloutState"] = "COMPLETED"
    assert again(service, NOON) == set(), "which has brought the first one, too"


def test_a_stack_of_aws_has_at_most_95_resources() -> None:
    """The number includes the stack itself, and the options of Pulumi.prod.yaml."""
    assert len(on_aws(server=", reference: Fetched", broker=f", ca_file: {aws_stack.ca()}").resources) + 1 <= 95


def test_the_default_grace_is_longer_than_a_new_version_takes(prod: Deployed) -> None:
    queue, taken = inputs(prod, "new-versions"), inputs(prod, "new-versions-taken")
    looked = queue["visibilityTimeoutSeconds"] * json.loads(queue["redrivePolicy"])["maxReceiveCount"]
    assert taken["functionResponseTypes"] == ["ReportBatchItemFailures"]
    assert 2 * task.ROLLOUT <= looked < manifest_of(prod).grace_seconds
    gathered = queue["delaySeconds"] + taken["maximumBatchingWindowInSeconds"]
    assert task.REDEPLOYED == gathered + task.ROLLOUT < Rotation().grace_seconds
    assert FETCHED >= 1.1 * (POLL_SECONDS + BACKOFF_FACTOR * RETRY_SECONDS), "a poll that fails, and the next"
