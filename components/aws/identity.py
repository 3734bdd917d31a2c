"""The server's identity on AWS: the account, and the roles that are the server's own."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from ..core.component import Component
from . import policies
from .names import arn_after, names_of
from .principals import AwsAccount, AwsRole, EcsTask
from .roles import stack_role
from .settings import AwsStore, EcsServer

STARTS, RUNS = "task-start", "task"
SYNC = "sync"


LETTERS_SECONDS = 1209600
"""14 days, SQS' longest: how long a person has to look at what failed."""


class AwsIdentity(Component):
    """The provider of the one account that the stack file names, the dead-letter queue, and the server's roles.

    Owns no right to a secret: what the roles may read is for the store to grant.
    """

    def __init__(self, name: str, *, store: AwsStore, stack: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:aws:Identity", name, opts)
        provider = aws.Provider(
            "aws",
            region=store.region,
            allowed_account_ids=[store.account],  # credentials of another account change nothing
            default_tags={"tags": {**store.tags, "project": pulumi.get_project(), "stack": stack}},
            opts=pulumi.ResourceOptions(parent=self),
        )
        self._names = names_of(store, stack)
        letters = aws.sqs.Queue(
            "letters",
            name=self._names.letters,
            message_retention_seconds=LETTERS_SECONDS,
            sqs_managed_sse_enabled=True,
            opts=pulumi.ResourceOptions(parent=self, provider=provider),
        )
        self.account = AwsAccount(
            id=store.account,
            region=store.region,
            permissions_boundary=store.permissions_boundary,
            log_key=store.log_kms_key,
            letters=arn_after(letters.name, self._names.letters_arn),
            provider=provider,
        )
        self.register_outputs({"account": store.account})

    def task(self, server: EcsServer) -> EcsTask:
        """A task's two roles."""
        trust = policies.trusted("ecs-tasks", account=self.account.id, source=self._names.arn("ecs", "*"))
        starts, runs = (self._role(what, trust) for what in (STARTS, RUNS))
        reads = runs if server.reference == "Fetched" else starts
        return EcsTask(account=self.account, starts=starts, runs=runs, reads=reads)

    def sync(self, provider: pulumi.Input[str], service_account: str) -> AwsRole:
        """The role that a cluster's service account takes, which `provider` knows."""
        trust = pulumi.Output.from_input(provider).apply(lambda arn: policies.trusted_of(arn, service_account))
        return self._role(SYNC, trust)

    def _role(self, what: str, trust: pulumi.Input[str]) -> AwsRole:
        made = stack_role(what, trust, names=self._names, account=self.account, parent=self)
        arn = self._names.role_arn(what)
        return AwsRole(name=made.name, arn=arn, made=arn_after(made.name, arn))
