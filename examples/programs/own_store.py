"""Run the MCP server on ECS with your own secret, which you store and rotate yourself."""

import json

import pulumi
import pulumi_aws as aws
from coreflux_mcp_secrets import BrokerArgs, NativeRef
from coreflux_mcp_secrets.aws import EcsMcpServer, EcsMcpServerArgs

ACCOUNT, REGION = "123456789012", "eu-central-1"
MQTT = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:shop/mqtt-AbCdEf"  # {"username": ..., "password": ...}

server = EcsMcpServer(
    "mcp",
    EcsMcpServerArgs(
        account=ACCOUNT,
        region=REGION,
        image=f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/coreflux-mcp-secrets:0.1.0",
        subnets=["subnet-0123456789abcdef0"],
        security_groups=["sg-0123456789abcdef0"],
        broker=BrokerArgs(host="mqtt.example.com"),
        prefix="shop/",  # each new version of shop/mqtt starts new tasks
        references=NativeRef(
            secrets=("mqtt",),
            variables={"MQTT_USER": f"{MQTT}:username::", "MQTT_PASSWORD": f"{MQTT}:password::"},
        ),
    ),
)
reads = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": MQTT}
aws.iam.RolePolicy(
    "mcp-reads-mqtt",
    role=server.task.execution_role.name,
    policy=json.dumps({"Version": "2012-10-17", "Statement": [reads]}),
)
pulumi.export("endpoint", server.endpoint)
