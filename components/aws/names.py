"""What everything in the account is called. Names are given, so that ARNs are known before anything is there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import pulumi

from ..core.naming import physical_name

T = TypeVar("T")
U = TypeVar("U")

BASE = "coreflux-mcp"

_ROLE_LIMIT = 64
_LONGEST_ROLE = len("@rotate-broker-admin")
_PLAIN_LIMIT = 40
"""Characters that leave room for a suffix in a Lambda function's 64, the shortest of those that share the name."""
_BALANCER_LIMIT = 32
_BUCKET_STACK = 30


@dataclass(frozen=True, kw_only=True)
class Names:
    """Of one stack in one account and region."""

    stack: str
    account: str
    region: str
    generation: int = 1
    """Counted up to make secrets and the trail's bucket under new names, while old ones wait to be deleted."""
    role_path: str = "/"
    """IAM path of the stack's roles."""
    prefix: str | None = None
    """What the names of secrets begin with, if it is not our own."""

    @property
    def partition(self) -> str:
        """aws, or the one that the region lies in (AWS, Amazon Resource Names)."""
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    def at(self, region: str) -> Names:
        """The names of what lies in another region."""
        return replace(self, region=region)

    @property
    def root(self) -> str:
        """The account, as a policy's principal."""
        return f"arn:{self.partition}:iam::{self.account}:root"

    @property
    def secrets(self) -> str:
        """What the name of each of the stack's secrets begins with. A stack's name has no slash and no plus."""
        again = f"+{self.generation}" if self.generation > 1 else ""
        return self.prefix or f"{BASE}/{self.stack}{again}/"

    def secret(self, name: str) -> str:
        """A secret's full name. Never a dash and six characters last: AWS takes those for the end of an ARN.

        https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot.html#ARN_secretnamehyphen
        """
        end = "_" if re.search(r"-[A-Za-z0-9]{6}$", name) else ""
        return f"{self.secrets}{name}{end}"

    def secret_pattern(self, name: str) -> str:
        """The ARN of a secret but for the six characters that AWS puts after its name."""
        return self.arn("secretsmanager", f"secret:{self.secret(name)}-??????")

    @property
    def roles(self) -> str:
        """Prefix of the names of the stack's roles, and of no other stack's: theirs have no @ within.

        IAM is global, so the region tells apart two stacks of one name in an account.
        """
        return physical_name(BASE, self.stack, self.region, limit=_ROLE_LIMIT - _LONGEST_ROLE) + "@"

    def role(self, what: str) -> str:
        """A role's name."""
        return f"{self.roles}{what}"

    def role_arn(self, what: str) -> str:
        """A role's ARN."""
        return f"arn:{self.partition}:iam::{self.account}:role{self.role_path}{self.role(what)}"

    def sessions(self, role: str) -> str:
        """How CloudTrail calls whoever is in a role of that ARN: all its sessions. A user's ARN stays what it is."""
        kind, name = self.called(role)
        return f"arn:{self.partition}:sts::{self.account}:assumed-role/{name}/*" if kind == "role" else role

    @staticmethod
    def called(principal: str) -> tuple[str, str]:
        """What IAM calls a principal of that ARN, without its path: whether it is a role or a user, and its name."""
        kind, _, path = principal.rpartition(":")[2].partition("/")
        return kind, path.rpartition("/")[2]

    def plain(self, what: str) -> str:
        """Of a function, a queue, a topic, a rule, a cluster, a trail: letters, digits and dashes."""
        return f"{_plain(BASE, self.stack, limit=_PLAIN_LIMIT)}-{what}"

    def function_arn(self, what: str) -> str:
        """A function's ARN."""
        return self.arn("lambda", f"function:{self.plain(what)}")

    @property
    def lease(self) -> str:
        """The table of the lease."""
        return self.plain("lease")

    @property
    def lease_arn(self) -> str:
        return self.arn("dynamodb", f"table/{self.lease}")

    @property
    def letters(self) -> str:
        """The dead-letter queue."""
        return self.plain("letters")

    @property
    def letters_arn(self) -> str:
        return self.queue_arn("letters")

    def queue_arn(self, what: str) -> str:
        """A queue's ARN."""
        return self.arn("sqs", self.plain(what))

    @property
    def alerts_arn(self) -> str:
        """The ARN of the topic of alerts."""
        return self.arn("sns", self.plain("alerts"))

    def rule_arn(self, what: str) -> str:
        """The ARN of a rule on the default event bus."""
        return self.arn("events", f"rule/{self.plain(what)}")

    @property
    def any_key(self) -> str:
        """The ARN pattern of the KMS keys of this account and region: AWS chooses a key's id when it makes the key.

        https://docs.aws.amazon.com/kms/latest/developerguide/cmks-in-iam-policies.html
        """
        return self.arn("kms", "key/*")

    @property
    def balancer(self) -> str:
        """Of the load balancer and its target group."""
        return _plain(BASE, self.stack, limit=_BALANCER_LIMIT)

    def log_group(self, what: str) -> str:
        """Of a log group."""
        return f"/{BASE}/{self.stack}/{what}"

    def log_arn(self, group: str) -> str:
        """The ARN of a log group of that whole name."""
        return self.arn("logs", f"log-group:{group}")

    @property
    def bucket_arn(self) -> str:
        return f"arn:{self.partition}:s3:::{self.bucket}"

    @property
    def bucket(self) -> str:
        """Of the trail's bucket. All accounts of the world share these names."""
        whole = f"{self.account}/{self.region}/{self.stack}/{self.generation}"
        stack = re.sub(r"[^a-z0-9]+", "-", self.stack.lower())[:_BUCKET_STACK].strip("-")
        return f"{BASE}-{stack}-trail-{hashlib.sha256(whole.encode()).hexdigest()[:10]}"

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource of this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


def arn_after(name: pulumi.Output[str], arn: str) -> pulumi.Output[str]:
    """Return `arn` as an output of the resource whose output `name` is.

    A preview knows the name that the program sets, and no ARN before the resource exists. What takes the result is
    still made after that resource, and replaced with it.
    """
    return name.apply(lambda _: arn)


def applied(value: pulumi.Input[T], change: Callable[[T], pulumi.Input[U]]) -> pulumi.Input[U]:
    """Return `change(value)`: at once for a plain value, as an output for an output."""
    return value.apply(change) if isinstance(value, pulumi.Output) else change(cast(T, value))


def listed(items: pulumi.Input[Sequence[pulumi.Input[str]]]) -> pulumi.Input[Sequence[pulumi.Input[str]]]:
    """Return a list for a resource, of a sequence or an output of one."""
    return applied(items, list)


def _plain(*parts: str, limit: int) -> str:
    """`parts` with a dash for each other character, and a hash of the whole where that changes it."""
    whole = "-".join(parts)
    plain = re.sub(r"[^A-Za-z0-9-]", "-", whole)
    if plain == whole and len(whole) <= limit:
        return whole
    return f"{plain[: limit - 9].rstrip('-')}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"
