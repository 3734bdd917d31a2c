"""Made-up ids, ARNs and addresses of AWS. Their account number shows that they are made up."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tools.standin.cloud import digits, filler

# No AWS account has this number.
ACCOUNT = "000000000000"

# In place of times that AWS sets; fixed, so that two runs are equal.
STAMP = "2000-01-01T00:00:00Z"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A resource's URN, account, region and inputs. Its ARN and the digits of its id are derived from these, so they
    are equal in each run."""

    urn: str
    account: str
    region: str
    inputs: Mapping[str, Any]

    def digits(self, count: int) -> str:
        return digits(self.urn, count)

    def arn(self, service: str, resource: str, *, regional: bool = True, owned: bool = True) -> str:
        region, account = (self.region if regional else ""), (self.account if owned else "")
        return f"arn:aws:{service}:{region}:{account}:{resource}"

    def given(self, name: str) -> str:
        return str(self.inputs.get(name) or "")


Made = tuple[str, dict[str, Any]]


def _secret(at: Place) -> Made:
    arn = at.arn("secretsmanager", f"secret:{at.given('name')}-{at.digits(6)}")
    return arn, {"arn": arn}


def _of(name: str) -> Callable[[Place], Made]:
    return lambda at: (at.given(name), {})


def _key(at: Place) -> Made:
    key = str(uuid.UUID(at.digits(32)))
    return key, {
        "keyId": key,
        "arn": at.arn("kms", f"key/{key}"),
        "keySpec": "SYMMETRIC_DEFAULT",
        "keyRotationEnabled": True,
    }


def _alias(at: Place) -> Made:
    target = at.given("targetKeyId")
    key = target.rpartition("/")[2]
    target_arn = target if target.startswith("arn:") else at.arn("kms", f"key/{key}")
    return at.given("name"), {"arn": at.arn("kms", at.given("name")), "targetKeyArn": target_arn}


def _iam(kind: str) -> Callable[[Place], Made]:
    def made(at: Place) -> Made:
        path, name = at.given("path") or "/", at.given("name")
        arn = at.arn("iam", f"{kind}{path}{name}", regional=False)
        about = {"arn": arn, "uniqueId": f"AROASTANDIN{at.digits(10).upper()}", "createDate": STAMP}
        return (name if kind == "role" else arn), about | (
            {"policyId": f"ANPA{at.digits(17).upper()}"} if kind == "policy" else {}
        )

    return made


def _role_policy(at: Place) -> Made:
    return f"{at.given('role')}:{at.given('name')}", {}


def _function(at: Place) -> Made:
    arn = at.arn("lambda", f"function:{at.given('name')}")
    invoke = f"arn:aws:apigateway:{at.region}:lambda:path/2015-03-31/functions/{arn}/invocations"
    return at.given("name"), {
        "arn": arn, "invokeArn": invoke, "version": "$LATEST", "lastModified": STAMP,
        "qualifiedArn": f"{arn}:$LATEST", "qualifiedInvokeArn": invoke,
    }  # fmt: skip


def _named(service: str, prefix: str, *, name: str = "name", by_arn: bool = False) -> Callable[[Place], Made]:
    def made(at: Place) -> Made:
        arn = at.arn(service, f"{prefix}{at.given(name)}")
        return (arn if by_arn else at.given(name)), {"arn": arn}

    return made


def _rule(at: Place) -> Made:
    bus, name = at.given("eventBusName"), at.given("name")
    between = f"{bus.rpartition('/')[2]}/" if bus and bus != "default" else ""
    return name, {"arn": at.arn("events", f"rule/{between}{name}")}


def _schedule(at: Place) -> Made:
    group = at.given("groupName") or "default"
    return f"{group}/{at.given('name')}", {"arn": at.arn("scheduler", f"schedule/{group}/{at.given('name')}")}


def _queue(at: Place) -> Made:
    url = f"https://sqs.{at.region}.amazonaws.com/{at.account}/{at.given('name')}"
    return url, {"arn": at.arn("sqs", at.given("name")), "url": url}


def _bucket(at: Place) -> Made:
    name = at.given("bucket")
    domain = f"{name}.s3.{at.region}.amazonaws.com"
    return name, {
        "arn": at.arn("s3", name, regional=False, owned=False), "bucketDomainName": f"{name}.s3.amazonaws.com",
        "bucketRegionalDomainName": domain, "bucketRegion": at.region,
    }  # fmt: skip


def _trail(at: Place) -> Made:
    arn = at.arn("cloudtrail", f"trail/{at.given('name')}")
    return arn, {"arn": arn, "homeRegion": at.region, "snsTopicArn": ""}


def _task(at: Place) -> Made:
    family = at.inputs["family"]
    family_arn = at.arn("ecs", f"task-definition/{family}")
    return family, {"arn": f"{family_arn}:1", "arnWithoutRevision": family_arn, "revision": 1}


def _service(at: Place) -> Made:
    cluster = at.given("cluster").rpartition("/")[2] or "default"
    arn = at.arn("ecs", f"service/{cluster}/{at.given('name')}")
    return arn, {"arn": arn}


def _subscription(at: Place) -> Made:
    arn = f"{at.given('topic')}:{uuid.UUID(at.digits(32))}"
    return arn, {"arn": arn, "ownerId": at.account, "pendingConfirmation": at.given("protocol").startswith("email")}


def _ec2(prefix: str, kind: str) -> Callable[[Place], Made]:
    def made(at: Place) -> Made:
        name = f"{prefix}-{at.digits(17)}"
        return name, {"arn": at.arn("ec2", f"{kind}/{name}"), "ownerId": at.account}

    return made


def _target(at: Place) -> Made:
    target = at.given("targetId") or f"standin-{at.digits(12)}"
    return f"{at.given('rule')}-{target}", {}


def _mapping(at: Place) -> Made:
    made = str(uuid.UUID(at.digits(32)))
    return made, {"uuid": made, "arn": at.arn("lambda", f"event-source-mapping:{made}"), "state": "Enabled"}


def _balancing(kind: str) -> Callable[[Place], Made]:
    def made(at: Place) -> Made:
        name = f"{kind}/{at.given('name')}/{at.digits(16)}"
        arn = at.arn("elasticloadbalancing", name)
        dns = f"{at.given('name')}-{at.digits(10)}.{at.region}.elb.amazonaws.com"
        return arn, {"arn": arn, "arnSuffix": name, "dnsName": dns}

    return made


def _listener(at: Place) -> Made:
    arn = f"{at.given('loadBalancerArn').replace(':loadbalancer/', ':listener/')}/{at.digits(16)}"
    return arn, {"arn": arn}


_MAKERS: Mapping[str, Callable[[Place], Made]] = {
    "aws:secretsmanager/secret:Secret": _secret,
    "aws:secretsmanager/secretRotation:SecretRotation": _of("secretId"),
    "aws:secretsmanager/secretPolicy:SecretPolicy": _of("secretArn"),
    "aws:kms/key:Key": _key,
    "aws:kms/replicaKey:ReplicaKey": _key,
    "aws:kms/alias:Alias": _alias,
    "aws:dynamodb/table:Table": _named("dynamodb", "table/"),
    "aws:iam/role:Role": _iam("role"),
    "aws:iam/policy:Policy": _iam("policy"),
    "aws:iam/rolePolicy:RolePolicy": _role_policy,
    "aws:lambda/function:Function": _function,
    "aws:lambda/eventSourceMapping:EventSourceMapping": _mapping,
    "aws:cloudwatch/logGroup:LogGroup": _named("logs", "log-group:"),
    "aws:cloudwatch/metricAlarm:MetricAlarm": _named("cloudwatch", "alarm:"),
    "aws:cloudwatch/logMetricFilter:LogMetricFilter": _of("name"),
    "aws:cloudwatch/eventRule:EventRule": _rule,
    "aws:cloudwatch/eventTarget:EventTarget": _target,
    "aws:scheduler/schedule:Schedule": _schedule,
    "aws:scheduler/scheduleGroup:ScheduleGroup": _named("scheduler", "schedule-group/"),
    "aws:sns/topic:Topic": _named("sns", "", by_arn=True),
    "aws:sns/topicPolicy:TopicPolicy": _of("arn"),
    "aws:sns/topicSubscription:TopicSubscription": _subscription,
    "aws:sqs/queue:Queue": _queue,
    "aws:sqs/queuePolicy:QueuePolicy": _of("queueUrl"),
    "aws:s3/bucket:Bucket": _bucket,
    "aws:cloudtrail/trail:Trail": _trail,
    "aws:ecs/cluster:Cluster": _named("ecs", "cluster/", by_arn=True),
    "aws:ecs/service:Service": _service,
    "aws:ecs/taskDefinition:TaskDefinition": _task,
    "aws:lb/loadBalancer:LoadBalancer": _balancing("loadbalancer/app"),
    "aws:lb/targetGroup:TargetGroup": _balancing("targetgroup"),
    "aws:lb/listener:Listener": _listener,
    "aws:ec2/securityGroup:SecurityGroup": _ec2("sg", "security-group"),
    "aws:ec2/vpc:Vpc": _ec2("vpc", "vpc"),
    "aws:ec2/subnet:Subnet": _ec2("subnet", "subnet"),
    "aws:ec2/vpcEndpoint:VpcEndpoint": _ec2("vpce", "vpc-endpoint"),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _ec2("sgr", "security-group-rule"),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _ec2("sgr", "security-group-rule"),
}


def computed(token: str, at: Place, output_types: Mapping[str, Any]) -> Made:
    """Return a resource's id and computed outputs, from _MAKERS or else with a made-up value of the right type.

    `output_types` has the SDK's outputs that are not inputs.
    """
    if maker := _MAKERS.get(token):
        resource_id, made = maker(at)
    elif token.startswith("aws:s3/bucket"):  # BucketVersioning and similar types have the bucket's id
        resource_id, made = at.given("bucket"), {}
    else:
        service, kind = token.split(":")[1].partition("/")[0], token.rpartition(":")[2].lower()
        resource_id = f"standin-{kind}-{at.digits(12)}"
        made = {"arn": at.arn(service, f"{kind}/{resource_id}")}
    rest = {name: filler(hint, f"standin-{at.digits(8)}") for name, hint in output_types.items()}
    return resource_id, {name: value for name, value in {**rest, **made}.items() if name in output_types}
