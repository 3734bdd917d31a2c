"""AWS' sections of a stack file, with defaults."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from secretops.platforms.aws.location import AwsPrivateCaIssuer

from ..core.naming import DAY
from ..settings.constraints import between, distinct
from ..settings.field_types import Email, HostName, Image, TagValue
from ..settings.section import IssuerSection, Section, ServerSection, StoreSection
from .field_types import (
    Account,
    CertificateArn,
    Cluster,
    KeyArn,
    LogGroup,
    Operator,
    PolicyArn,
    PrivateCaArn,
    Region,
    Retention,
    RolePath,
    SecurityGroups,
    Subnets,
    TagKey,
    TopicArn,
    TrailArn,
    VpcId,
    WayOut,
)
from .names import Names


class Vpc(Section):
    """Where the rotating functions run, for a broker that only a VPC reaches."""

    subnets: Subnets
    security_groups: SecurityGroups
    way_out: WayOut | None = None
    """The VPC's endpoint of Secrets Manager, the only way for values then; or a NAT gateway."""


class ExistingTrail(Section):
    """A CloudTrail trail that exists, for example the organization's."""

    arn: TrailArn
    log_group: LogGroup


class AwsStore(StoreSection):
    """Secrets Manager in one region of one account."""

    kind: Literal["aws"]
    region: Region
    account: Account
    """The AWS account. Credentials of another account change nothing."""
    operators: Annotated[tuple[Operator, ...], Field(min_length=1), AfterValidator(distinct)]
    """Roles and users that may put and read values. Everybody else is denied, also administrators."""
    replicas: Annotated[tuple[Region, ...], AfterValidator(distinct)] = ()
    """Other regions with a copy of each secret, under their own key."""
    generation: Annotated[int, between(1, 999, "")] = 1
    """Increase it to deploy a destroyed stack again before its secrets' recovery window ends."""
    vpc: Vpc | None = None
    retention_days: Retention = 365
    """Retention of the trail."""
    existing_trail: ExistingTrail | None = None
    object_lock: Literal["governance", "compliance"] = "governance"
    """How the trail's bucket locks records. Compliance is final: not even the account's root can shorten or end it."""
    alert_emails: Annotated[tuple[Email, ...], AfterValidator(distinct)] = ()
    alert_topic: TopicArn | None = None
    """An SNS topic that exists; by default one is made."""
    kms_key: KeyArn | None = None
    """KMS key of the values; by default one is made. You manage the policy of your key."""
    log_kms_key: KeyArn | None = None
    """KMS key of the logs of functions and tasks; by default AWS' key encrypts them."""
    permissions_boundary: PolicyArn | None = None
    """Permissions boundary of each role."""
    role_path: RolePath = "/"
    """IAM path of each role."""
    tags: dict[TagKey, TagValue] = Field(default_factory=dict, max_length=48)
    """Tags of each resource, in addition to project and stack."""

    def names(self, stack: str) -> Names:
        own = {"account": self.account, "region": self.region, "role_path": self.role_path}
        return Names(stack=stack, generation=self.generation, **own)


class LoadBalancer(Section):
    """An internal load balancer for one task."""

    vpc: VpcId
    security_groups: SecurityGroups
    certificate: CertificateArn
    """ACM certificate in the stack's region, for the first of the server's allowed_hosts."""


class EcsServer(ServerSection):
    """The MCP server on ECS Fargate."""

    kind: Literal["ecs"]
    image: Image
    subnets: Subnets
    """Private subnets with routes to the broker, the registry and AWS."""
    security_groups: SecurityGroups
    cluster: Cluster | None = None
    replicas: Annotated[int, between(1, 100, "replicas")] = 2
    """Number of tasks; 1 with a load balancer."""
    reference: Literal["NativeRef", "Fetched"] = "Fetched"
    """Fetched: the launcher fetches secrets, and new versions while it runs. NativeRef: ECS injects variables when
    a task starts, and a new version starts a deployment."""
    copilot: bool = True
    """Whether it uses the Coreflux Copilot. Injected tasks then start once agent-key has a value."""
    allowed_hosts: Annotated[tuple[HostName, ...], AfterValidator(distinct)] = ()
    """Host names that clients use."""
    connection_tools: bool = False
    """Whether MCP clients may choose the broker and user of all clients, with the server's connection tools."""
    load_balancer: LoadBalancer | None = None
    architecture: Literal["x86_64", "arm64"] = "x86_64"
    """Architecture of the image. Fargate's ARM64 costs a fifth less."""
    container_insights: bool = False
    """Whether a cluster that is made has Container Insights. Its metrics are billed."""


class AwsPrivateCa(IssuerSection):
    """A CA of AWS Private CA, with which the tick may sign client certificates alone."""

    kind: Literal["aws-private-ca"]
    only_with: ClassVar[str | None] = "aws"
    arn: PrivateCaArn
    """A CA of another account needs a shared permission for the client template."""
    days: Annotated[int, between(1, 90, "days (Secret Management Guide, Rotation)")] = 30
    """Lifetime of a client certificate; at most 7 with a CA for short-lived certificates."""

    def issuer_of(self, common_name: str) -> AwsPrivateCaIssuer:
        # Without validation: the ARN may be an output.
        return AwsPrivateCaIssuer.model_construct(arn=self.arn, common_name=common_name, seconds=self.days * DAY)
