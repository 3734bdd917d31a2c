"""Use the AWS store with your own server: an ECS service logs in as a broker user that secretops rotates."""

import pulumi
import pulumi_aws as aws
from coreflux_mcp_secrets import BrokerArgs, NativeRef
from coreflux_mcp_secrets.aws import (
    AwsIdentity,
    AwsIdentityArgs,
    AwsSecretStore,
    AwsSecretStoreArgs,
    Redeploy,
    RedeployArgs,
)

ACCOUNT, REGION = "123456789012", "eu-central-1"
CLUSTER = f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/shop"
BROKER = "mqtt.example.com"

identity = AwsIdentity("shop", AwsIdentityArgs(account=ACCOUNT, region=REGION))
task = identity.task(injected=True)  # the roles of your tasks; ECS reads the secrets with the execution role

args = AwsSecretStoreArgs(
    **identity.account.args,  # account, region, provider and dead-letter queue
    broker=BrokerArgs(host=BROKER),
    operators=[f"arn:aws:iam::{ACCOUNT}:role/secrets-operator"],
    reader=task,
)
store = AwsSecretStore("secrets", args)
references = store.publish(reader=task)  # lets `task` read the secrets
assert isinstance(references, NativeRef)  # maps each environment variable to the place where ECS finds its value
store.rotate()
store.record_access()

pull_and_log = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
granted = aws.iam.RolePolicyAttachment("sensors-start", role=task.execution_role.name, policy_arn=pull_and_log)
container = {
    "name": "sensors",
    "image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/sensors:1.4.0",
    "environment": [{"name": "MQTT_BROKER", "value": BROKER}],
    "secrets": [{"name": name, "valueFrom": references.variables[name]} for name in ("MQTT_USER", "MQTT_PASSWORD")],
}
definition = aws.ecs.TaskDefinition(
    "sensors-task",
    family="sensors",
    requires_compatibilities=["FARGATE"],
    network_mode="awsvpc",
    cpu="256",
    memory="512",
    execution_role_arn=task.execution_role.arn_output,
    task_role_arn=task.task_role.arn_output,
    container_definitions=pulumi.Output.json_dumps([container]),
)
service = aws.ecs.Service(
    "sensors",
    cluster=CLUSTER,
    task_definition=definition.arn,
    launch_type="FARGATE",
    desired_count=1,
    network_configuration={"subnets": ["subnet-0123456789abcdef0"], "security_groups": ["sg-0123456789abcdef0"]},
    opts=pulumi.ResourceOptions(depends_on=[granted, store]),
)
again = RedeployArgs(
    **identity.account.args, cluster=CLUSTER, service=service.name, service_arn=service.arn, secrets=["mqtt"]
)
Redeploy("redeploy", again)  # starts new tasks for each new version
pulumi.export("secretops", store.manifest_output)  # the command `secretops` reads this output
