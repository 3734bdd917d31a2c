"""Make ARNs for the mocks. The random suffix of a secret's ARN is a constant here."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

ACCOUNT, REGION = "123456789012", "eu-central-1"
ENDING = "AbCdEf"  # The six characters after a secret's name.

_SHAPES = {
    "secretsmanager/secret:Secret": ("secretsmanager", "secret:{name}-" + ENDING),
    "kms/key:Key": ("kms", "key/{resource}-id"),
    "dynamodb/table:Table": ("dynamodb", "table/{name}"),
    "lambda/function:Function": ("lambda", "function:{name}"),
    "sqs/queue:Queue": ("sqs", "{name}"),
    "sns/topic:Topic": ("sns", "{name}"),
    "lambda/eventSourceMapping:EventSourceMapping": ("lambda", "event-source-mapping:id"),
    "lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": ("lambda", "function:{functionName}"),
    "lambda/permission:Permission": ("lambda", "function:{function}"),
    "sqs/queuePolicy:QueuePolicy": ("sqs", "coreflux-mcp-prod-new-versions"),
    "scheduler/schedule:Schedule": ("scheduler", "schedule/default/{name}"),
    "cloudtrail/trail:Trail": ("cloudtrail", "trail/{name}"),
    "cloudwatch/eventRule:EventRule": ("events", "rule/{name}"),
    "cloudwatch/eventTarget:EventTarget": ("events", "rule/{rule}"),
    "cloudwatch/logGroup:LogGroup": ("logs", "log-group:{name}"),
    "cloudwatch/logMetricFilter:LogMetricFilter": ("logs", "log-group:{logGroupName}"),
    "cloudwatch/metricAlarm:MetricAlarm": ("cloudwatch", "alarm:{name}"),
    "lb/listener:Listener": ("elasticloadbalancing", "listener/app/coreflux-mcp-prod/0/0"),
    "lb/loadBalancer:LoadBalancer": ("elasticloadbalancing", "loadbalancer/app/{name}/0"),
    "lb/targetGroup:TargetGroup": ("elasticloadbalancing", "targetgroup/{name}/0"),
    "ecs/cluster:Cluster": ("ecs", "cluster/{name}"),
    "ecs/service:Service": ("ecs", "service/{cluster}/{name}"),
    "ecs/taskDefinition:TaskDefinition": ("ecs", "task-definition/{family}:1"),
}


def arn_of(kind: str, resource: str, inputs: Mapping[str, Any]) -> str:
    kind = kind.removeprefix("aws:")
    cluster = str(inputs.get("cluster", "default")).rpartition("/")[2]
    named = defaultdict(lambda: resource, {**inputs, "resource": resource, "cluster": cluster})
    if kind.startswith("iam/role"):
        return f"arn:aws:iam::{ACCOUNT}:role{inputs.get('path', '/')}{inputs.get('role', named['name'])}"
    if kind.startswith("s3/"):
        return f"arn:aws:s3:::{named['bucket']}"
    service, shape = _SHAPES.get(kind, (kind.partition("/")[0], "{resource}"))
    return f"arn:aws:{service}:{inputs.get('region', REGION)}:{ACCOUNT}:{shape.format_map(named)}"
