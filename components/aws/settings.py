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
    """The VPC of the rotation functions, if the broker is reachable only from there."""

    subnets: Subnets
    security_groups: SecurityGroups
    way_out: WayOut | None = None
    """Id of a NAT gateway, or of the only VPC endpoint through which functions access values."""


class ExistingTrail(Section):
    """An existing CloudTrail trail, such as the organization's."""

    arn: TrailArn
    log_group: LogGroup


class AwsStore(StoreSection):
    """Secrets Manager in one region of one account."""

    kind: Literal["aws"]
    region: Region
    account: Account
    """Credentials of other accounts are rejected."""
    operators: Annotated[tuple[Operator, ...], Field(min_length=1), AfterValidator(distinct)]
    """Roles and users that may put and read values. Everybody else is denied, administrators included."""
    replicas: Annotated[tuple[Region, ...], AfterValidator(distinct)] = ()
    """Regions with a replica of each secret, encrypted with the region's own key."""
    generation: Annotated[int, between(1, 999, "")] = 1
    """Increase it to redeploy a destroyed stack within its secrets' recovery window."""
    vpc: Vpc | None = None
    retention_days: Retention = 365
    """Retention of the trail, in days."""
    existing_trail: ExistingTrail | None = None
    object_lock: Literal["governance", "compliance"] = "governance"
    """Object Lock mode of the trail's bucket. With `compliance`, not even the account's root user can delete records
    early."""
    alert_emails: Annotated[tuple[Email, ...], AfterValidator(distinct)] = ()
    alert_topic: TopicArn | None = None
    """An existing SNS topic; by default the stack creates a topic."""
    kms_key: KeyArn | None = None
    """Your own KMS key for the secrets. You set its policy. By default the stack creates a key."""
    log_kms_key: KeyArn | None = None
    """KMS key for the logs of functions and tasks; by default AWS' key."""
    permissions_boundary: PolicyArn | None = None
    """Policy that limits each role's rights."""
    role_path: RolePath = "/"
    """IAM path of each role."""
    tags: dict[TagKey, TagValue] = Field(default_factory=dict, max_length=48)
    """Tags in addition to project and stack."""

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
    """Existing cluster; by default the stack creates one."""
    replicas: Annotated[int, between(1, 100, "replicas")] = 2
    """Number of tasks. It must be 1 with a load balancer, since an MCP session lives in one task."""
    reference: Literal["NativeRef", "Fetched"] = "Fetched"
    """Fetched: the launcher fetches secrets, and new versions while it runs. NativeRef: ECS injects secrets as
    environment variables when a task starts, and a new version starts a deployment."""
    copilot: bool = True
    """Uses the Coreflux Copilot. With NativeRef, no task starts before the secret agent-key has a value."""
    allowed_hosts: Annotated[tuple[HostName, ...], AfterValidator(distinct)] = ()
    """Host names by which MCP clients reach the server."""
    connection_tools: bool = False
    """Allows tools that change broker and user for all MCP clients."""
    load_balancer: LoadBalancer | None = None
    architecture: Literal["x86_64", "arm64"] = "x86_64"
    """Architecture of the image; arm64 costs a fifth less."""
    container_insights: bool = False
    """Enables Container Insights in a new cluster. Its metrics are billed."""


class AwsPrivateCa(IssuerSection):
    """A CA of AWS Private CA, with which the rotator may sign only client certificates."""

    kind: Literal["aws-private-ca"]
    only_with: ClassVar[str | None] = "aws"
    arn: PrivateCaArn
    """Another account must share its CA with permission for EndEntityClientAuthCertificate/V1."""
    days: Annotated[int, between(1, 90, "days (Secret Management Guide, Rotation)")] = 30
    """Days that a client certificate is valid; at most 7 with a CA for short-lived certificates."""

    def issuer_of(self, common_name: str) -> AwsPrivateCaIssuer:
        # Without validation: the ARN may be an output.
        return AwsPrivateCaIssuer.model_construct(arn=self.arn, common_name=common_name, seconds=self.days * DAY)
