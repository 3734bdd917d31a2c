"""Which changes replace a resource: a table for this project's types.

The provider's schema is not available here. A change of name or owner replaces nearly every type; the rest is from the
provider's pages. Unknown changes count as updates, so the real provider may replace more.
"""

from __future__ import annotations

from collections.abc import Mapping

# Properties of every type whose change replaces: name and place.
ALWAYS = frozenset({"name", "namePrefix", "region"})

# Any change.
_WHOLE = frozenset({"*"})

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

# BucketVersioning and similar types.
_BUCKET_PARTS = "aws:s3/bucket"

# Properties that are updated in place, although others of the type replace it.
IN_PLACE = frozenset({"tags", "tagsAll", "skipDestroy"})


def replaced_by(token: str, properties: frozenset[str]) -> frozenset[str]:
    also = ALSO.get(token, frozenset({"bucket"}) if token.startswith(_BUCKET_PARTS) else frozenset())
    found = properties if also == _WHOLE else (ALWAYS | also) & properties
    return found - IN_PLACE
