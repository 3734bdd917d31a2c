"""Inputs for the stand-in for AWS: what is right of each type, in other ways too, and what is wrong, planted."""

from __future__ import annotations

import json
from typing import Any

from tools.standin import wire

STORED = "aws:secretsmanager/secret:Secret"
ROTATION = "aws:secretsmanager/secretRotation:SecretRotation"
STORED_POLICY = "aws:secretsmanager/secretPolicy:SecretPolicy"
KEY = "aws:kms/key:Key"
ALIAS = "aws:kms/alias:Alias"
FUNCTION = "aws:lambda/function:Function"
PERMISSION = "aws:lambda/permission:Permission"
ROLE = "aws:iam/role:Role"
POLICY = "aws:iam/policy:Policy"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
FILTER = "aws:cloudwatch/logMetricFilter:LogMetricFilter"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
RULE = "aws:cloudwatch/eventRule:EventRule"
TARGET = "aws:cloudwatch/eventTarget:EventTarget"
SCHEDULE = "aws:scheduler/schedule:Schedule"
TOPIC = "aws:sns/topic:Topic"
SUBSCRIPTION = "aws:sns/topicSubscription:TopicSubscription"
QUEUE = "aws:sqs/queue:Queue"
BUCKET = "aws:s3/bucket:Bucket"
LOCK = "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration"
LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
ENCRYPTION = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
TRAIL = "aws:cloudtrail/trail:Trail"
TASK = "aws:ecs/taskDefinition:TaskDefinition"
BALANCER = "aws:lb/loadBalancer:LoadBalancer"
TARGET_GROUP = "aws:lb/targetGroup:TargetGroup"
LISTENER = "aws:lb/listener:Listener"
SERVICE = "aws:ecs/service:Service"

ARN = "arn:aws:{}:eu-central-1:000000000000:{}"
LAMBDA = ARN.format("lambda", "function:rotate")
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
READ = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": ARN.format("secretsmanager", "secret:a"),
        }
    ],
}
CONTAINER = {
    "name": "server",
    "image": "registry.example.com/server:1",
    "essential": True,
    "secrets": [{"name": "MQTT_PASSWORD", "valueFrom": ARN.format("secretsmanager", "secret:a:password::")}],
    "readonlyRootFilesystem": True,
}

RIGHT: dict[str, dict[str, Any]] = {
    STORED: {
        "name": "prod/mqtt",
        "recoveryWindowInDays": 30,
        "replicas": [{"region": "eu-north-1"}],
        "tags": {"a": "b"},
    },
    ROTATION: {
        "secretId": ARN.format("secretsmanager", "secret:a"),
        "rotationLambdaArn": LAMBDA,
        "rotateImmediately": False,
        "rotationRules": {"scheduleExpression": "rate(90 days)", "duration": "3h"},
    },
    STORED_POLICY: {"secretArn": wire.UNKNOWN, "policy": wire.UNKNOWN, "blockPublicPolicy": True},
    KEY: {"enableKeyRotation": True, "deletionWindowInDays": 30, "rotationPeriodInDays": 365},
    ALIAS: {"name": "alias/prod", "targetKeyId": wire.UNKNOWN},
    FUNCTION: {
        "role": "arn:aws:iam::000000000000:role/rotate",
        "runtime": "python3.12",
        "handler": "secretops.entrypoints.aws_lambda.rotate",
        "code": {wire.SIGNATURE: wire.ARCHIVE, "path": "lambda.zip"},
        "timeout": 300,
        "memorySize": 256,
        "loggingConfig": {"logFormat": "JSON", "logGroup": "/aws/lambda/rotate"},
        "environment": {"variables": {"STACK": "prod"}},
    },
    PERMISSION: {
        "function": "rotate",
        "action": "lambda:InvokeFunction",
        "principal": "secretsmanager.amazonaws.com",
        "sourceAccount": "000000000000",
    },
    ROLE: {"name": "rotate", "assumeRolePolicy": json.dumps(TRUST), "maxSessionDuration": 3600},
    ROLE_POLICY: {"role": "rotate", "policy": json.dumps(READ)},
    POLICY: {"policy": json.dumps(READ)},
    LOG_GROUP: {"name": "/aws/lambda/rotate", "retentionInDays": 365},
    FILTER: {
        "logGroupName": "trail",
        "pattern": "{ $.errorCode = AccessDenied }",
        "metricTransformation": {"name": "Denied", "namespace": "coreflux", "value": "1"},
    },
    ALARM: {
        "comparisonOperator": "GreaterThanThreshold",
        "evaluationPeriods": 1,
        "threshold": 0,
        "metricName": "Denied",
        "namespace": "coreflux",
        "period": 300,
        "statistic": "Sum",
        "treatMissingData": "notBreaching",
    },
    RULE: {"eventPattern": json.dumps({"source": ["aws.secretsmanager"]}), "state": "ENABLED"},
    TARGET: {
        "rule": "labels",
        "arn": LAMBDA,
        "retryPolicy": {"maximumRetryAttempts": 3, "maximumEventAgeInSeconds": 60},
    },
    SCHEDULE: {
        "scheduleExpression": "rate(1 hour)",
        "flexibleTimeWindow": {"mode": "OFF"},
        "target": {"arn": LAMBDA, "roleArn": "arn:aws:iam::000000000000:role/tick"},
    },
    TOPIC: {"name": "alerts"},
    SUBSCRIPTION: {"topic": ARN.format("sns", "alerts"), "protocol": "email", "endpoint": "ops@example.com"},
    QUEUE: {"messageRetentionSeconds": 1209600, "sqsManagedSseEnabled": True},
    BUCKET: {"bucket": "coreflux-trail", "objectLockEnabled": True},
    LOCK: {"bucket": "coreflux-trail", "rule": {"defaultRetention": {"mode": "COMPLIANCE", "days": 365}}},
    LIFECYCLE: {
        "bucket": "coreflux-trail",
        "rules": [{"id": "old", "status": "Enabled", "expiration": {"days": 400}}],
    },
    ENCRYPTION: {
        "bucket": "coreflux-trail",
        "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": wire.UNKNOWN}}],
    },
    TRAIL: {
        "s3BucketName": "coreflux-trail",
        "cloudWatchLogsGroupArn": ARN.format("logs", "log-group:trail:*"),
        "cloudWatchLogsRoleArn": "arn:aws:iam::000000000000:role/trail",
        "isMultiRegionTrail": True,
        "advancedEventSelectors": [
            {"name": "all", "fieldSelectors": [{"field": "eventCategory", "equals": ["Management"]}]}
        ],
    },
    TASK: {
        "family": "server",
        "executionRoleArn": "arn:aws:iam::000000000000:role/execution",
        "cpu": "256",
        "memory": "512",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "containerDefinitions": json.dumps([CONTAINER]),
        "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
    },
    SERVICE: {
        "cluster": ARN.format("ecs", "cluster/main"),
        "desiredCount": 2,
        "launchType": "FARGATE",
        "networkConfiguration": {"subnets": ["subnet-1"], "assignPublicIp": False},
        "deploymentCircuitBreaker": {"enable": True, "rollback": True},
    },
}
"""What passes, one of each type, as the SDK sends it."""

RIGHT |= {
    "aws:lambda/eventSourceMapping:EventSourceMapping": {
        "functionName": "again", "eventSourceArn": ARN.format("sqs", "new"), "batchSize": 10,
        "maximumBatchingWindowInSeconds": 60,
    },
    BALANCER: {"internal": True, "loadBalancerType": "application", "subnets": ["subnet-1", "subnet-2"]},
    TARGET_GROUP: {
        "vpcId": "vpc-1", "targetType": "ip", "port": 8000, "protocol": "HTTP",
        "healthCheck": {"path": "/healthz", "interval": 10, "timeout": 5, "matcher": "200"},
        "stickiness": {"type": "lb_cookie", "enabled": True, "cookieDuration": 86400},
    },
    LISTENER: {
        "loadBalancerArn": ARN.format("elasticloadbalancing", "loadbalancer/app/a/1"), "port": 443, "protocol": "HTTPS",
        "defaultActions": [{"type": "forward", "targetGroupArn": wire.UNKNOWN}],
    },
    "aws:s3/bucketPolicy:BucketPolicy": {"bucket": "coreflux-trail", "policy": wire.UNKNOWN},
    "aws:sqs/queuePolicy:QueuePolicy": {"queueUrl": wire.UNKNOWN, "policy": wire.UNKNOWN},
}  # fmt: skip

GONE = object()


def _policy(document: dict[str, Any], **changed: object) -> str:
    changed_statement = {**document["Statement"][0], **changed}
    kept = {name: value for name, value in changed_statement.items() if value is not GONE}
    return json.dumps({**document, "Statement": [kept]})


WRONG: list[tuple[str, str, str, object, str]] = [
    # what is wrong, type, property, its wrong value, where it is told
    ("an unknown key", STORED, "recoveryWindow", 30, "recoveryWindow"),
    ("a nested unknown key", ROTATION, "rotationRules", {"automaticallyAfterDay": 90},
     "rotationRules.automaticallyAfterDay"),
    ("an unknown key in a list", STORED, "replicas", [{"region": "eu-north-1", "kmsKey": "k"}], "replicas[0].kmsKey"),
    ("a nested key of Python's form", FUNCTION, "loggingConfig", {"log_format": "JSON"}, "loggingConfig.log_format"),
    ("an unknown key of a container", TASK, "containerDefinitions", [{**CONTAINER, "secret": []}],
     "containerDefinitions[0].secret"),
    ("an unknown key of a container's secret", TASK, "containerDefinitions",
     [{**CONTAINER, "secrets": [{"name": "A", "valuefrom": "b"}]}], "containerDefinitions[0].secrets[0].valuefrom"),
    ("an unknown key of a policy", ROLE_POLICY, "policy", _policy(READ, Conditions={}),
     "policy.Statement[0].Conditions"),
    ("a missing argument", ROTATION, "secretId", GONE, "secretId"),
    ("a missing nested argument", FUNCTION, "vpcConfig", {"subnetIds": ["subnet-1"]}, "vpcConfig.securityGroupIds"),
    ("a missing argument in a list", LIFECYCLE, "rules", [{"id": "old"}], "rules[0].status"),
    ("a function without a handler", FUNCTION, "handler", GONE, "handler"),
    ("a function without code", FUNCTION, "code", GONE, "code"),
    ("a statement without a resource", ROLE_POLICY, "policy", _policy(READ, Resource=GONE),
     "policy.Statement[0].Resource"),
    ("a trust policy without a principal", ROLE, "assumeRolePolicy", _policy(TRUST, Principal=GONE),
     "assumeRolePolicy.Statement[0].Principal"),
    ("a number as text", STORED, "recoveryWindowInDays", "30", "recoveryWindowInDays"),
    ("a number with a fraction", FUNCTION, "timeout", 1.5, "timeout"),
    ("text as a number", FILTER, "metricTransformation", {"name": "a", "namespace": "b", "value": 1},
     "metricTransformation.value"),
    ("true as text", ROTATION, "rotateImmediately", "true", "rotateImmediately"),
    ("a number for true", KEY, "enableKeyRotation", 1, "enableKeyRotation"),
    ("one where there are many", SERVICE, "networkConfiguration", {"subnets": "subnet-1"},
     "networkConfiguration.subnets"),
    ("many where there is one", SCHEDULE, "target", [{"arn": LAMBDA, "roleArn": "r"}], "target"),
    ("a tag that is a number", STORED, "tags", {"version": 1}, "tags.version"),
    ("a file that is text", FUNCTION, "code", "lambda.zip", "code"),
    ("an asset for an archive", FUNCTION, "code", {wire.SIGNATURE: wire.ASSET, "text": "a"}, "code"),
    ("a runtime that is none", FUNCTION, "runtime", "python3.99", "runtime"),
    ("an unknown comparison", ALARM, "comparisonOperator", "GreaterThan", "comparisonOperator"),
    ("an unknown statistic", ALARM, "statistic", "sum", "statistic"),
    ("an unknown treatment of missing data", ALARM, "treatMissingData", "no", "treatMissingData"),
    ("an unknown state of a rule", RULE, "state", "ON", "state"),
    ("an unknown mode of a lock", LOCK, "rule", {"defaultRetention": {"mode": "STRICT"}}, "rule.defaultRetention.mode"),
    ("an unknown encryption", ENCRYPTION, "rules", [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "kms"}}],
     "rules[0].applyServerSideEncryptionByDefault.sseAlgorithm"),
    ("an unknown compatibility", TASK, "requiresCompatibilities", ["fargate"], "requiresCompatibilities[0]"),
    ("an unknown processor", TASK, "runtimePlatform", {"cpuArchitecture": "amd64"}, "runtimePlatform.cpuArchitecture"),
    ("an unknown protocol", SUBSCRIPTION, "protocol", "mail", "protocol"),
    ("an effect that is none", ROLE_POLICY, "policy", _policy(READ, Effect="allow"), "policy.Statement[0].Effect"),
    ("a recovery window that AWS has not", STORED, "recoveryWindowInDays", 3, "recoveryWindowInDays"),
    ("more days than AWS rotates after", ROTATION, "rotationRules", {"automaticallyAfterDays": 1001},
     "rotationRules.automaticallyAfterDays"),
    ("both days and a schedule", ROTATION, "rotationRules",
     {"automaticallyAfterDays": 90, "scheduleExpression": "rate(90 days)"}, "rotationRules"),
    ("a window that is none", ROTATION, "rotationRules", {"automaticallyAfterDays": 9, "duration": "3 hours"},
     "rotationRules.duration"),
    ("too short a wait before a key is gone", KEY, "deletionWindowInDays", 1, "deletionWindowInDays"),
    ("too short a life of a key", KEY, "rotationPeriodInDays", 30, "rotationPeriodInDays"),
    ("too little memory", FUNCTION, "memorySize", 64, "memorySize"),
    ("a retention that is none", LOG_GROUP, "retentionInDays", 100, "retentionInDays"),
    ("too many attempts", TARGET, "retryPolicy", {"maximumRetryAttempts": 999}, "retryPolicy.maximumRetryAttempts"),
    ("too long a retention of messages", QUEUE, "messageRetentionSeconds", 9999999, "messageRetentionSeconds"),
    ("memory that does not go with the CPU", TASK, "memory", "4096", "memory"),
    ("an account that is none", PERMISSION, "sourceAccount", "12345", "sourceAccount"),
    ("a role that is none", FUNCTION, "role", "rotate", "role"),
    ("a bucket's name that is none", BUCKET, "bucket", "Coreflux_Trail", "bucket"),
    ("a secret's name that is none", STORED, "name", "prod mqtt", "name"),
    ("an alias that is none", ALIAS, "name", "prod", "name"),
    ("a schedule that is none", SCHEDULE, "scheduleExpression", "rate(1 hours)", "scheduleExpression"),
    ("a tag that is AWS's", QUEUE, "tags", {"aws:mine": "a"}, "tags.aws:mine"),
    ("a pattern that compares with no list", RULE, "eventPattern", '{"source": "aws.secretsmanager"}',
     "eventPattern.source"),
    ("a rule that waits for nothing", RULE, "eventPattern", GONE, "eventPattern"),
    ("dead letters that go nowhere", QUEUE, "redrivePolicy", '{"maxReceiveCount": 3}', "redrivePolicy"),
    ("a balancer that is none", BALANCER, "loadBalancerType", "http", "loadBalancerType"),
    ("a listener's port that is none", LISTENER, "port", 99999, "port"),
    ("health checked too seldom", TARGET_GROUP, "healthCheck", {"interval": 900}, "healthCheck.interval"),
    ("a policy that is no JSON", ROLE_POLICY, "policy", "{", "policy"),
    ("an action without a service", ROLE_POLICY, "policy", _policy(READ, Action="GetSecretValue"),
     "policy.Statement[0].Action"),
]  # fmt: skip


def _conditioned(operator: str, keys: object) -> str:
    return _policy(READ, Condition={operator: keys})


def _denied(**changed: object) -> str:
    """A policy of a resource: nobody but by TLS."""
    plain = {"Bool": {"aws:SecureTransport": "false"}}
    return _policy(READ, **{"Sid": "no plain text", "Effect": "Deny", "Principal": "*", "Condition": plain, **changed})


def _long(size: int, sid: str = "") -> str:
    """A policy of that many bytes at least, without blanks."""
    return _denied(Sid=sid, Resource=["arn:aws:s3:::" + "a" * size]).replace(" ", "")


def _container(**changed: object) -> list[dict[str, Any]]:
    return [{**CONTAINER, **changed}]


def _taken(place: str) -> list[dict[str, Any]]:
    return _container(secrets=[{"name": "MQTT_PASSWORD", "valueFrom": place}])


IN_SECRETS_MANAGER = ARN.format("secretsmanager", "secret:prod/mqtt-AbCdEf")
TWICE = json.dumps({**READ, "Statement": [{**READ["Statement"][0], "Sid": "Read"}] * 2})  # type: ignore[dict-item]

WRONG += [
    # required members of a call that the SDK does not require
    ("a lifecycle without rules", LIFECYCLE, "rules", GONE, "rules"),
    # policies
    ("a policy of no statement", ROLE_POLICY, "policy", json.dumps({**READ, "Statement": []}), "policy.Statement"),
    ("a statement of no action", ROLE_POLICY, "policy", _policy(READ, Action=[]), "policy.Statement[0].Action"),
    ("a statement of no resource", ROLE_POLICY, "policy", _policy(READ, Resource=[]), "policy.Statement[0].Resource"),
    ("an action and all but one", ROLE_POLICY, "policy", _policy(READ, NotAction="s3:*"),
     "policy.Statement[0].NotAction"),
    ("a resource and all but one", ROLE_POLICY, "policy", _policy(READ, NotResource="*"),
     "policy.Statement[0].NotResource"),
    ("a resource that is a name", ROLE_POLICY, "policy", _policy(READ, Resource="prod/mqtt"),
     "policy.Statement[0].Resource"),
    ("a resource without an account's place", ROLE_POLICY, "policy",
     _policy(READ, Resource=["*", "arn:aws:secretsmanager:eu-central-1:secret:a"]), "policy.Statement[0].Resource"),
    ("an action that no service has", ROLE_POLICY, "policy", _policy(READ, Action="secretsmanager:GetSecretValu"),
     "policy.Statement[0].Action"),
    ("a wildcard that meets no action", ROLE_POLICY, "policy", _policy(READ, Action=["secretsmanager:Fetch*"]),
     "policy.Statement[0].Action"),
    ("a service that is none", ROLE_POLICY, "policy", _policy(READ, Action="secretmanager:GetSecretValue"),
     "policy.Statement[0].Action"),
    ("all but an action that is none", ROLE_POLICY, "policy",
     _policy(READ, Action=GONE, NotAction="secretsmanager:GetSecret"), "policy.Statement[0].NotAction"),
    ("an operator that is none", ROLE_POLICY, "policy", _conditioned("StringEqual", {"aws:SourceVpce": "vpce-1"}),
     "policy.Statement[0].Condition.StringEqual"),
    ("an operator that cannot be left open", ROLE_POLICY, "policy", _conditioned("NullIfExists", {"aws:a": "true"}),
     "policy.Statement[0].Condition.NullIfExists"),
    ("an operator that compares nothing", ROLE_POLICY, "policy", _conditioned("StringEquals", "a"),
     "policy.Statement[0].Condition.StringEquals"),
    ("a key of nobody", ROLE_POLICY, "policy", _conditioned("StringEquals", {"SourceVpce": "vpce-1"}),
     "policy.Statement[0].Condition.StringEquals.SourceVpce"),
    ("a blank in IAM's name of a statement", ROLE_POLICY, "policy", _policy(READ, Sid="read it"),
     "policy.Statement[0].Sid"),
    ("a name of two statements", ROLE_POLICY, "policy", TWICE, "policy.Statement[0].Sid"),
    ("a principal of an identity's policy", ROLE_POLICY, "policy", _policy(READ, Principal="*"),
     "policy.Statement[0].Principal"),
    ("a resource of a trust policy", ROLE, "assumeRolePolicy", _policy(TRUST, Resource="*"),
     "assumeRolePolicy.Statement[0].Resource"),
    ("a trust policy that reads", ROLE, "assumeRolePolicy", _policy(TRUST, Action="secretsmanager:GetSecretValue"),
     "assumeRolePolicy.Statement[0].Action"),
    ("a principal that is a name", STORED_POLICY, "policy", _denied(Principal="nobody"),
     "policy.Statement[0].Principal"),
    ("a principal of no kind", STORED_POLICY, "policy", _denied(Principal={"Role": "nobody"}),
     "policy.Statement[0].Principal.Role"),
    ("a principal of AWS that is a name", STORED_POLICY, "policy", _denied(Principal={"AWS": ["*", "nobody"]}),
     "policy.Statement[0].Principal.AWS"),
    ("a service without its domain", ROLE, "assumeRolePolicy", _policy(TRUST, Principal={"Service": "lambda"}),
     "assumeRolePolicy.Statement[0].Principal.Service"),
    ("no principals", STORED_POLICY, "policy", _denied(Principal={"AWS": []}), "policy.Statement[0].Principal.AWS"),
    ("too long a policy in a role", ROLE_POLICY, "policy", _long(10240), "policy"),
    ("too long a policy of its own", POLICY, "policy", _long(6144), "policy"),
    ("too long a policy of a secret", STORED_POLICY, "policy", _long(20480), "policy"),
    ("too long a policy beside a secret", STORED, "policy", _long(20480), "policy"),
    ("too long a policy of a key", KEY, "policy", _long(32768), "policy"),
    ("too long a policy of a bucket", "aws:s3/bucketPolicy:BucketPolicy", "policy", _long(20480), "policy"),
    ("too long a policy of a queue", "aws:sqs/queuePolicy:QueuePolicy", "policy", _long(8192), "policy"),
    # rotation
    ("a rotation by nobody", ROTATION, "rotationLambdaArn", GONE, "rotationLambdaArn"),
    ("a rotation by a name", ROTATION, "rotationLambdaArn", "rotate", "rotationLambdaArn"),
    ("a rotation by what is no function", ROTATION, "rotationLambdaArn", ARN.format("sqs", "rotate"),
     "rotationLambdaArn"),
    *((f"a rotation by {expression}", ROTATION, "rotationRules", {"scheduleExpression": expression},
       "rotationRules.scheduleExpression") for expression in (
        "rate(30 minutes)", "rate(1 hour)", "rate(3 hours)", "rate(0 days)", "every day",
        "cron(0 0 * * * *)", "cron(0 0 ? * ? *)", "cron(30 8 ? * SUN *)", "cron(0 8 1 * ? 2027)", "cron(0 * * * ? *)",
        "cron(0 */2 * * ? *)", "cron(0 8,10 * * ? *)", "cron(0 24 * * ? *)", "cron(0 8 15W * ? *)", "cron(0 8 * * ?)",
    )),
    ("a window that is longer than the time between", ROTATION, "rotationRules",
     {"scheduleExpression": "rate(4 hours)", "duration": "5h"}, "rotationRules.duration"),
    # functions
    ("a function that runs too long", FUNCTION, "timeout", 901, "timeout"),
    ("too much environment", FUNCTION, "environment", {"variables": {"ABC": "a" * 2048, "DEF": "a" * 2048}},
     "environment.variables"),
    ("a variable that Lambda sets", FUNCTION, "environment", {"variables": {"AWS_REGION": "a"}},
     "environment.variables.AWS_REGION"),
    ("a variable's name with a blank", FUNCTION, "environment", {"variables": {"9 a": "a"}},
     "environment.variables.9 a"),
    ("a variable's name of one letter", FUNCTION, "environment", {"variables": {"A": "a"}}, "environment.variables.A"),
    ("a bucket without the key in it", FUNCTION, "s3Bucket", "packages", "s3Key"),
    ("leave for what is no action", PERMISSION, "action", "lambda:Invoke", "action"),
    # alarms, events, schedules
    ("an alarm that compares by nothing", ALARM, "comparisonOperator", GONE, "comparisonOperator"),
    ("an alarm of no number of periods", ALARM, "evaluationPeriods", GONE, "evaluationPeriods"),
    ("an alarm without a threshold", ALARM, "threshold", GONE, "threshold"),
    ("an alarm without a statistic", ALARM, "statistic", GONE, "statistic"),
    ("an alarm without a namespace", ALARM, "namespace", GONE, "namespace"),
    ("an alarm without a period", ALARM, "period", GONE, "period"),
    ("an alarm of nothing", ALARM, "metricName", GONE, "metricName"),
    ("a period that is none", ALARM, "period", 45, "period"),
    ("periods of more than a day", ALARM, "evaluationPeriods", 289, "evaluationPeriods"),
    ("a pattern that is a list", RULE, "eventPattern", '["aws.secretsmanager"]', "eventPattern"),
    ("a schedule of every day twice", RULE, "scheduleExpression", "cron(0 8 * * * *)", "scheduleExpression"),
    ("a schedule of five fields", SCHEDULE, "scheduleExpression", "cron(0 8 * * ?)", "scheduleExpression"),
    ("a time that is none", SCHEDULE, "scheduleExpression", "at(tomorrow)", "scheduleExpression"),
    ("a flexible window of no length", SCHEDULE, "flexibleTimeWindow", {"mode": "FLEXIBLE"},
     "flexibleTimeWindow.maximumWindowInMinutes"),
    # records
    ("a lock of days and years", LOCK, "rule", {"defaultRetention": {"mode": "COMPLIANCE", "days": 1, "years": 1}},
     "rule.defaultRetention"),
    ("a lock of no time", LOCK, "rule", {"defaultRetention": {"mode": "COMPLIANCE"}}, "rule.defaultRetention"),
    ("a lock of no mode", LOCK, "rule", {"defaultRetention": {"days": 1}}, "rule.defaultRetention.mode"),
    ("a trail that nobody may log", TRAIL, "cloudWatchLogsRoleArn", GONE, "cloudWatchLogsRoleArn"),
    ("a trail whose log is nowhere", TRAIL, "cloudWatchLogsGroupArn", GONE, "cloudWatchLogsGroupArn"),
    ("a trail's log without its streams", TRAIL, "cloudWatchLogsGroupArn", ARN.format("logs", "log-group:trail"),
     "cloudWatchLogsGroupArn"),
    # tasks
    ("secrets that nobody may read", TASK, "executionRoleArn", GONE, "executionRoleArn"),
    ("a container without an image", TASK, "containerDefinitions", _container(image=""),
     "containerDefinitions[0].image"),
    ("a variable that is a secret, too", TASK, "containerDefinitions",
     _container(environment=[{"name": "MQTT_PASSWORD", "value": "a"}]), "containerDefinitions[0].secrets[0].name"),
    *((f"a secret at {place}", TASK, "containerDefinitions", _taken(place),
       "containerDefinitions[0].secrets[0].valueFrom") for place in (
        f"{IN_SECRETS_MANAGER}:password", f"{IN_SECRETS_MANAGER}:password:", f"{IN_SECRETS_MANAGER}:password:::",
        f"{IN_SECRETS_MANAGER}:password:AWSCURRENT:0123", "arn:aws:secretsmanager:eu-central-1:secret:prod/mqtt-AbCdEf",
        ARN.format("secretsmanager", "prod/mqtt-AbCdEf"), ARN.format("sqs", "mqtt"), ARN.format("ssm", "mqtt"),
    )),
    ("a CPU that Fargate has not", TASK, "cpu", "300", "cpu"),
    ("no CPU on Fargate", TASK, "cpu", GONE, "cpu"),
    ("no memory on Fargate", TASK, "memory", GONE, "memory"),
    ("memory between Fargate's steps", TASK, "memory", "1536", "memory"),
]  # fmt: skip

AS_RIGHT: list[tuple[str, str, object]] = [
    # type, property, another value that is right
    (ROLE_POLICY, "policy", _policy(READ, Action=["secretsmanager:*", "SecretsManager:Get*Value", "s3:Get?bject"])),
    (ROLE_POLICY, "policy", _policy(READ, Action=GONE, NotAction="iam:*", Sid="Read1")),
    (ROLE_POLICY, "policy", _policy(READ, Resource=["*", "arn:aws:s3:::trail/*", "arn:aws:iam::aws:policy/a"])),
    (ROLE_POLICY, "policy", _conditioned("ForAnyValue:StringEqualsIfExists", {"aws:TagKeys": ["a"]})),
    (ROLE_POLICY, "policy", _conditioned("Null", {"secretsmanager:VersionId": True})),
    (ROLE_POLICY, "policy", json.dumps({**READ, "Statement": READ["Statement"][0]}, indent=8000)),
    (STORED_POLICY, "policy", _denied()),
    (STORED_POLICY, "policy", _denied(Principal={"AWS": ["000000000000", "arn:aws:iam::000000000000:role/a"]})),
    (KEY, "policy", _long(32000)),
    (ROLE, "assumeRolePolicy", _policy(TRUST, Principal={"Federated": "accounts.example.com"})),
    *((ROTATION, "rotationRules", {"scheduleExpression": expression}) for expression in (
        "rate(4 hours)", "rate(1 day)", "cron(0 16 1,15 * ? *)", "cron(0 0 ? * SUN#1 *)", "cron(0 4/12 * * ? *)",
        "cron(0 */4 L 1-6 ? *)", "cron(0 8/10 1/7 JAN-MAR ? *)",
    )),
    (ROTATION, "rotationRules", {"automaticallyAfterDays": 30, "duration": "4h"}),
    (FUNCTION, "timeout", 900),
    (FUNCTION, "environment", {"variables": {"ABC": "a" * 4000, "LANG": "C"}}),
    (FUNCTION, "environment", {"variables": {"ABC": "a" * 4000, "DEF": wire.UNKNOWN}}),
    (ALARM, "period", 10),
    (ALARM, "evaluationPeriods", 288),
    (RULE, "scheduleExpression", "cron(0/15 8-17 ? * MON-FRI *)"),
    (SCHEDULE, "scheduleExpression", "at(2027-01-01T08:00:00)"),
    (SCHEDULE, "scheduleExpression", "rate(1 minute)"),
    (SCHEDULE, "flexibleTimeWindow", {"mode": "FLEXIBLE", "maximumWindowInMinutes": 5}),
    (LOCK, "rule", {"defaultRetention": {"mode": "GOVERNANCE", "years": 1}}),
    *((TASK, "containerDefinitions", _taken(place)) for place in (
        IN_SECRETS_MANAGER, f"{IN_SECRETS_MANAGER}:::", f"{IN_SECRETS_MANAGER}:password:AWSPENDING:",
        f"{IN_SECRETS_MANAGER}:password::0123", ARN.format("ssm", "parameter/mqtt"), "mqtt",
        f"{wire.UNKNOWN}:password::", wire.UNKNOWN,
    )),
    (TASK, "cpu", ".25 vCPU"),
    (TASK, "memory", "1 GB"),
]  # fmt: skip
