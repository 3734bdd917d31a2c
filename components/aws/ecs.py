"""The MCP server on ECS Fargate, with injected or fetched secrets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_aws as aws

from secretops.formats import url_host

from ..core.mcp_server import McpServer, McpServerArgs
from ..core.references import Fetched, NativeRef
from . import policies
from .functions import LOG_DAYS
from .identity import AwsArgs, ecs_task
from .names import Names, applied, arn_after, listed
from .principals import EcsTask
from .redeploy import Redeploy, RedeployArgs
from .task import CA_FILE, PORT, STACK, START_WITHIN, containers

# Fargate's smallest size, a quarter of a vCPU and 512 MB, as in the server's example for Kubernetes.
CPU, MEMORY = "256", "512"

TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"


@dataclass(frozen=True, kw_only=True)
class LoadBalancer:
    vpc: pulumi.Input[str]
    security_groups: pulumi.Input[Sequence[pulumi.Input[str]]]
    certificate: pulumi.Input[str]
    """ARN of an ACM certificate in the stack's region, for the first of `allowed_hosts`."""


@dataclass(frozen=True, kw_only=True)
class EcsMcpServerArgs(McpServerArgs, AwsArgs):
    references: NativeRef | Fetched
    """Returned by the store's method `publish`, or your own references."""
    image: pulumi.Input[str]
    subnets: pulumi.Input[Sequence[pulumi.Input[str]]]
    """Private subnets with routes to the broker, the registry and AWS."""
    security_groups: pulumi.Input[Sequence[pulumi.Input[str]]]
    task: EcsTask | None = None
    """The roles of the tasks. Pass the same object to the store as `reader`. By default the component creates the
    roles, and you grant the role `task.reads` access to the secrets."""
    cluster: pulumi.Input[str] | None = None
    """Name of an existing ECS cluster; by default the component creates a cluster."""
    replicas: int = 2
    """Number of tasks. It must be 1 with a load balancer, since an MCP session lives in one task."""
    allowed_hosts: Sequence[str] = ()
    """Host names by which MCP clients reach the server."""
    connection_tools: bool = False
    """Allows tools that change broker and user for all MCP clients."""
    load_balancer: LoadBalancer | None = None
    architecture: Literal["x86_64", "arm64"] = "x86_64"
    """Architecture of the image; arm64 costs a fifth less."""
    container_insights: bool = False
    """Enables Container Insights in a new cluster. Its metrics are billed."""
    production: bool = True
    """Whether the load balancer is protected from deletion."""
    redeploys: bool = True
    """Whether each new version of an injected secret starts a deployment. The component finds secrets by `prefix` and
    name."""


class EcsMcpServer(McpServer):
    """An ECS service with its task definition, log and cluster. Creates no network, and grants no access to secrets."""

    task: EcsTask

    def __init__(self, name: str, args: EcsMcpServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(
            "coreflux-mcp-secrets:aws:McpServer",
            name,
            opts,
            formerly=lambda suffix: "server-log" if suffix == "log" else suffix,
        )
        account, secrets, broker = args.open_account(name, self), args.references, args.broker
        self._args, self._account, names = args, account, account.names
        injected = isinstance(secrets, NativeRef)
        self.task = task = args.task or ecs_task(name, account, self, injected=injected)
        self._child = account.under(self)
        log = aws.cloudwatch.LogGroup(
            f"{name}-log",
            name=names.log_group("server"),
            retention_in_days=LOG_DAYS,
            kms_key_id=account.log_key,
            opts=self._child,
        )
        own_log = policies.own_log(names.log_arn(names.log_group("server")))
        granted = aws.iam.RolePolicy(
            f"{name}-task-start-grants",
            role=task.execution_role.name,
            policy=applied(args.image, lambda image: policies.document(own_log, *_image_pull(image))),
            opts=self._child,
        )
        definition = aws.ecs.TaskDefinition(
            f"{name}-task",
            family=names.plain("server"),
            requires_compatibilities=["FARGATE"],
            network_mode="awsvpc",
            cpu=CPU,
            memory=MEMORY,
            runtime_platform={"cpu_architecture": args.architecture.upper(), "operating_system_family": "LINUX"},
            execution_role_arn=task.execution_role.arn_output,
            task_role_arn=task.task_role.arn_output,
            volumes=[{"name": STACK}] if broker.ca_file else [],
            container_definitions=pulumi.Output.json_dumps(
                containers(
                    image=args.image,
                    variables=args.public_variables(ca_file=CA_FILE),
                    secrets=secrets,
                    allowed_hosts=args.allowed_hosts,
                    connection_tools=args.connection_tools,
                    broker=broker,
                    log={"group": log.name, "region": names.region},
                ),
                sort_keys=True,
            ),
            # ECS may roll back to the old task definition, and can't deploy a deregistered one.
            skip_destroy=True,
            opts=self._child,
        )
        called = args.cluster or names.plain("cluster")
        cluster = self._cluster(called)
        self.endpoint = f"http://(a task's private address):{PORT}/mcp"
        balanced: list[aws.ecs.ServiceLoadBalancerArgs] = []
        listening: list[pulumi.Resource] = []
        if args.load_balancer:
            group, listener = self._balanced(args.load_balancer)
            balanced = [
                aws.ecs.ServiceLoadBalancerArgs(
                    target_group_arn=group.arn, container_name="server", container_port=PORT
                )
            ]
            listening = [listener]
        service = aws.ecs.Service(
            f"{name}-service",
            name=names.plain("server"),
            cluster=cluster,
            task_definition=definition.arn,
            launch_type="FARGATE",
            desired_count=args.replicas,
            deployment_minimum_healthy_percent=100,
            deployment_maximum_percent=200,
            deployment_circuit_breaker={"enable": True, "rollback": True},
            network_configuration={
                "subnets": listed(args.subnets),
                "security_groups": listed(args.security_groups),
                "assign_public_ip": False,
            },
            load_balancers=balanced,
            health_check_grace_period_seconds=START_WITHIN if balanced else None,
            enable_execute_command=False,  # a shell in the task could read its secrets without a record
            enable_ecs_managed_tags=True,
            propagate_tags="SERVICE",
            wait_for_steady_state=False,  # tasks start with their first values, after `pulumi up`
            opts=account.under(self, after=[granted, *listening]),
        )
        if injected and args.redeploys:
            Redeploy(
                f"{name}-redeploy",
                RedeployArgs(
                    **account.args,
                    cluster=cluster,
                    service=service.name,
                    service_arn=applied(called, lambda at: names.arn("ecs", f"service/{at}/{names.plain('server')}")),
                    secrets=secrets.secrets,
                ),
                pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({"endpoint": self.endpoint})

    def _cluster(self, called: pulumi.Input[str]) -> pulumi.Output[str]:
        names = self._account.names
        if self._args.cluster:
            return pulumi.Output.from_input(called).apply(lambda known: names.arn("ecs", f"cluster/{known}"))
        insights = "enabled" if self._args.container_insights else "disabled"
        made = aws.ecs.Cluster(
            f"{self._name}-cluster",
            name=called,
            settings=[{"name": "containerInsights", "value": insights}],
            opts=self._child,
        )
        return arn_after(made.name, names.arn("ecs", f"cluster/{names.plain('cluster')}"))

    def _balanced(self, balancer: LoadBalancer) -> tuple[aws.lb.TargetGroup, aws.lb.Listener]:
        name, names = self._name, self._account.names
        made = aws.lb.LoadBalancer(
            f"{name}-balancer",
            name=names.balancer,
            internal=True,
            load_balancer_type="application",
            subnets=listed(self._args.subnets),
            security_groups=listed(balancer.security_groups),
            drop_invalid_header_fields=True,
            enable_deletion_protection=self._args.production,
            opts=self._child,
        )
        hosts = self._args.allowed_hosts
        self.endpoint = f"https://{url_host(hosts[0])}/mcp" if hosts else made.dns_name.apply("https://{}/mcp".format)
        group = aws.lb.TargetGroup(
            f"{name}-balancer-tasks",
            name=names.balancer,
            vpc_id=balancer.vpc,
            target_type="ip",
            port=PORT,
            protocol="HTTP",
            deregistration_delay=15,
            # ECS replaces a task that fails this check: neither waiting for the broker nor a busy tool may fail it.
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
            f"{name}-balancer-listener",
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
    found = re.match(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([^:@]+)", image)
    if not found:
        return []
    account, region, repository = found.groups()
    there = Names(stack="", account=account, region=region)
    return policies.image_pull(there.arn("ecr", f"repository/{repository}"))
