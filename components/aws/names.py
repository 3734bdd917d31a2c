"""Names of resources in AWS, computed so that their ARNs are known before the resources exist."""

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
# Maximum number of characters of a name without its suffix: a Lambda function's name has at most 64.
_PLAIN_LIMIT = 40
_BALANCER_LIMIT = 32
_BUCKET_STACK = 30


@dataclass(frozen=True, kw_only=True)
class Names:
    stack: str
    account: str
    region: str
    generation: int = 1
    """Number within the names of secrets and bucket."""
    role_path: str = "/"
    prefix: str | None = None
    """Prefix of secret names; by default coreflux-mcp/STACK/."""

    @property
    def partition(self) -> str:
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    def at(self, region: str) -> Names:
        return replace(self, region=region)

    @property
    def root(self) -> str:
        """Return the ARN with which policies name the whole account."""
        return f"arn:{self.partition}:iam::{self.account}:root"

    @property
    def secrets(self) -> str:
        """Return the prefix of secret names. No two stacks share a prefix, since stack names contain no slash or
        plus."""
        again = f"+{self.generation}" if self.generation > 1 else ""
        return self.prefix or f"{BASE}/{self.stack}{again}/"

    def secret(self, name: str) -> str:
        """Return a secret's full name. It gets a trailing underscore if it ends with a dash and six characters, which
        Secrets Manager could mistake for the suffix of an ARN.

        https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot.html#ARN_secretnamehyphen
        """
        end = "_" if re.search(r"-[A-Za-z0-9]{6}$", name) else ""
        return f"{self.secrets}{name}{end}"

    def secret_pattern(self, name: str) -> str:
        """Return a secret's ARN with a wildcard for AWS' six-character suffix."""
        return self.arn("secretsmanager", f"secret:{self.secret(name)}-??????")

    @property
    def roles(self) -> str:
        """Return the prefix of role names. It contains the region, since IAM is global."""
        return physical_name(BASE, self.stack, self.region, limit=_ROLE_LIMIT - _LONGEST_ROLE) + "@"

    def role(self, what: str) -> str:
        return f"{self.roles}{what}"

    def role_arn(self, what: str) -> str:
        return f"arn:{self.partition}:iam::{self.account}:role{self.role_path}{self.role(what)}"

    def sessions(self, role: str) -> str:
        """Return the ARN pattern of a role's sessions, as CloudTrail logs them. A user's ARN is returned unchanged."""
        kind, name = self.called(role)
        return f"arn:{self.partition}:sts::{self.account}:assumed-role/{name}/*" if kind == "role" else role

    @staticmethod
    def called(principal: str) -> tuple[str, str]:
        """Return a principal's kind (role or user) and its name without path, from its ARN."""
        kind, _, path = principal.rpartition(":")[2].partition("/")
        return kind, path.rpartition("/")[2]

    def plain(self, what: str) -> str:
        """Return the name of the function, queue, topic, rule, cluster or trail `what`."""
        return f"{_plain(BASE, self.stack, limit=_PLAIN_LIMIT)}-{what}"

    def function_arn(self, what: str) -> str:
        return self.arn("lambda", f"function:{self.plain(what)}")

    @property
    def lease(self) -> str:
        return self.plain("lease")

    @property
    def lease_arn(self) -> str:
        return self.arn("dynamodb", f"table/{self.lease}")

    @property
    def letters(self) -> str:
        return self.plain("letters")

    @property
    def letters_arn(self) -> str:
        return self.queue_arn("letters")

    def queue_arn(self, what: str) -> str:
        return self.arn("sqs", self.plain(what))

    @property
    def alerts_arn(self) -> str:
        return self.arn("sns", self.plain("alerts"))

    def rule_arn(self, what: str) -> str:
        return self.arn("events", f"rule/{self.plain(what)}")

    @property
    def any_key(self) -> str:
        """Return the ARN pattern of all keys in the account and region. A single key's ARN is not known in advance,
        since AWS generates key ids.

        https://docs.aws.amazon.com/kms/latest/developerguide/cmks-in-iam-policies.html
        """
        return self.arn("kms", "key/*")

    @property
    def balancer(self) -> str:
        return _plain(BASE, self.stack, limit=_BALANCER_LIMIT)

    def log_group(self, what: str) -> str:
        return f"/{BASE}/{self.stack}/{what}"

    def log_arn(self, group: str) -> str:
        return self.arn("logs", f"log-group:{group}")

    @property
    def bucket_arn(self) -> str:
        return f"arn:{self.partition}:s3:::{self.bucket}"

    @property
    def bucket(self) -> str:
        whole = f"{self.account}/{self.region}/{self.stack}/{self.generation}"
        stack = re.sub(r"[^a-z0-9]+", "-", self.stack.lower())[:_BUCKET_STACK].strip("-")
        return f"{BASE}-{stack}-trail-{hashlib.sha256(whole.encode()).hexdigest()[:10]}"

    def arn(self, service: str, resource: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


def arn_after(name: pulumi.Output[str], arn: str) -> pulumi.Output[str]:
    """Return the computed `arn` as an output that depends on the resource with the output `name`.

    Unlike that resource's own ARN, the result is known in previews. Resources that use the result are created after
    that resource, and replaced with it.
    """
    return name.apply(lambda _: arn)


def applied(value: pulumi.Input[T], change: Callable[[T], pulumi.Input[U]]) -> pulumi.Input[U]:
    """Return `change(value)`. The result is an output if `value` is an output."""
    return value.apply(change) if isinstance(value, pulumi.Output) else change(cast(T, value))


def listed(items: pulumi.Input[Sequence[pulumi.Input[str]]]) -> pulumi.Input[Sequence[pulumi.Input[str]]]:
    return applied(items, list)


def _plain(*parts: str, limit: int) -> str:
    whole = "-".join(parts)
    plain = re.sub(r"[^A-Za-z0-9-]", "-", whole)
    if plain == whole and len(whole) <= limit:
        return whole
    return f"{plain[: limit - 9].rstrip('-')}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"
