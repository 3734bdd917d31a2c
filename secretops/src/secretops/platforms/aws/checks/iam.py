"""Who may do what with an AWS stack's secrets, by IAM's own word: SimulatePrincipalPolicy, which evaluates the policies
of a role or user. https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from secretops.check import Result, attention, ok, unknown
from secretops.errors import StoreError
from secretops.platforms.aws.checks.account import Account

READS = ("secretsmanager:GetSecretValue",)

OPERATES = (
    *("secretsmanager:DescribeSecret", *READS),
    *("secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage"),
)
"""What `secretops put`, `status` and `tick`, and a rotation, do with each secret."""

LOCKS = ("dynamodb:UpdateItem",)
"""What they do with the table of the lease."""


@dataclass(frozen=True)
class OwnRights:
    """Whoever runs this may do what an operator does, by the policies of their own."""

    account: Account
    name: str = "your rights"

    def look(self) -> Result:
        asked = self.account.identity.arn
        names = (*self.account.names, self.account.location.lease)
        return _rights(self.account, {self.account.principal(asked): names}, OPERATES)


@dataclass(frozen=True)
class ReadersRights:
    """Each role that the stack declares may read what it is declared to read."""

    account: Account
    name: str = "readers' rights"

    def look(self) -> Result:
        who: dict[str, tuple[str, ...]] = {}
        for name, readers in self.account.location.readers.items():
            for reader in readers:
                if ":role/" in reader and name in self.account.names:
                    who[reader] = (*who.get(reader, ()), name)
        return _rights(self.account, who, READS) if who else ok("the stack declares none by its ARN")


@dataclass(frozen=True)
class RotatorsRights:
    """The role of each function that AWS calls may do what a rotation does, and write the lease."""

    account: Account
    secrets: tuple[str, ...]
    """Full names of those that AWS rotates."""
    name: str = "rotators' rights"

    def look(self) -> Result:
        described = {name: self.account.secret(name) for name in self.secrets}
        functions = {name: found.get("RotationLambdaARN", "") for name, found in described.items() if found}
        roles = {name: self.account.role_of(function) for name, function in functions.items() if function}
        if gone := [functions[name] for name, role in roles.items() if role is None]:
            return attention(
                f"no function {', '.join(gone)}",
                "AWS calls it to rotate the secret that names it",
                "pulumi up makes it again",
            )
        who: dict[str, tuple[str, ...]] = {}
        for name, role in roles.items():
            who[str(role)] = (*who.get(str(role), (self.account.location.lease,)), name)
        return _rights(self.account, who, OPERATES) if who else ok("no secret has a function")


def _rights(account: Account, who: dict[str, tuple[str, ...]], actions: tuple[str, ...]) -> Result:
    """Whether each of `who` may do `actions` with each of its secrets, by IAM's own word."""
    table = account.location.lease
    if missing := [name for names in who.values() for name in names if name != table and account.secret(name) is None]:
        return unknown(f"{missing[0]} is not there", "rights are asked of what is there", "pulumi up, then look again")
    lacking = list(_lacking(account, who, actions))
    if lacking:
        return attention(
            "; ".join(lacking),
            f"it may {', '.join(actions)} by its own policies (SimulatePrincipalPolicy)",
            "pulumi up grants it to the stack's roles; for yourself ask whoever runs the account",
        )
    return ok(f"{', '.join(sorted(each.rpartition('/')[2] for each in who))}: {', '.join(actions)}")


def _lacking(account: Account, who: dict[str, tuple[str, ...]], actions: tuple[str, ...]) -> Iterator[str]:
    for principal, names in sorted(who.items()):
        if principal.endswith(":root"):
            raise StoreError("the account's root user", rule="policies say nothing of it", remedy="use a role instead")
        for name in names:
            if denied := account.denied(principal, name, LOCKS if name == account.location.lease else actions):
                yield f"{principal} may not {', '.join(denied)} on {name}"
