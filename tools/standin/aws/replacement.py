"""Which changes make a new resource: a table for what this project declares.

The provider's schema says it for every property, and is not to be had here. Names and what a thing belongs to are true
for nearly every type; the rest is added by hand from the provider's pages. Where the table is silent the stand-in shows
an update in place, so a replacement that only the real provider knows of is not seen on it.
"""

from __future__ import annotations

from collections.abc import Mapping

ALWAYS = frozenset({"name", "namePrefix", "region"})
"""Every type: its name, and where it is."""

_WHOLE = frozenset({"*"})
"""Any change."""

ALSO: Mapping[str, frozenset[str]] = {
    "aws:secretsmanager/secret:Secret": frozenset({"type"}),
    "aws:secretsmanager/secretRotation:SecretRotation": frozenset({"secretId"}),
    "aws:secretsmanager/secretPolicy:SecretPolicy": frozenset({"secretArn"}),
    "aws:kms/key:Key": frozenset({"customerMasterKeySpec", "keyUsage", "multiRegion", "customKeyStoreId"}),
    "aws:kms/replicaKey:ReplicaKey": frozenset({"primaryKeyArn"}),
    "aws:dynamodb/table:Table": frozenset({"hashKey", "rangeKey"}),
    "aws:iam/role:Role": frozenset({"path"}),
    "aws:iam/policy:Policy": frozenset({"path", "description"}),
    "aws:iam/rolePolicy:RolePolicy": frozenset({"role"}),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": _WHOLE,
    "aws:lambda/function:Function": frozenset({"packageType"}),
    "aws:lambda/permission:Permission": _WHOLE,
    "aws:cloudwatch/logGroup:LogGroup": frozenset({"logGroupClass"}),
    "aws:cloudwatch/logMetricFilter:LogMetricFilter": frozenset({"logGroupName"}),
    "aws:cloudwatch/eventRule:EventRule": frozenset({"eventBusName"}),
    "aws:cloudwatch/eventTarget:EventTarget": frozenset({"rule", "targetId", "eventBusName"}),
    "aws:scheduler/schedule:Schedule": frozenset({"groupName"}),
    "aws:sns/topic:Topic": frozenset({"fifoTopic"}),
    "aws:sns/topicPolicy:TopicPolicy": frozenset({"arn"}),
    "aws:sns/topicSubscription:TopicSubscription": frozenset({"topic", "protocol", "endpoint"}),
    "aws:sqs/queue:Queue": frozenset({"fifoQueue"}),
    "aws:sqs/queuePolicy:QueuePolicy": frozenset({"queueUrl"}),
    "aws:s3/bucket:Bucket": frozenset({"bucket", "bucketPrefix", "objectLockEnabled"}),
    "aws:lambda/eventSourceMapping:EventSourceMapping": frozenset({"eventSourceArn"}),
    "aws:lb/loadBalancer:LoadBalancer": frozenset({"internal", "loadBalancerType"}),
    "aws:lb/targetGroup:TargetGroup": frozenset({"port", "protocol", "targetType", "vpcId"}),
    "aws:lb/listener:Listener": frozenset({"loadBalancerArn"}),
    "aws:ecs/taskDefinition:TaskDefinition": _WHOLE,
    "aws:ecs/service:Service": frozenset({"cluster", "launchType", "schedulingStrategy"}),
    "aws:ec2/securityGroup:SecurityGroup": frozenset({"description", "vpcId"}),
    "aws:ec2/securityGroupRule:SecurityGroupRule": _WHOLE,
    "aws:ec2/vpc:Vpc": frozenset({"cidrBlock"}),
    "aws:ec2/subnet:Subnet": frozenset({"vpcId", "cidrBlock", "availabilityZone"}),
    "aws:ec2/vpcEndpoint:VpcEndpoint": frozenset({"vpcId", "serviceName", "vpcEndpointType"}),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": frozenset({"securityGroupId"}),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": frozenset({"securityGroupId"}),
}

_BUCKET_PARTS = "aws:s3/bucket"
"""`BucketVersioning` and its siblings belong to a bucket."""

IN_PLACE = frozenset({"tags", "tagsAll", "skipDestroy"})
"""Changed in place even of what else is made anew."""


def replaced_by(token: str, properties: frozenset[str]) -> frozenset[str]:
    """Of a resource's `properties`, those whose change makes a new one."""
    also = ALSO.get(token, frozenset({"bucket"}) if token.startswith(_BUCKET_PARTS) else frozenset())
    found = properties if also == _WHOLE else (ALWAYS | also) & properties
    return found - IN_PLACE
