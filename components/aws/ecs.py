"""The MCP server on ECS Fargate: the launcher over streamable HTTP, its secrets injected or fetched."""

from __future__ import annotations

import re

import pulumi
import pulumi_aws as aws

from secretops.forms import in_url

from ..core.broker import BrokerArgs
from ..core.mcp_server import McpServer
from ..core.references import Fetched, NativeRef
from ..settings.sections import Environment
from ..settings.settings import Settings
from . import policies
from .functions import LOG_DAYS
from .names import Names, arn_after, names_of
from .principals import EcsTask
from .redeploy import Redeploy
from .settings import AwsStore, EcsServer, LoadBalancer
from .task import CA_FILE, PORT, STACK, START_WITHIN, containers

CPU, MEMORY = "256", "512"
"""Fargate's smallest, a quarter of a CPU and 512 MB: what the server's own example for Kubernetes asks for."""

TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"


class EcsMcpServer(McpServer):
    """A service and what belongs to it. Owns no value, no network and no grant of a secret."""

    def __init__(
        self,
        name: str,
        *,
        store: AwsStore,
        server: EcsServer,
        broker: BrokerArgs,
        task: EcsTask,
        settings: Settings,
        secrets: NativeRef | Fetched,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:aws:McpServer", name, opts)
        self._server, self._account, self._names = server, task.account, names_of(store, settings.stack)
        self._production = settings.environment is Environment.PRODUCTION
        self._cluster_name = server.cluster or self._names.plain("cluster")
        self._child = task.account.under(self)
        log = aws.cloudwatch.LogGroup(
            "server-log",
            name=self._names.log_group("server"),
            retention_in_days=LOG_DAYS,
            kms_key_id=task.account.log_key,
            opts=self._child,
        )
        granted = aws.iam.RolePolicy(
            "task-start-grants",
            role=task.starts.name,
            policy=policies.document(
                policies.own_log(self._names.log_arn(self._names.log_group("server"))), *_image_pull(server.image)
            ),
            opts=self._child,
        )
        definition = aws.ecs.TaskDefinition(
            "task",
            family=self._names.plain("server"),
            requires_compatibilities=["FARGATE"],
            network_mode="awsvpc",
            cpu=CPU,
            memory=MEMORY,
            runtime_platform={"cpu_architecture": server.architecture.upper(), "operating_system_family": "LINUX"},
            execution_role_arn=task.starts.made,
            task_role_arn=task.runs.made,
            volumes=[{"name": STACK}] if broker.ca_file else [],
            container_definitions=pulumi.Output.json_dumps(
                containers(
                    image=server.image,
                    variables=broker.public_variables(
                        log_level=settings.log_level, agent_url=settings.agent_url, ca_file=CA_FILE
                    ),
                    secrets=secrets,
                    allowed_hosts=server.allowed_hosts,
                    connection_tools=server.connection_tools,
                    broker=broker,
                    log={"group": log.name, "region": store.region},
                ),
                sort_keys=True,
            ),
            # While a new one rolls out ECS may go back to it, and refuses to deploy one that is deregistered.
            skip_destroy=True,
            opts=self._child,
        )
        cluster = self._cluster()
        self.endpoint = f"http://(a task's private address):{PORT}/mcp"
        balanced: list[aws.ecs.ServiceLoadBalancerArgs] = []
        listening: list[pulumi.Resource] = []
        if server.load_balancer:
            group, listener = self._balanced(server.load_balancer)
            balanced = [
                aws.ecs.ServiceLoadBalancerArgs(
                    target_group_arn=group.arn, container_name="server", container_port=PORT
                )
            ]
            listening = [listener]
            self.endpoint = f"https://{in_url(server.allowed_hosts[0])}/mcp"
        service = aws.ecs.Service(
            "service",
            name=self._names.plain("server"),
            cluster=cluster,
            task_definition=definition.arn,
            launch_type="FARGATE",
            desired_count=server.replicas,
            deployment_minimum_healthy_percent=100,
            deployment_maximum_percent=200,
            deployment_circuit_breaker={"enable": True, "rollback": True},
            network_configuration={
                "subnets": list(server.subnets),
                "security_groups": list(server.security_groups),
                "assign_public_ip": False,
            },
            load_balancers=balanced,
            health_check_grace_period_seconds=START_WITHIN if balanced else None,
            enable_execute_command=False,  # a shell in the task would read its secrets, and no trail would say so
            enable_ecs_managed_tags=True,
            propagate_tags="SERVICE",
            wait_for_steady_state=False,  # a task starts once its secrets have values, which come after `pulumi up`
            opts=self._account.under(self, after=[granted, *listening]),
        )
        if isinstance(secrets, NativeRef):
            Redeploy(
                "redeploy",
                names=self._names,
                account=self._account,
                cluster=cluster,
                service=service,
                service_arn=self._names.arn("ecs", f"service/{self._cluster_name}/{self._names.plain('server')}"),
                secrets=secrets.secrets,
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({"endpoint": self.endpoint})

    def _cluster(self) -> pulumi.Output[str]:
        """The ARN of the cluster that is named, or of one of the stack's own."""
        arn = self._names.arn("ecs", f"cluster/{self._cluster_name}")
        if self._server.cluster:
            return pulumi.Output.from_input(arn)
        made = aws.ecs.Cluster(
            "cluster",
            name=self._cluster_name,
            settings=[
                {
                    "name": "containerInsights",
                    "value": "enabled" if self._server.container_insights else "disabled",
                }
            ],
            opts=self._child,
        )
        return arn_after(made.name, arn)

    def _balanced(self, balancer: LoadBalancer) -> tuple[aws.lb.TargetGroup, aws.lb.Listener]:
        """An internal load balancer, before one task: sessions live in it."""
        made = aws.lb.LoadBalancer(
            "balancer",
            name=self._names.balancer,
            internal=True,
            load_balancer_type="application",
            subnets=list(self._server.subnets),
            security_groups=list(balancer.security_groups),
            drop_invalid_header_fields=True,
            enable_deletion_protection=self._production,
            opts=self._child,
        )
        group = aws.lb.TargetGroup(
            "balancer-tasks",
            name=self._names.balancer,
            vpc_id=balancer.vpc,
            target_type="ip",
            port=PORT,
            protocol="HTTP",
            deregistration_delay=15,
            # ECS replaces a task that fails this: one that waits for its broker, or whose tool is at work, must not.
            health_check={
                "path": "/healthz",
                "matcher": "200",
                "interval": 15,
                "timeout": 5,
                "healthy_threshold": 2,
                "unhealthy_threshold": 10,
            },
            opts=self._child,
        )
        listener = aws.lb.Listener(
            "balancer-listener",
            load_balancer_arn=made.arn,
            port=443,
            protocol="HTTPS",
            ssl_policy=TLS_POLICY,
            certificate_arn=balancer.certificate,
            default_actions=[{"type": "forward", "target_group_arn": group.arn}],
            opts=self._child,
        )
        return group, listener


def _image_pull(image: str) -> list[policies.Statement]:
    """Rights to an image of ECR; other registries ask ECS for none."""
    found = re.match(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([^:@]+)", image)
    if not found:
        return []
    account, region, repository = found.groups()
    there = Names(stack="", account=account, region=region)
    return policies.image_pull(there.arn("ecr", f"repository/{repository}"))
