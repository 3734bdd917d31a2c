"""A stack that lost a kind of resource breaks a rule, but for what was looked at and is safe to lose."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.unit.policy_plans import shipped, verdicts, without

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")

REFERRED = "others of the stack refer to it: without it they are not made"
LESS = "without it there is less to get at, and nothing is open: the server or the rotator does not run"
RUNS = "it keeps the server up or starts it anew, and protects no value"
AGAIN = "without it what failed is tried again as often as AWS does by itself"
WAKES = "it starts what is due a little earlier: the hourly tick, which a rule asks for, does so without it"
KEPT = "without it records are kept for longer"

UNNOTICED: Mapping[str, Mapping[str, str]] = {
    "dev": {},
    "staging": {
        "kubernetes:apps/v1:Deployment": LESS,
        "kubernetes:coordination.k8s.io/v1:Lease": LESS,
        "kubernetes:core/v1:ConfigMap": LESS,
        "kubernetes:core/v1:Service": LESS,
        "kubernetes:core/v1:ServiceAccount": REFERRED,
        "kubernetes:policy/v1:PodDisruptionBudget": RUNS,
        "kubernetes:rbac.authorization.k8s.io/v1:Role": REFERRED,
    },
    "prod": {
        "aws:ecs/cluster:Cluster": REFERRED,
        "aws:ecs/service:Service": LESS,
        "aws:ecs/taskDefinition:TaskDefinition": REFERRED,
        "aws:iam/role:Role": REFERRED,
        "aws:iam/rolePolicy:RolePolicy": LESS,
        "aws:lambda/eventSourceMapping:EventSourceMapping": RUNS,
        "aws:lambda/function:Function": REFERRED,
        "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": AGAIN,
        "aws:lambda/permission:Permission": LESS,
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": KEPT,
        "aws:sns/topic:Topic": REFERRED,
        "aws:sqs/queue:Queue": REFERRED,
        "aws:sqs/queuePolicy:QueuePolicy": RUNS,
        "pulumi:providers:aws": REFERRED,
    },
    "prod-azure": {
        "azure-native:app:ContainerApp": LESS,
        "azure-native:app:ManagedEnvironment": REFERRED,
        "azure-native:authorization:RoleAssignment": LESS,
        "azure-native:eventgrid:SystemTopic": REFERRED,
        "azure-native:eventgrid:SystemTopicEventSubscription": WAKES,
        "azure-native:managedidentity:UserAssignedIdentity": REFERRED,
        "azure-native:monitor:ActionGroup": REFERRED,
        "azure-native:resources:ResourceGroup": REFERRED,
        "azure-native:storage:BlobContainer": LESS,
        "azure-native:storage:Queue": REFERRED,
        "pulumi:providers:azure-native": REFERRED,
    },
}
"""Stack -> type -> why no rule has to notice that there is none. A component has nothing but what lies in it."""


@pytest.mark.parametrize("stack", UNNOTICED)
def test_a_kind_of_resource_that_is_lost_breaks_a_rule_or_is_on_the_list(stack: str) -> None:
    plan = shipped(stack)
    kinds = {one.type for one in plan.resources if not one.type.startswith("coreflux-mcp-secrets:")}

    lost = {kind for kind in kinds if "broken" not in verdicts(without(kind)(plan)).values()}

    assert sorted(lost) == sorted(UNNOTICED[stack])
