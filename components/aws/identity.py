"""Provider, dead-letter queue and the server's roles, shared by AWS' components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws

from ..core.component import Component, ComponentError
from ..core.naming import stack_name
from . import policies
from .names import Names, arn_after
from .principals import AwsAccount, AwsRole, EcsTask

STARTS, RUNS = "task-start", "task"
SYNC = "sync"


# Retention of dead letters in seconds: 14 days, SQS' maximum.
LETTERS_SECONDS = 1209600


@dataclass(frozen=True, kw_only=True)
class AwsIdentityArgs:
    account: str
    """Twelve digits. Credentials of other accounts are rejected."""
    region: str
    stack: str | None = None
    """Stack name within resource names; by default Pulumi's."""
    generation: int = 1
    """Increase it to redeploy a destroyed stack within its secrets' recovery window."""
    prefix: str | None = None
    """Prefix of secret names, such as shop/; by default coreflux-mcp/STACK/."""
    role_path: str = "/"
    permissions_boundary: pulumi.Input[str] | None = None
    log_kms_key: pulumi.Input[str] | None = None
    """ARN of the KMS key for logs; by default AWS' own key."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags in addition to project and stack. If you pass a provider, set the tags on that provider instead."""

    @property
    def names(self) -> Names:
        return Names(
            stack=stack_name(self.stack),
            account=self.account,
            region=self.region,
            generation=self.generation,
            role_path=self.role_path,
            prefix=self.prefix,
        )


@dataclass(frozen=True, kw_only=True)
class AwsArgs(AwsIdentityArgs):
    shared: AwsAccount | None = None
    """The property `account` of an AwsIdentity or another component, to use its provider and queue. By default the
    component creates its own."""

    def open_account(self, name: str, parent: Component) -> AwsAccount:
        """Return `shared`, or create a provider and a queue below `parent`. Raises ComponentError if `shared` is for
        another region or account."""
        if self.shared is None:
            return AwsIdentity(f"{name}-identity", self, pulumi.ResourceOptions(parent=parent)).account
        _check_place(name, (self.shared.names.region, self.shared.names.account), (self.region, self.account))
        return self.shared


class AwsIdentity(Component):
    """A provider, unless `opts.provider` is set, and a dead-letter queue. Methods create the server's roles, to which
    the store's method `publish` grants access."""

    account: AwsAccount

    def __init__(self, name: str, args: AwsIdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:aws:Identity", name, opts, formerly="")
        names, yours = args.names, self.get_provider("aws:sqs/queue:Queue")
        provider = yours or aws.Provider(
            f"{name}-aws",
            region=args.region,
            allowed_account_ids=[args.account],  # rejects credentials of another account
            default_tags={"tags": {**args.tags, "project": pulumi.get_project(), "stack": names.stack}},
            opts=pulumi.ResourceOptions(parent=self),
        )
        letters = aws.sqs.Queue(
            f"{name}-letters",
            name=names.letters,
            message_retention_seconds=LETTERS_SECONDS,
            sqs_managed_sse_enabled=True,
            opts=pulumi.ResourceOptions(parent=self, provider=provider),
        )
        found = arn_after(letters.name, names.letters_arn)
        if yours:  # a provider's account is only visible in ARNs of its resources

            def checked(arn: str) -> str:
                if arn:  # a program's mocks may return None
                    _, _, _, region, account, *_ = arn.split(":")
                    _check_place(name, (region, account), (args.region, args.account))
                return arn

            found = letters.arn.apply(checked)
        self.account = AwsAccount(
            names=names,
            permissions_boundary=args.permissions_boundary,
            log_key=args.log_kms_key,
            letters=found,
            provider=provider,
        )
        self.register_outputs({"account": args.account, "letters": found})

    def task(self, *, injected: bool = False) -> EcsTask:
        """Declare the two roles of an ECS task. With `injected`, ECS reads the secrets instead of the launcher."""
        return ecs_task(self._name, self.account, self, injected=injected)

    def sync(self, provider: pulumi.Input[str], service_account: str) -> AwsRole:
        trust = pulumi.Output.from_input(provider).apply(lambda arn: policies.trusted_of(arn, service_account))
        return stack_role(f"{self._name}-{SYNC}-role", SYNC, trust, account=self.account, parent=self)


def _check_place(name: str, found: tuple[str, str], wanted: tuple[str, str]) -> None:
    if found != wanted:
        raise ComponentError(
            f"{name}: the AWS provider is for region {found[0]} and account {found[1]}",
            f"the provider must match the arguments: region {wanted[0]}, account {wanted[1]}",
            f"correct the arguments, or pass a provider for region {wanted[0]} and account {wanted[1]}",
            code="provider-of-other-account",
        )


def ecs_task(name: str, account: AwsAccount, parent: Component, *, injected: bool) -> EcsTask:
    trust = policies.trusted("ecs-tasks", account=account.names.account, source=account.names.arn("ecs", "*"))
    starts, runs = (
        stack_role(f"{name}-{what}-role", what, trust, account=account, parent=parent) for what in (STARTS, RUNS)
    )
    return EcsTask(account=account, execution_role=starts, task_role=runs, injected=injected)


def stack_role(
    resource: str, what: str, trust: pulumi.Input[str], *, account: AwsAccount, parent: pulumi.ComponentResource
) -> AwsRole:
    made = aws.iam.Role(
        resource,
        name=account.names.role(what),
        path=account.names.role_path,
        permissions_boundary=account.permissions_boundary,
        assume_role_policy=trust,
        opts=account.under(parent),
    )
    arn = account.names.role_arn(what)
    return AwsRole(name=made.name, arn=arn, arn_output=arn_after(made.name, arn))
