"""The AWS platform under mocks: what the program asks the engine for. No account is asked anything here.

Who may what by its policies is for test_aws_policies.py; that they are of the SDK's types, for the stand-in provider.
"""

from __future__ import annotations

import json
import re
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pulumi
import pytest
from botocore.exceptions import ClientError

from components.aws import arrival, deploy_again
from components.aws.names import Names
from components.aws.patterns import FILTER_LIMIT
from components.elsewhere import FETCHED
from components.section import PROJECT_FOLDER
from components.sections import Rotation
from secretops.launcher.listening import Names as HostNames
from secretops.launcher.listening import parse_listen
from secretops.launcher.secrets_manager import EVERY_SECONDS
from secretops.launcher.sources import open_source
from secretops.launcher.variables import OWN_VARIABLES, PUBLIC_VARIABLES, SECRET_VARIABLES
from secretops.manifest import AwsStore, Manifest
from tests.unit.aws_stack import OPERATOR, on_aws, shipped, with_every_option
from tests.unit.harness import Deployed, before, ca_file, texts
from tests.unit.test_components import SDKS, imported
from tools.lambda_package import ARCHITECTURE, PYTHON

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")

SECRET, ROTATION = "aws:secretsmanager/secret:Secret", "aws:secretsmanager/secretRotation:SecretRotation"
FUNCTION, ROLE = "aws:lambda/function:Function", "aws:iam/role:Role"
KEY, LOG = "aws:kms/key:Key", "aws:cloudwatch/logGroup:LogGroup"
ALARM, FILTER = "aws:cloudwatch/metricAlarm:MetricAlarm", "aws:cloudwatch/logMetricFilter:LogMetricFilter"
BUCKET = "aws:s3/bucket:Bucket"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ca_file(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def prod(ca: Path) -> Deployed:
    """The shipped stack, with a CA file that is there."""
    return shipped(ca)


@pytest.fixture(scope="module")
def everything() -> Deployed:
    """With every option that adds something."""
    return with_every_option()


@pytest.fixture(scope="module")
def trial() -> Deployed:
    """A stack that lives for a day."""
    return on_aws(stack="dev-trial")


def inputs(deployed: Deployed, name: str) -> Any:
    return deployed.resources[name].inputs


def containers(deployed: Deployed) -> dict[str, Any]:
    return {one["name"]: one for one in json.loads(inputs(deployed, "task")["containerDefinitions"])}


def manifest_of(deployed: Deployed) -> Manifest:
    return Manifest.model_validate(deployed.exports["secretops"])


def store_of(manifest: Manifest) -> AwsStore:
    assert isinstance(manifest.store, AwsStore)
    return manifest.store


# What there is, and where


def test_the_prod_program_is_an_identity_a_store_with_rotators_and_a_trail_and_a_server(prod: Deployed) -> None:
    components = {
        (each.name, each.parent, each.type.removeprefix("coreflux-mcp-secrets:aws:"))
        for each in prod.resources.values()
        if each.type.startswith("coreflux-mcp-secrets:")
    }

    assert components == {
        ("identity", "", "Identity"),
        ("secrets", "", "SecretStore"),
        ("rotators", "secrets", "Rotators"),
        ("rotate-broker-admin", "rotators", "Function"),
        ("rotate-mqtt", "rotators", "Function"),
        ("tick", "rotators", "Function"),
        ("trail", "secrets", "Trail"),
        ("server", "", "McpServer"),
        ("redeploy", "server", "Redeploy"),
        ("redeploy-service", "redeploy", "Function"),
    }


def test_no_other_account_is_touched_than_the_one_that_the_file_names(prod: Deployed) -> None:
    provider = inputs(prod, "aws")

    assert json.loads(provider["allowedAccountIds"]) == ["123456789012"]
    assert provider["region"] == "eu-central-1"
    assert store_of(manifest_of(prod)).account == "123456789012", "by which secretops refuses another's, too"
    assert not {"accessKey", "secretKey", "token", "profile"} & provider.keys()


def test_everything_is_made_by_that_accounts_provider(prod: Deployed, everything: Deployed) -> None:
    for deployed in (prod, everything):
        others = [
            each.name for each in deployed.resources.values() if each.type.startswith("aws:") and each.provider != "aws"
        ]
        assert others == []


def test_the_server_is_wired_once_its_store_stands(prod: Deployed) -> None:
    assert {f"policy-{secret}" for secret in ("mqtt", "agent-key", "http-token")} | {
        "server-secrets",
        "rotate-mqtt-schedule",
        "trail-trail",
    } <= prod.resources["server"].depends_on


# No value


def test_no_version_of_a_secret_is_a_resource(prod: Deployed, everything: Deployed) -> None:
    for deployed in (prod, everything):
        assert [each.type for each in deployed.resources.values() if "secretVersion" in each.type] == []
        for secret in deployed.of_type(SECRET):
            assert not {"secretString", "secretBinary", "secretStringWo"} & secret.inputs.keys()


def test_no_input_and_no_output_is_a_secret_because_none_holds_one(prod: Deployed, everything: Deployed) -> None:
    for deployed in (prod, everything):
        assert [each.name for each in deployed.resources.values() if each.secret_inputs] == []
        assert deployed.secret_exports == ()


def test_what_lies_in_the_environment_of_whoever_deploys_gets_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    canary = f"Canary{secrets.token_hex(12)}"
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "MQTT_PASSWORD", "MCP_HTTP_TOKEN"):
        monkeypatch.setenv(name, canary)

    deployed = on_aws()

    assert canary not in "\n".join(
        [*texts([vars(each) for each in deployed.resources.values()]), *texts(deployed.exports)]
    )


def test_nothing_handed_over_looks_like_a_value(prod: Deployed) -> None:
    looks = re.compile(r"-----BEGIN (?!CERTIFICATE)|://[^/\s]*:[^/\s]*@")

    for each in prod.resources.values():
        assert not [text for text in texts(each.inputs) if looks.search(text)], each.name


def test_the_aws_program_imports_no_other_platforms_sdk_and_asks_aws_nothing_itself() -> None:
    program = "from tests.unit import aws_stack; aws_stack.on_aws()"

    assert imported(program, SDKS | {"pulumi", "botocore"}) == "['pulumi', 'pulumi_aws']"


def test_a_stack_file_is_judged_without_the_sdk() -> None:
    program = "from tests.unit import aws_stack, test_settings as t; t.stack_file(**t.on_aws()).parse('prod')"

    assert imported(program, SDKS) == "[]"


@pytest.mark.parametrize("platform", ["aws", "kubernetes"])
def test_a_platforms_rules_are_judged_without_any_sdk(platform: str) -> None:
    assert imported(f"import components.{platform}.contradictions", SDKS) == "[]"


# Secrets


def test_there_is_a_secret_for_each_of_the_catalogue_and_one_that_says_who_rotates(prod: Deployed) -> None:
    manifest = manifest_of(prod)
    store = store_of(manifest)

    assert {secret.name for secret in manifest.secrets} == store.secrets.keys()
    assert {one.inputs["name"] for one in prod.of_type(SECRET)} == {*store.secrets.values(), store.lease}
    assert store.secrets["mqtt"] == "coreflux-mcp/prod/mqtt"
    assert store.lease == "coreflux-mcp/prod/_lease"


def test_secretops_is_told_fields_and_readers(prod: Deployed) -> None:
    store = store_of(manifest_of(prod))

    assert store.fields == {secret.name: secret.fields for secret in manifest_of(prod).secrets}
    assert store.readers.keys() == {*store.secrets.values(), store.lease}
    assert store.readers["coreflux-mcp/prod/broker-admin"] == (
        "arn:aws:iam::123456789012:role/coreflux-mcp-prod@rotate-broker-admin",
        "arn:aws:iam::123456789012:role/coreflux-mcp-prod@rotate-mqtt",
        "arn:aws:iam::123456789012:role/coreflux-mcp-prod@tick",
        OPERATOR,
    )
    roles = {f"arn:aws:iam::123456789012:role/{role.inputs['name']}" for role in prod.of_type(ROLE)}
    assert {reader for who in store.readers.values() for reader in who} <= {*roles, OPERATOR}


def test_in_production_a_deleted_secret_can_be_had_back_and_elsewhere_made_anew_at_once(
    prod: Deployed, trial: Deployed
) -> None:
    assert {one.inputs["recoveryWindowInDays"] for one in prod.of_type(SECRET)} == {30}
    assert {one.inputs["recoveryWindowInDays"] for one in trial.of_type(SECRET)} == {0}


def test_in_production_what_holds_values_or_records_is_protected_and_elsewhere_nothing(
    prod: Deployed, trial: Deployed
) -> None:
    kept = {each.name for each in prod.resources.values() if each.type in (SECRET, KEY, BUCKET)}

    assert {each.name for each in prod.resources.values() if each.protected} == {*kept, "trail-log", "trail-trail"}
    assert [each.name for each in trial.resources.values() if each.protected] == []


def test_each_secret_is_encrypted_by_the_stacks_key_and_guarded_by_its_own_policy(prod: Deployed) -> None:
    for secret in prod.of_type(SECRET):
        policy = inputs(prod, secret.name.replace("secret-", "policy-"))
        assert secret.inputs["kmsKeyId"] == "arn:aws:kms:eu-central-1:123456789012:key/key"
        assert policy["secretArn"].startswith(
            f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:{secret.inputs['name']}"
        )
        assert policy["blockPublicPolicy"] is True
    assert all(key.inputs["enableKeyRotation"] is True for key in prod.of_type(KEY))


def test_a_replica_has_a_key_of_its_region(everything: Deployed) -> None:
    there = {"region": "eu-west-1", "kmsKeyId": "arn:aws:kms:eu-west-1:123456789012:key/key-eu-west-1"}

    assert inputs(everything, "key-eu-west-1")["region"] == "eu-west-1"
    assert all(secret.inputs["replicas"] == [there] for secret in everything.of_type(SECRET))


def names(stack: str = "prod", **more: Any) -> Names:
    return Names(stack=stack, account="123456789012", region="eu-central-1", **more)


@pytest.mark.parametrize("secret", ["my-secret", "x-abcdef", "db-abc123"])
def test_no_secrets_name_ends_like_an_arn(secret: str) -> None:
    assert not re.search(r"-[A-Za-z0-9]{6}$", names().secret(secret))
    assert names().secret(secret) == f"coreflux-mcp/prod/{secret}_", "which no catalogue has a name like"


def test_a_stack_made_anew_in_the_recovery_window_has_other_names() -> None:
    assert names(generation=2).secret("mqtt") == "coreflux-mcp/prod+2/mqtt"
    assert names(generation=2).bucket != names().bucket
    assert names(generation=2).role("tick") == names().role("tick"), "a role is gone at once"


LONG = "x" * 100


@pytest.mark.parametrize("stack", ["prod", "a", "Plant_7.eu", LONG, LONG[:-1] + "y", "plant-" * 16])
def test_names_are_those_that_aws_takes(stack: str) -> None:
    of = names(stack)

    assert re.fullmatch(r"[\w+=,.@-]{1,64}", of.role("rotate-broker-admin"))
    assert re.fullmatch(r"[a-zA-Z0-9-]{1,64}", of.plain("rotate-broker-admin"))
    assert re.fullmatch(r"[a-zA-Z0-9-]{1,80}", of.letters("rotate-broker-admin"))
    assert re.fullmatch(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?", of.balancer)
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", of.bucket)
    assert re.fullmatch(r"[\w/+=.@-]{1,512}", of.secret("x" * 40))
    assert re.fullmatch(r"[\w./#-]{1,512}", of.log_group("trail"))


def _all(of: Names) -> tuple[str, ...]:
    return of.role("tick"), of.plain("tick"), of.balancer, of.bucket, of.secret("mqtt")


def test_no_two_stacks_share_a_name() -> None:
    stacks = ["prod", "prod-2", "prod_2", "prod.2", LONG, LONG[:-1] + "y", "prod-tick"]

    for stack_names in zip(*(_all(names(stack)) for stack in stacks), strict=True):
        assert len(set(stack_names)) == len(stacks)
    assert not names("prod-2").role("tick").startswith(names("prod").roles)


@pytest.mark.parametrize(("region", "partition"), [("eu-central-1", "aws"), ("us-gov-west-1", "aws-us-gov")])
def test_an_arn_is_of_its_regions_partition(region: str, partition: str) -> None:
    assert names().at(region).arn("sqs", "x") == f"arn:{partition}:sqs:{region}:123456789012:x"


# Rotation


def test_what_secretops_makes_values_for_rotates_on_aws_schedule_with_the_guides_cadence(prod: Deployed) -> None:
    rules = {one.name: one.inputs["rotationRules"] for one in prod.of_type(ROTATION)}

    quarterly = {"automaticallyAfterDays": 90, "duration": "3h"}
    assert rules == {"rotate-broker-admin-schedule": quarterly, "rotate-mqtt-schedule": quarterly}


def test_a_cadence_is_the_stacks() -> None:
    deployed = on_aws(rotation="{mqtt_days: 30}")

    assert inputs(deployed, "rotate-mqtt-schedule")["rotationRules"]["automaticallyAfterDays"] == 30


def test_a_rotation_does_not_begin_while_a_secret_has_no_value(prod: Deployed) -> None:
    assert {one.inputs["rotateImmediately"] for one in prod.of_type(ROTATION)} == {False}


@pytest.mark.parametrize("secret", ["mqtt", "broker-admin"])
def test_a_rotation_is_set_up_after_who_may_call_what_it_may_and_who_may_read(prod: Deployed, secret: str) -> None:
    what = f"rotate-{secret}"

    assert {f"{what}-called", f"{what}-grants", f"{what}-function", f"policy-{secret}", f"secret-{secret}"} <= before(
        prod, f"{what}-schedule"
    )
    assert f"{what}-grants" in before(prod, f"{what}-function")


@pytest.mark.parametrize("secret", ["mqtt", "broker-admin"])
def test_secrets_manager_calls_a_function_for_its_one_secret(prod: Deployed, secret: str) -> None:
    called, rotation = inputs(prod, f"rotate-{secret}-called"), inputs(prod, f"rotate-{secret}-schedule")

    assert called["principal"] == "secretsmanager.amazonaws.com"
    assert called["sourceAccount"] == "123456789012"
    assert called["sourceArn"] == rotation["secretId"]
    assert called["sourceArn"].startswith(
        f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:coreflux-mcp/prod/{secret}"
    )
    assert called["function"] == f"coreflux-mcp-prod-rotate-{secret}"
    assert rotation["rotationLambdaArn"].endswith(f":function:coreflux-mcp-prod-rotate-{secret}")


def test_the_tick_runs_each_hour_and_what_it_cannot_is_kept(prod: Deployed) -> None:
    schedule = inputs(prod, "schedule")

    assert schedule["scheduleExpression"] == "rate(1 hour)"
    assert schedule["target"]["arn"].endswith(":function:coreflux-mcp-prod-tick")
    assert schedule["target"]["roleArn"].endswith("role/coreflux-mcp-prod@schedule")
    assert schedule["target"]["deadLetterConfig"]["arn"].endswith(":coreflux-mcp-prod-tick-letters")
    assert {"tick-grants", "schedule-grants", "policy-mqtt"} <= before(prod, "schedule")


@pytest.mark.parametrize(("function", "retries"), [("rotate-mqtt", 0), ("rotate-broker-admin", 0), ("tick", 1)])
def test_a_call_that_failed_is_made_again_as_often_as_its_caller_does_not_and_never_meets_the_next(
    prod: Deployed, function: str, retries: int
) -> None:
    queue, code = inputs(prod, f"{function}-queue"), inputs(prod, f"{function}-function")

    assert queue["functionName"] == code["name"]
    assert queue["maximumRetryAttempts"] == retries
    assert code["timeout"] < queue["maximumEventAgeInSeconds"] <= 1800, "a retry of the tick ends within its hour"


def test_a_tick_that_is_not_handed_over_is_handed_over_again(prod: Deployed) -> None:
    policy = inputs(prod, "schedule")["target"]["retryPolicy"]

    assert policy == {"maximumRetryAttempts": 2, "maximumEventAgeInSeconds": 1800}


def test_every_function_is_one_at_a_time_logs_json_for_a_while_and_keeps_what_failed(
    prod: Deployed, everything: Deployed
) -> None:
    for deployed in (prod, everything):
        logs = {one.inputs["name"]: one.inputs["retentionInDays"] for one in deployed.of_type(LOG)}
        for function in deployed.of_type(FUNCTION):
            given = function.inputs
            assert given["reservedConcurrentExecutions"] == 1
            assert given["loggingConfig"] == {"logFormat": "JSON", "logGroup": f"/aws/lambda/{given['name']}"}
            assert logs[given["loggingConfig"]["logGroup"]] == 90
            assert given["deadLetterConfig"]["targetArn"].endswith(f":{given['name']}-letters")
            assert given["role"].startswith("arn:aws:iam::123456789012:role/coreflux-mcp-prod@")
            assert (given["runtime"], given["architectures"]) == (f"python{PYTHON}", [ARCHITECTURE])
        assert len({function.inputs["role"] for function in deployed.of_type(FUNCTION)}) == len(
            deployed.of_type(FUNCTION)
        )


def test_a_queue_lets_a_function_finish_before_it_shows_a_message_again(prod: Deployed) -> None:
    queue, function = inputs(prod, "new-versions"), inputs(prod, "redeploy-service-function")
    taken = inputs(prod, "new-versions-taken")

    assert queue["visibilityTimeoutSeconds"] >= 6 * function["timeout"] + taken["maximumBatchingWindowInSeconds"]


@pytest.mark.parametrize("function", ["rotate-mqtt-function", "tick-function"])
def test_a_rotating_function_is_the_package_with_the_stacks_manifest_and_ca(
    prod: Deployed, ca: Path, function: str
) -> None:
    assets = inputs(prod, function)["code"]["assets"]
    inside = Manifest.model_validate_json(assets["secretops.json"]["text"])

    assert assets["."]["path"].endswith("dist/lambda.zip")
    assert assets["ca.crt"]["text"] == ca.read_text()
    assert inside.broker.ca_file == "/var/task/ca.crt"
    assert inside.model_copy(update={"broker": inside.broker.model_copy(update={"ca_file": str(ca)})}) == manifest_of(
        prod
    )


def test_handlers_are_what_the_package_has(prod: Deployed) -> None:
    from secretops.entrypoints import aws_lambda

    for function in ("rotate-mqtt", "rotate-broker-admin", "tick"):
        module, _, name = inputs(prod, f"{function}-function")["handler"].rpartition(".")
        assert module == aws_lambda.__name__
        assert callable(getattr(aws_lambda, name))


@pytest.mark.parametrize(
    ("store", "warned"),
    [
        (", object_lock: compliance, retention_days: 731", ["store.object_lock: compliance is for good", "731 days"]),
        ("", []),
    ],
)
def test_a_lock_that_is_for_good_is_warned_of(store: str, warned: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the engine's log."""
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda message, *_: said.append(message))

    on_aws(store)

    assert len(said) == bool(warned)
    assert all(part in one for one in said for part in warned)


@pytest.mark.parametrize(("there", "said"), [(True, "is not of these sources"), (False, "is not there")])
def test_a_package_that_is_missing_or_old_is_refused_before_any_resource(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, said: str
) -> None:
    zipped = tmp_path / "lambda.zip"
    if there:
        zipped.write_bytes(b"old")
    monkeypatch.setattr("components.aws.package.ZIP", zipped)
    into = Deployed()

    with pytest.raises(pulumi.RunError, match=f"dist/lambda.zip {said}(.|\n)*-> make lambda"):
        on_aws(into=into, package=False)

    assert into.resources == {}


def test_functions_are_in_the_vpc_that_the_stack_names_and_else_in_none(prod: Deployed, everything: Deployed) -> None:
    vpc = {"subnetIds": ["subnet-0123456789abcdef0"], "securityGroupIds": ["sg-0123456789abcdef1"]}

    for function in ("rotate-mqtt", "rotate-broker-admin", "tick"):
        assert "vpcConfig" not in inputs(prod, f"{function}-function")
        assert inputs(everything, f"{function}-function")["vpcConfig"] == vpc


# The trail


def test_cloudtrail_records_every_read_in_every_region_and_seals_it(prod: Deployed) -> None:
    trail = inputs(prod, "trail-trail")
    (selector,) = trail["advancedEventSelectors"]

    assert (
        trail["isMultiRegionTrail"] is trail["includeGlobalServiceEvents"] is trail["enableLogFileValidation"] is True
    )
    assert selector["fieldSelectors"] == [{"field": "eventCategory", "equals": ["Management"]}], (
        "readOnly is not left out"
    )
    assert trail["kmsKeyId"].endswith("key/trail-key")
    assert trail["cloudWatchLogsGroupArn"].endswith(":log-group:/coreflux-mcp/prod/trail:*")
    assert {"trail-bucket-policy", "trail-grants"} <= before(prod, "trail-trail")


@pytest.mark.parametrize(
    ("stack", "asked", "mode"),
    [
        ("prod", "", "GOVERNANCE"),
        ("staging", "", "GOVERNANCE"),
        ("prod", ", object_lock: compliance", "COMPLIANCE"),
    ],
)
def test_records_can_neither_be_changed_nor_removed_before_their_time(stack: str, asked: str, mode: str) -> None:
    deployed = on_aws(f", retention_days: 90{asked}", stack=stack)

    assert inputs(deployed, "trail-bucket")["objectLockEnabled"] is True
    assert inputs(deployed, "trail-bucket-locked")["rule"]["defaultRetention"] == {"mode": mode, "days": 90}
    assert inputs(deployed, "trail-bucket-versioned")["versioningConfiguration"] == {"status": "Enabled"}
    (rule,) = inputs(deployed, "trail-bucket-lifecycle")["rules"]
    assert rule["expiration"]["days"] > 90
    assert inputs(deployed, "trail-log")["retentionInDays"] == 90


def test_at_the_end_of_a_production_stack_the_bucket_of_records_stays_as_it_is(prod: Deployed, trial: Deployed) -> None:
    guards = ("closed", "owned", "versioned", "encrypted", "locked", "lifecycle", "policy")
    kept = {"trail-bucket", "trail-key", *(f"trail-bucket-{guard}" for guard in guards)}

    assert {each.name for each in prod.resources.values() if each.kept} == kept
    assert {each.name for each in prod.resources.values() if each.name.startswith("trail-bucket")} <= kept
    assert not any(each.kept for each in trial.resources.values())


def test_the_trails_bucket_is_nobody_elses(prod: Deployed) -> None:
    closed = inputs(prod, "trail-bucket-closed")

    assert all(closed[one] is True for one in closed if one != "bucket")
    assert len(closed) == 5
    assert inputs(prod, "trail-bucket-owned")["rule"] == {"objectOwnership": "BucketOwnerEnforced"}
    (rule,) = inputs(prod, "trail-bucket-encrypted")["rules"]
    assert rule["applyServerSideEncryptionByDefault"]["sseAlgorithm"] == "aws:kms"
    assert inputs(prod, "trail-bucket")["forceDestroy"] is False


def test_what_should_not_happen_is_looked_for_and_told(prod: Deployed) -> None:
    looked = {
        one.inputs["metricTransformation"]["name"].removeprefix("coreflux-mcp-prod-") for one in prod.of_type(FILTER)
    }

    assert looked == {
        *("undeclared-read", "undeclared-write", "denied-read", "deletion", "policy-change", "key-change"),
        *("role-change", "function-change", "role-use", "trail-change"),
    }
    told = {alarm.inputs["metricName"]: alarm.inputs["namespace"] for alarm in prod.of_type(ALARM)}
    for made in prod.of_type(FILTER):
        assert made.inputs["logGroupName"] == "/coreflux-mcp/prod/trail"
        assert len(made.inputs["pattern"]) <= FILTER_LIMIT
        transformed = made.inputs["metricTransformation"]
        assert told[transformed["name"]] == transformed["namespace"]


def test_every_key_of_the_stack_is_watched(everything: Deployed) -> None:
    patterns = [one.inputs["pattern"] for one in everything.of_type(FILTER) if one.name.startswith("filter-key-change")]

    assert len(patterns) == len(everything.of_type(KEY)) == 3
    for key in everything.of_type(KEY):
        assert any(f"*{key.name}-id*" in pattern for pattern in patterns), key.name


def test_declared_readers_raise_no_alarm(prod: Deployed) -> None:
    pattern = inputs(prod, "filter-undeclared-read")["pattern"]

    assert '($.userIdentity.arn != "arn:aws:sts::123456789012:assumed-role/coreflux-mcp-prod@*")' in pattern
    assert '($.userIdentity.arn != "arn:aws:sts::123456789012:assumed-role/secrets-operator/*")' in pattern


def test_a_user_and_a_role_with_a_path_are_known_as_cloudtrail_shows_them() -> None:
    sso = (
        "arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/eu-central-1/AWSReservedSSO_Ops_0123456789abcdef"
    )
    user = "arn:aws:iam::123456789012:user/alice"

    assert names().sessions(sso) == "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Ops_0123456789abcdef/*"
    assert names().sessions(user) == user


def test_every_alarm_tells_the_topic(prod: Deployed) -> None:
    for alarm in prod.of_type(ALARM):
        assert alarm.inputs["alarmActions"] == ["arn:aws:sns:eu-central-1:123456789012:coreflux-mcp-prod-alerts"]
        assert alarm.inputs["name"].startswith("coreflux-mcp-prod-"), "by which the topic knows them"


def test_the_ticks_own_metrics_are_those_that_it_writes(prod: Deployed) -> None:
    from secretops.entrypoints.aws_lambda import METRICS

    for metric in ("Overdue", "Failed"):
        alarm = inputs(prod, f"alarm-tick-{metric.lower()}")
        assert metric in METRICS
        assert (alarm["namespace"], alarm["metricName"]) == (manifest_of(prod).project, metric)
        assert alarm["dimensions"] == {"Stack": manifest_of(prod).stack}


def test_a_tick_that_does_not_run_is_told(prod: Deployed) -> None:
    alarm = inputs(prod, "alarm-tick-missing")

    assert alarm["dimensions"]["FunctionName"] == inputs(prod, "tick-function")["name"]
    assert (alarm["treatMissingData"], alarm["comparisonOperator"]) == ("breaching", "LessThanThreshold")


def test_every_dead_letter_is_told(prod: Deployed, everything: Deployed) -> None:
    for deployed in (prod, everything):
        queues = {
            queue.inputs["name"] for queue in deployed.of_type("aws:sqs/queue:Queue") if queue.name.endswith("-letters")
        }
        told = {alarm.inputs["dimensions"]["QueueName"] for alarm in deployed.of_type(ALARM) if "letters" in alarm.name}
        assert queues == told


def test_a_rotation_that_failed_is_told_as_secrets_manager_reports_it(prod: Deployed) -> None:
    pattern = json.loads(inputs(prod, "rotation-failures")["eventPattern"])

    assert pattern["detail"]["eventName"] == ["RotationFailed", "RotationAbandoned", "TestRotationFailed"]
    prefix = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:coreflux-mcp/prod/"
    assert pattern["detail"]["additionalEventData"]["SecretId"] == [{"prefix": prefix}]
    target = inputs(prod, "rotation-failures-told")
    assert (target["rule"], target["arn"].rpartition(":")[2]) == (
        "coreflux-mcp-prod-rotation-failures",
        "coreflux-mcp-prod-alerts",
    )


def test_the_topic_is_encrypted_and_has_the_stacks_subscribers(everything: Deployed) -> None:
    assert inputs(everything, "alerts")["kmsMasterKeyId"].endswith("key/trail-key")
    (subscribed,) = everything.of_type("aws:sns/topicSubscription:TopicSubscription")
    assert subscribed.inputs | {"topic": ""} == {"topic": "", "protocol": "email", "endpoint": "ops@example.com"}


def test_whoever_is_told_stays_when_another_before_them_leaves_the_stack_file() -> None:
    both, one = (on_aws(f", alert_emails: [{told}]") for told in ("a@example.com, b@example.com", "b@example.com"))
    subscribed = [
        {each.name: each.inputs["endpoint"] for each in deployed.of_type("aws:sns/topicSubscription:TopicSubscription")}
        for deployed in (both, one)
    ]

    assert len(subscribed[0]) == 2
    assert subscribed[1].items() <= subscribed[0].items()


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


def test_the_query_for_who_read_what_is_an_output(prod: Deployed) -> None:
    query = prod.exports["trail"]["query"]

    assert 'requestParameters.secretId like "coreflux-mcp/prod/"' in query
    assert prod.exports["trail"]["gap"] == prod.exports["gaps"]["trail of every read"]


# The server


def test_a_task_is_given_the_fields_of_its_secrets_by_reference(prod: Deployed) -> None:
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


def test_a_stacks_own_secret_is_a_variable_of_its_own() -> None:
    deployed = on_aws(secrets="{plant-db: {fields: [url]}, licence: {fields: [key], readers: [rotator]}}")

    injected = {one["name"]: one["valueFrom"] for one in containers(deployed)["server"]["secrets"]}
    assert injected["PLANT_DB_URL"].endswith(":secret:coreflux-mcp/prod/plant-db-AbCdEf:url::")
    assert "LICENCE_KEY" not in injected


def test_a_server_without_the_copilot_does_not_wait_for_its_key() -> None:
    deployed = on_aws(server=", copilot: false")

    assert "DO_AGENT_API_KEY" not in {one["name"] for one in containers(deployed)["server"]["secrets"]}
    assert "agent-key" not in deployed.exports["next"]
    assert "agent-key" not in inputs(deployed, "server-secrets")["policy"]


def test_a_launcher_that_fetches_is_told_where_and_injected_nothing(everything: Deployed) -> None:
    server = containers(everything)["server"]

    assert server["secrets"] == []
    source = server["command"][server["command"].index("--from") + 1]
    assert source == "aws-sm:eu-central-1/coreflux-mcp/prod/mqtt+agent-key+client-cert+http-token"
    open_source(source)  # which the launcher understands
    assert "redeploy" not in everything.resources, "it takes a new version while it runs"
    assert everything.exports["references"]["source"] == source


def test_the_public_variables_are_those_that_the_launcher_takes(prod: Deployed) -> None:
    public = {one["name"]: one["value"] for one in containers(prod)["server"]["environment"]}

    assert public == {
        "MQTT_BROKER": "prod-mqtt.example.com",
        "MQTT_PORT": "8883",
        "MQTT_USE_TLS": "true",
        "MQTT_PROTOCOL": "5",
        "MQTT_CA_CERT": "/etc/coreflux-mcp/stack/ca.crt",
        "LOG_LEVEL": "WARNING",
    }
    assert public.keys() <= {*PUBLIC_VARIABLES, *OWN_VARIABLES}


def test_the_ca_file_is_laid_down_before_the_server_starts_and_cannot_be_written_by_it(
    prod: Deployed, ca: Path
) -> None:
    both = containers(prod)

    assert both["ca-file"]["environment"] == [{"name": "CA_BUNDLE", "value": ca.read_text()}]
    assert both["ca-file"]["essential"] is False
    assert both["server"]["dependsOn"] == [{"containerName": "ca-file", "condition": "SUCCESS"}]
    assert both["server"]["mountPoints"][0]["readOnly"] is True
    assert both["server"]["mountPoints"][0]["containerPath"] == "/etc/coreflux-mcp/stack"
    assert [one["name"] for one in inputs(prod, "task")["volumes"]] == ["stack"]


def test_what_lays_it_down_writes_that_file(prod: Deployed, tmp_path: Path, ca: Path, monkeypatch: Any) -> None:
    _, option, program = containers(prod)["ca-file"]["entryPoint"]
    monkeypatch.setenv("CA_BUNDLE", ca.read_text())

    assert option == "-c"
    exec(program.replace("/etc/coreflux-mcp/stack", str(tmp_path)), {})  # noqa: S102 - our own line

    assert (tmp_path / "ca.crt").read_text() == ca.read_text()


def test_a_container_is_nobodys_has_no_rights_and_writes_nothing(prod: Deployed) -> None:
    both = containers(prod)

    assert both["server"]["user"] == "10001:10001"
    for one in both.values():
        assert one["readonlyRootFilesystem"] is True
        assert one["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}
        assert one["logConfiguration"]["options"]["awslogs-group"] == inputs(prod, "server-log")["name"]


def test_the_health_check_is_the_one_of_the_images_page(prod: Deployed) -> None:
    page = (PROJECT_FOLDER / "docs/operations/image.md").read_text()
    shown = re.findall(r'^\["CMD".*\]$', page, re.MULTILINE)

    assert containers(prod)["server"]["healthCheck"]["command"] == json.loads(shown[0]), (
        "the page's first; a Swarm's next"
    )


def test_the_launcher_serves_streamable_http_and_knows_its_names(everything: Deployed) -> None:
    command = containers(everything)["server"]["command"]

    assert command[3:7] == ["--transport", "http", "--listen", "0.0.0.0:8080"]
    known = HostNames.of(parse_listen("0.0.0.0:8080"), command[8::2])
    assert known.host("mcp.example.com")
    assert known.host("10.0.0.7:8080"), "the load balancer asks for its health by an address"
    assert not known.host("evil.example.com")


def test_a_service_keeps_its_tasks_until_new_ones_stand_and_goes_back_if_they_do_not(prod: Deployed) -> None:
    service = inputs(prod, "service")

    assert service["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
    assert (service["deploymentMinimumHealthyPercent"], service["deploymentMaximumPercent"]) == (100, 200)
    assert service["networkConfiguration"]["assignPublicIp"] is False
    assert service["enableExecuteCommand"] is False
    assert service["waitForSteadyState"] is False, "values come after pulumi up"
    assert service["desiredCount"] == 2
    assert "task-start-grants" in before(prod, "service")


def test_a_task_whose_tool_blocks_the_loop_is_not_replaced(prod: Deployed, everything: Deployed) -> None:
    """As on Kubernetes, a check has to fail for two minutes: four of the longest calls of request_lot_code."""
    page = (PROJECT_FOLDER / "docs/operations/http.md").read_text()
    (held,) = re.findall(r"`request_lot_code` may hold it for (\d+) seconds", page)
    task, group = containers(prod)["server"]["healthCheck"], inputs(everything, "balancer-tasks")["healthCheck"]

    assert "Give a liveness check minutes" in page
    assert (task["retries"] - 1) * task["interval"] >= 4 * int(held)
    assert (group["unhealthyThreshold"] - 1) * group["interval"] >= 4 * int(held)
    assert group["healthyThreshold"] * group["interval"] <= 60, "and a new one is not kept waiting"
    assert (task["retries"], group["unhealthyThreshold"]) <= (10, 10), "AWS' limits"


def test_a_task_definition_stays_while_ecs_may_go_back_to_it(prod: Deployed) -> None:
    assert inputs(prod, "task")["skipDestroy"] is True


def test_a_task_has_its_two_roles_and_an_arm_less_image_its_machine(prod: Deployed) -> None:
    task = inputs(prod, "task")

    assert task["executionRoleArn"].endswith("role/coreflux-mcp-prod@task-start")
    assert task["taskRoleArn"].endswith("role/coreflux-mcp-prod@task")
    assert (task["networkMode"], task["requiresCompatibilities"]) == ("awsvpc", ["FARGATE"])


def test_a_cluster_is_the_stacks_own_or_the_one_that_is_named(prod: Deployed) -> None:
    assert (
        inputs(prod, "service")["cluster"] == "arn:aws:ecs:eu-central-1:123456789012:cluster/coreflux-mcp-prod-cluster"
    )
    deployed = on_aws(server=", cluster: plant")
    assert inputs(deployed, "service")["cluster"] == "arn:aws:ecs:eu-central-1:123456789012:cluster/plant"
    assert "cluster" not in deployed.resources


def test_a_load_balancer_is_internal_ends_tls_and_has_one_task(everything: Deployed) -> None:
    balancer, group, listener = (
        inputs(everything, name) for name in ("balancer", "balancer-tasks", "balancer-listener")
    )

    assert balancer["internal"] is True
    assert (listener["port"], listener["protocol"]) == (443, "HTTPS")
    assert listener["certificateArn"] == "arn:aws:acm:eu-central-1:123456789012:certificate/0"
    assert "stickiness" not in group, "clients of MCP keep no cookies"
    assert inputs(everything, "service")["desiredCount"] == 1
    assert group["healthCheck"]["path"] == "/healthz"
    (balanced,) = inputs(everything, "service")["loadBalancers"]
    assert balanced["targetGroupArn"] == listener["defaultActions"][0]["targetGroupArn"]
    assert (balanced["containerName"], balanced["containerPort"]) == ("server", 8080)
    assert inputs(everything, "service")["healthCheckGracePeriodSeconds"] == 60
    assert "balancer-listener" in before(everything, "service")
    assert everything.exports["server"] == "https://mcp.example.com/mcp"


def test_an_image_of_another_registry_asks_for_no_rights() -> None:
    deployed = on_aws(image="registry.example.com/mcp:1")

    assert "ecr:" not in inputs(deployed, "task-start-grants")["policy"]


def test_next_is_what_a_task_waits_for(prod: Deployed) -> None:
    assert prod.exports["next"] == (
        "secretops put broker-admin, then secretops put http-token, then secretops put agent-key (a task starts once "
        "each of its secrets has a value), then aws lambda invoke --cli-read-timeout 0 --region eu-central-1 "
        "--function-name coreflux-mcp-prod-tick /dev/stdout (or wait for the full hour), then secretops status"
    )


# A new version is a new deployment


def test_a_new_current_version_of_what_tasks_are_started_with_is_queued_and_gathered(prod: Deployed) -> None:
    pattern = json.loads(inputs(prod, "new-version")["eventPattern"])

    assert pattern["detail-type"] == ["Secret Label Updated"]
    assert pattern["detail"]["labelUpdated"] == ["AWSCURRENT"]
    assert pattern["resources"] == [
        {"prefix": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:coreflux-mcp/prod/"}
    ]
    assert inputs(prod, "new-versions")["delaySeconds"] == 60
    taken = inputs(prod, "new-versions-taken")
    assert taken["maximumBatchingWindowInSeconds"] == 60
    assert taken["eventSourceArn"] == inputs(prod, "new-version-queued")["arn"]
    assert json.loads(inputs(prod, "new-versions")["redrivePolicy"])["deadLetterTargetArn"].endswith(
        "-new-versions-letters"
    )


def test_the_function_that_deploys_again_is_told_of_the_one_service(prod: Deployed) -> None:
    function = inputs(prod, "redeploy-service-function")

    assert function["environment"]["variables"] == {
        "CLUSTER": inputs(prod, "service")["cluster"],
        "SERVICE": inputs(prod, "service")["name"],
    }
    (asset,) = function["code"]["assets"].items()
    assert asset[0] == "deploy_again.py"
    assert asset[1]["text"] == Path(deploy_again.__file__).read_text()
    assert function["handler"] == "deploy_again.handle"


class Service:
    """Stands in for ECS: one service, its deployments, and a circuit breaker that rolls back.

    As ECS' API reference has them (Deployment, DeploymentCircuitBreaker): one is PRIMARY, those before it are ACTIVE
    until their tasks are gone. One that fails becomes ACTIVE and FAILED, and the last that was COMPLETED is PRIMARY
    again; where there is none, the failed one stays PRIMARY. A deregistered task definition is not deployed.
    """

    def __init__(self, begun: datetime) -> None:
        self.deployments: list[dict[str, Any]] = [
            {"status": "PRIMARY", "createdAt": begun, "rolloutState": "COMPLETED"}
        ]
        self.asked: list[dict[str, Any]] = []
        self.now = begun
        self.definition = "ACTIVE"

    @property
    def primary(self) -> dict[str, Any]:
        (found,) = (one for one in self.deployments if one["status"] == "PRIMARY")
        return found

    def describe_services(self, **_: Any) -> dict[str, Any]:
        return {"services": [{"deployments": [dict(one) for one in self.deployments]}]}

    def update_service(self, **asked: Any) -> None:
        if self.definition == "INACTIVE":
            raise ClientError(
                {"Error": {"Code": "ClientException", "Message": "TaskDefinition is inactive"}}, "UpdateService"
            )
        self.asked.append(asked)
        self.begins()

    def begins(self) -> None:
        """A new deployment, whoever asked for it."""
        self.primary["status"] = "ACTIVE"
        self.deployments.insert(0, {"status": "PRIMARY", "createdAt": self.now, "rolloutState": "IN_PROGRESS"})

    def completes(self) -> None:
        self.primary["rolloutState"] = "COMPLETED"
        self.deployments = [self.primary]

    def fails(self) -> None:
        failed = self.primary
        failed["rolloutState"] = "FAILED"
        stood = [one for one in self.deployments if one["rolloutState"] == "COMPLETED"]
        if stood:
            failed["status"] = "ACTIVE"
            stood[0]["status"] = "PRIMARY"


NOON, AN_HOUR, A_MINUTE = datetime(2026, 11, 25, 12, tzinfo=UTC), timedelta(hours=1), timedelta(minutes=1)


def told(*times: datetime) -> dict[str, Any]:
    """Messages of the queue, each of a label that moved at such a time. EventBridge cuts times to seconds."""
    return {
        "Records": [
            {"messageId": f"{time:%H:%M:%S}", "body": json.dumps({"time": f"{time:%Y-%m-%dT%H:%M:%SZ}"})}
            for time in times
        ]
    }


def again(service: Service, *times: datetime) -> set[str]:
    """Which messages come again, by Lambda's partial response."""
    return {one["itemIdentifier"] for one in deploy_again.handle(told(*times), None, service)["batchItemFailures"]}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setenv("CLUSTER", "a-cluster")
    monkeypatch.setenv("SERVICE", "a-service")
    made = Service(NOON - AN_HOUR)
    made.now = NOON + 2 * A_MINUTE  # the delay and the window are over
    return made


@pytest.mark.parametrize("batches", [(3,), (1, 2), (1, 1, 1)])
def test_three_labels_in_a_minute_are_one_deployment_however_they_are_batched(
    service: Service, batches: tuple[int, ...]
) -> None:
    labels = [NOON, NOON + timedelta(seconds=20), NOON + timedelta(seconds=50)]
    waiting: set[str] = set()
    moved = list(labels)

    for many in batches:
        waiting |= again(service, *moved[:many])
        moved = moved[many:]
    service.completes()

    assert service.asked == [{"cluster": "a-cluster", "service": "a-service", "forceNewDeployment": True}]
    assert len(waiting) == 3, "each comes again"
    assert again(service, *labels) == set(), "and is done once the deployment is"
    assert len(service.asked) == 1


def test_a_label_that_moved_in_the_second_of_a_deployment_is_another_one(service: Service) -> None:
    service.primary["createdAt"] = NOON + timedelta(seconds=0.5)  # the label may have moved at 0.9

    assert again(service, NOON) == {"12:00:00"}
    assert len(service.asked) == 1


def test_a_version_waits_for_a_deployment_under_way_that_has_begun_since(service: Service) -> None:
    service.begins()

    assert again(service, NOON) == {"12:00:00"}
    assert service.asked == []


def test_a_deployment_that_is_rolled_back_loses_no_version(service: Service) -> None:
    """Of `pulumi up`, with an image that does not start."""
    service.begins()
    assert again(service, NOON) == {"12:00:00"}
    service.fails()

    assert again(service, NOON) == {"12:00:00"}
    assert len(service.asked) == 1, "for what ECS has gone back to"
    service.completes()
    assert again(service, NOON) == set()


def test_the_functions_own_deployment_may_be_rolled_back_too(service: Service) -> None:
    again(service, NOON)
    service.fails()

    assert again(service, NOON) == {"12:00:00"}
    assert len(service.asked) == 2


def test_a_deployment_that_failed_with_nothing_to_go_back_to_is_asked_for_anew(service: Service) -> None:
    service.deployments = [{"status": "PRIMARY", "createdAt": service.now, "rolloutState": "FAILED"}]

    assert again(service, NOON) == {"12:00:00"}
    assert len(service.asked) == 1


def test_a_version_that_tasks_have_is_done_though_another_is_not(service: Service) -> None:
    service.begins()
    service.completes()

    assert again(service, NOON, service.now + A_MINUTE) == {"12:03:00"}


@pytest.mark.parametrize("why", ["a refusal of an inactive task definition", "a fault"])
def test_what_ecs_does_not_do_brings_every_message_again(service: Service, why: str) -> None:
    def fault(**_: Any) -> None:
        raise ConnectionError

    if why == "a fault":
        service.update_service = fault  # type: ignore[method-assign]
    else:
        service.definition = "INACTIVE"

    with pytest.raises((ConnectionError, ClientError)):
        deploy_again.handle(told(NOON), None, service)


def test_messages_come_again_for_two_deployments_and_a_person_is_told_within_the_default_grace(prod: Deployed) -> None:
    queue, taken = inputs(prod, "new-versions"), inputs(prod, "new-versions-taken")
    looked = queue["visibilityTimeoutSeconds"] * json.loads(queue["redrivePolicy"])["maxReceiveCount"]

    assert taken["functionResponseTypes"] == ["ReportBatchItemFailures"]
    assert 2 * arrival.ROLLOUT <= looked < manifest_of(prod).grace_seconds


def test_the_default_grace_is_longer_than_a_new_version_takes(prod: Deployed) -> None:
    queue, taken = inputs(prod, "new-versions"), inputs(prod, "new-versions-taken")
    gathered = queue["delaySeconds"] + taken["maximumBatchingWindowInSeconds"]

    assert arrival.REDEPLOYED == gathered + arrival.ROLLOUT < Rotation().grace_seconds
    assert FETCHED >= 1.1 * 3 * EVERY_SECONDS, "a look, one that fails, and the next after twice the time"
