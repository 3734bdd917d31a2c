"""Check inputs against botocore's service models: ranges, lengths, patterns, enums.

Properties that CALLS maps to no API call are not checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tools.standin import sdk_types
from tools.standin.problems import MISSING, Problem
from tools.standin.sdk_types import did_you_mean, snake
from tools.standin.wire import has_unknown, is_unknown


@dataclass(frozen=True)
class Call:
    """The API call to which a resource's inputs belong. Each property is compared with the request's member of the same
    name; case is ignored.

    `names` maps a property's path to a member whose name differs in more than case, or to None, which excludes the
    property. `within`: the one member of the request that the properties fill, such as Targets. `of`: the one property
    whose entries are compared, such as healthCheck.
    """

    service: str
    operation: str
    names: Mapping[str, str | None] = field(default_factory=dict)
    within: str = ""
    of: str = ""


CALLS: Mapping[str, tuple[Call, ...]] = {
    "aws:secretsmanager/secret:Secret": (Call("secretsmanager", "CreateSecret", {"replicas": "AddReplicaRegions"}),),
    "aws:secretsmanager/secretRotation:SecretRotation": (Call("secretsmanager", "RotateSecret"),),
    "aws:secretsmanager/secretPolicy:SecretPolicy": (
        Call("secretsmanager", "PutResourcePolicy", {"policy": "ResourcePolicy", "secretArn": "SecretId"}),
    ),
    "aws:kms/key:Key": (Call("kms", "CreateKey"), Call("kms", "EnableKeyRotation")),
    "aws:kms/replicaKey:ReplicaKey": (Call("kms", "ReplicateKey"),),
    "aws:kms/alias:Alias": (Call("kms", "CreateAlias", {"name": "AliasName"}),),
    "aws:dynamodb/table:Table": (
        Call("dynamodb", "CreateTable", {"name": "TableName", "attributes": "AttributeDefinitions",
             "attributes.name": "AttributeName", "attributes.type": "AttributeType"}),
    ),
    "aws:lambda/function:Function": (
        Call("lambda", "CreateFunction", {"name": "FunctionName", "code": "Code", "s3Bucket": "Code",
                                          "imageUri": "Code", "fileSystemConfig": None}),
    ),
    "aws:lambda/permission:Permission": (Call("lambda", "AddPermission", {"function": "FunctionName"}),),
    "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": (Call("lambda", "PutFunctionEventInvokeConfig"),),
    "aws:lambda/eventSourceMapping:EventSourceMapping": (Call("lambda", "CreateEventSourceMapping"),),
    "aws:iam/role:Role": (
        Call("iam", "CreateRole", {"name": "RoleName", "assumeRolePolicy": "AssumeRolePolicyDocument"}),
    ),
    "aws:iam/policy:Policy": (Call("iam", "CreatePolicy", {"name": "PolicyName", "policy": "PolicyDocument"}),),
    "aws:iam/rolePolicy:RolePolicy": (
        Call("iam", "PutRolePolicy", {"role": "RoleName", "name": "PolicyName", "policy": "PolicyDocument"}),
    ),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": (Call("iam", "AttachRolePolicy", {"role": "RoleName"}),),
    "aws:cloudwatch/logGroup:LogGroup": (Call("logs", "CreateLogGroup", {"name": "logGroupName"}),),
    "aws:cloudwatch/logMetricFilter:LogMetricFilter": (
        Call("logs", "PutMetricFilter", {"name": "filterName", "pattern": "filterPattern",
                                         "metricTransformation": "metricTransformations",
                                         "metricTransformation.name": "metricName",
                                         "metricTransformation.value": "metricValue",
                                         "metricTransformation.namespace": "metricNamespace"}),
    ),
    "aws:cloudwatch/queryDefinition:QueryDefinition": (Call("logs", "PutQueryDefinition"),),
    "aws:cloudwatch/metricAlarm:MetricAlarm": (Call("cloudwatch", "PutMetricAlarm", {"name": "AlarmName"}),),
    "aws:cloudwatch/eventRule:EventRule": (Call("events", "PutRule"),),
    "aws:cloudwatch/eventTarget:EventTarget": (Call("events", "PutTargets", {"targetId": "Id"}, within="Targets"),),
    "aws:scheduler/schedule:Schedule": (Call("scheduler", "CreateSchedule"),),
    "aws:scheduler/scheduleGroup:ScheduleGroup": (Call("scheduler", "CreateScheduleGroup"),),
    "aws:sns/topic:Topic": (Call("sns", "CreateTopic"),),
    "aws:sns/topicSubscription:TopicSubscription": (Call("sns", "Subscribe", {"topic": "TopicArn"}),),
    "aws:sqs/queue:Queue": (Call("sqs", "CreateQueue", {"name": "QueueName"}),),
    "aws:cloudtrail/trail:Trail": (Call("cloudtrail", "CreateTrail"), Call("cloudtrail", "PutEventSelectors")),
    "aws:s3/bucketVersioning:BucketVersioning": (Call("s3", "PutBucketVersioning"),),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
        Call("s3", "PutBucketEncryption", within="ServerSideEncryptionConfiguration"),
    ),
    "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration": (
        Call("s3", "PutObjectLockConfiguration", within="ObjectLockConfiguration"),
    ),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": (
        Call("s3", "PutBucketOwnershipControls", {"rule": "Rules"}, within="OwnershipControls"),
    ),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": (
        Call("s3", "PutBucketLifecycleConfiguration", within="LifecycleConfiguration"),
    ),
    "aws:ecs/cluster:Cluster": (Call("ecs", "CreateCluster", {"name": "clusterName"}),),
    "aws:ecs/service:Service": (Call("ecs", "CreateService", {"name": "serviceName"}),),
    "aws:ecs/taskDefinition:TaskDefinition": (
        Call("ecs", "RegisterTaskDefinition", {"containerDefinitions": None}),
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": (Call("ec2", "CreateVpcEndpoint"),),
    "aws:lb/loadBalancer:LoadBalancer": (Call("elbv2", "CreateLoadBalancer", {"loadBalancerType": "Type"}),),
    "aws:lb/targetGroup:TargetGroup": (
        Call("elbv2", "CreateTargetGroup", {"healthCheck": None}),
        Call("elbv2", "CreateTargetGroup", {
            "interval": "HealthCheckIntervalSeconds", "timeout": "HealthCheckTimeoutSeconds",
            "path": "HealthCheckPath", "protocol": "HealthCheckProtocol", "healthyThreshold": "HealthyThresholdCount",
            "unhealthyThreshold": "UnhealthyThresholdCount",
        }, of="healthCheck"),
    ),
    "aws:lb/listener:Listener": (Call("elbv2", "CreateListener"),),
}  # fmt: skip

# Properties that are an API's JSON document: text in the SDK, one structure in the model.
DOCUMENTS: Mapping[tuple[str, str], tuple[Call, str]] = {
    ("aws:ecs/taskDefinition:TaskDefinition", "containerDefinitions"): (
        Call("ecs", "RegisterTaskDefinition"),
        "containerDefinitions",
    ),
}

# Properties that Pulumi fills in (auto-naming).
FILLED = frozenset({"name", "statementId", "targetId"})


def problems(token: str, inputs: Mapping[str, Any]) -> Iterator[Problem]:
    for call in CALLS.get(token, ()):
        shape = _input_shape(call)
        given = inputs.get(call.of) if call.of else inputs
        if isinstance(given, Mapping):
            prefix = f"{call.of}." if call.of else ""
            properties = {
                name: value for name, value in given.items() if name != "tags"
            }  # a map in Pulumi, usually a list in the API
            yield from _structure(shape, properties, prefix, call, strict=False)
            if not call.of:
                yield from _missing(token, shape, given, call)
    for (of, name), (call, member) in DOCUMENTS.items():
        if of == token and isinstance(inputs.get(name), str) and not is_unknown(inputs[name]):
            yield from _document(_input_shape(call).members[member], inputs[name], name, call)


def _missing(token: str, shape: Any, given: Mapping[str, Any], call: Call) -> Iterator[Problem]:
    """Yield a problem for each missing input that only the API requires. The provider fills in members without an
    input."""
    arguments = sdk_types.arguments_class(token)
    for member in shape.required_members:
        sources = [
            name
            for name in sdk_types.input_types(arguments)
            if (call.names.get(name) or name).lower() == member.lower()
        ]
        left_out = sources and all(given.get(name) in (None, []) for name in sources)
        if left_out and not FILLED.intersection(sources) and not sdk_types.required(arguments).intersection(sources):
            yield Problem(sources[0], MISSING, f"{_said(call)} cannot do without it", f"give {snake(sources[0])}")


@cache
def _service(name: str) -> Any:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model(name, "service-2"), name)


@cache
def _members(service: str, operation: str) -> Any:
    return _service(service).operation_model(operation).input_shape


def _input_shape(call: Call) -> Any:
    shape = _members(call.service, call.operation)
    if call.within:
        shape = shape.members[call.within]
    return shape.member if shape.type_name == "list" else shape


def _document(shape: Any, text: str, at: str, call: Call) -> Iterator[Problem]:
    try:
        document = json.loads(text)
    except ValueError as error:
        yield Problem(at, text, f"the document must be JSON ({error})", "write the document with json.dumps")
        return
    if not isinstance(document, list) and shape.type_name == "list":
        yield Problem(at, document, "the document must be a JSON list", "put the document into a list")
        return
    yield from _value(shape, document, at, call, strict=True)


def _structure(shape: Any, given: Mapping[str, Any], prefix: str, call: Call, *, strict: bool) -> Iterator[Problem]:
    """Yield the problems of a request's structure. `strict`: unknown keys are problems; otherwise they may be
    properties that only Pulumi has."""
    members = {name if strict else name.lower(): member for name, member in shape.members.items()}
    for name, value in given.items():
        path = re.sub(r"\[\d+\]", "", f"{prefix}{name}").removeprefix(f"{call.of}.")
        wanted = name if strict else call.names.get(path, name)
        if wanted is None:
            continue
        member = members.get(wanted if strict else wanted.lower())
        if member is not None:
            yield from _value(member, value, f"{prefix}{name}", call, strict=strict)
        elif strict:
            yield Problem(
                f"{prefix}{name}",
                value,
                f"{_said(call)} has no key of this name",
                did_you_mean(name, list(shape.members)),
            )
    if strict:
        for name in shape.required_members:
            if name not in given:
                yield Problem(f"{prefix}{name}", MISSING, f"{_said(call)} requires this key", f"add {name}")


def _value(shape: Any, value: Any, at: str, call: Call, *, strict: bool) -> Iterator[Problem]:
    if value is None or is_unknown(value):
        return
    match shape.type_name, value:
        case "structure", dict():
            yield from _structure(shape, value, f"{at}.", call, strict=strict)
        case "list", list():
            if value and not has_unknown(value):  # the provider omits empty lists
                yield from _within(shape, value, at, call)
            for index, item in enumerate(value):
                yield from _value(shape.member, item, f"{at}[{index}]", call, strict=strict)
        case "list", dict() if not strict:  # Pulumi has an object for a list of at most one
            yield from _value(shape.member, value, at, call, strict=strict)
        case "map", dict():
            for key, item in value.items():
                yield from _value(shape.key, key, f"{at}.{key}", call, strict=strict)
                yield from _value(shape.value, item, f"{at}.{key}", call, strict=strict)
        case "string", str():
            yield from _string(shape, value, at, call)
        case (("integer" | "long" | "float" | "double"), int() | float()) if not isinstance(value, bool):
            yield from _within(shape, value, at, call)
        case "boolean", bool():
            return
        case kind, _ if strict:
            yield Problem(at, value, f"{_said(call)} requires a value of type {kind}", "write a value of this type")


def _string(shape: Any, value: str, at: str, call: Call) -> Iterator[Problem]:
    if shape.enum:
        if value not in shape.enum:
            yield Problem(at, value, f"{_said(call)} does not know this {shape.name}", did_you_mean(value, shape.enum))
        return
    yield from _within(shape, value, at, call)
    pattern = shape.metadata.get("pattern")
    if pattern and not _matches(pattern, value):
        yield Problem(
            at, value, f"{_said(call)} requires a value that matches {pattern}", "write the value in this form"
        )


def _within(shape: Any, value: str | list[Any] | float, at: str, call: Call) -> Iterator[Problem]:
    size = len(value) if isinstance(value, str | list) else value
    of = " characters" if isinstance(value, str) else " entries" if isinstance(value, list) else ""
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if (least is not None and size < least) or (most is not None and size > most):
        limits = f"at least {least}" if most is None else f"at most {most}" if least is None else f"{least} to {most}"
        yield Problem(at, value, f"{_said(call)} accepts {limits}{of}", "write a value in this range")


def _said(call: Call) -> str:
    return f"AWS {call.service} {call.operation}"


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    # Botocore has patterns that only Java can read.
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _matches(pattern: str, value: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.fullmatch(value) is not None
