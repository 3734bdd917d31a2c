"""The sections of a stack file about AWS: what they may say, and the default for what they do not."""

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
    """How they reach Secrets Manager. Values then go through that endpoint alone, if it is one."""


class ExistingTrail(Section):
    """A CloudTrail trail that somebody keeps, for example the organisation's."""

    arn: TrailArn
    log_group: LogGroup


class AwsStore(StoreSection):
    """Secrets Manager in one region of one account."""

    kind: Literal["aws"]
    region: Region
    account: Account
    """Whatever account the credentials are of: no other is touched."""
    operators: Annotated[tuple[Operator, ...], Field(min_length=1), AfterValidator(distinct)]
    """Who may put and read values beside the stack's own roles: everybody else is denied, administrators too."""
    replicas: Annotated[tuple[Region, ...], AfterValidator(distinct)] = ()
    """Other regions that have a copy of each secret, under a key of their own."""
    generation: Annotated[int, between(1, 999, "")] = 1
    """One more where a destroyed stack is made anew before its secrets' recovery window is over."""
    vpc: Vpc | None = None
    retention_days: Retention = 365
    """Of the trail."""
    existing_trail: ExistingTrail | None = None
    object_lock: Literal["governance", "compliance"] = "governance"
    """How the trail's bucket locks records. Compliance is for good: not even the account's root shortens or ends it."""
    alert_emails: Annotated[tuple[Email, ...], AfterValidator(distinct)] = ()
    alert_topic: TopicArn | None = None
    """An SNS topic that exists; without it one is made."""
    kms_key: KeyArn | None = None
    """A key of this account and region for values; without it one is made. Its policy is yours."""
    log_kms_key: KeyArn | None = None
    """A key of this account and region for the logs of functions and tasks; without it AWS' own encrypts them."""
    permissions_boundary: PolicyArn | None = None
    """The permissions boundary of each role of the stack."""
    role_path: RolePath = "/"
    """The path of each role of the stack."""
    tags: dict[TagKey, TagValue] = Field(default_factory=dict, max_length=48)
    """Tags of each resource, in addition to project and stack."""

    def names(self, stack: str) -> Names:
        """Return the names of a stack in this account and region."""
        own = {"account": self.account, "region": self.region, "role_path": self.role_path}
        return Names(stack=stack, generation=self.generation, **own)


class LoadBalancer(Section):
    """An internal one, before the server's tasks."""

    vpc: VpcId
    security_groups: SecurityGroups
    certificate: CertificateArn
    """Of the stack's region, for the first of the server's allowed_hosts."""


class EcsServer(ServerSection):
    """The MCP server on ECS Fargate."""

    kind: Literal["ecs"]
    image: Image
    subnets: Subnets
    """Private ones, with a way to the broker, the registry and AWS."""
    security_groups: SecurityGroups
    cluster: Cluster | None = None
    replicas: Annotated[int, between(1, 100, "replicas")] = 2
    """1 with a load balancer."""
    reference: Literal["NativeRef", "Fetched"] = "Fetched"
    """How it reaches secrets: the launcher fetches them, and takes a new version while it runs; or ECS injects them as
    environment variables when a task starts, and a new version is a new deployment."""
    copilot: bool = True
    """Whether it asks the Coreflux Copilot: its agent-key then has to have a value before a task can start."""
    allowed_hosts: Annotated[tuple[HostName, ...], AfterValidator(distinct)] = ()
    """Names that clients call it by."""
    connection_tools: bool = False
    """Whether MCP clients may choose the broker and user of all clients, with the server's connection tools."""
    load_balancer: LoadBalancer | None = None
    architecture: Literal["x86_64", "arm64"] = "x86_64"
    """Of the tasks: the image has to be for it. Fargate's ARM64 costs a fifth less."""
    container_insights: bool = False
    """Whether a cluster that the stack makes has Container Insights. Its metrics are billed."""


class AwsPrivateCa(IssuerSection):
    """A CA of AWS Private CA that is there. The tick asks it, and may have it sign for clients alone."""

    kind: Literal["aws-private-ca"]
    only_with: ClassVar[str | None] = "aws"
    arn: PrivateCaArn
    """Another account's is shared with this one, by a permission for that template."""
    days: Annotated[int, between(1, 90, "days (Secret Management Guide, Rotation)")] = 30
    """For which a client's certificate is good: 7 at most where the CA is one for short-lived certificates."""

    def issuer_of(self, common_name: str) -> AwsPrivateCaIssuer:
        """Return the CA as an issuer."""
        # Not validated: this section was, and its ARN may be an output.
        return AwsPrivateCaIssuer.model_construct(arn=self.arn, common_name=common_name, seconds=self.days * DAY)
