"""What secretops makes values for is rotated on AWS' own schedule, every 90 days at the latest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.aws.secrets import of_secrets
from policies.matchers import at, judge, listed, require
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

STORE, ROTATION = "coreflux-mcp-secrets:aws:SecretStore", "aws:secretsmanager/secretRotation:SecretRotation"
ALTERNATING = ("mqtt-user", "broker-admin")
"""Kinds of secret that take turns on two users of a broker."""

MOST_DAYS = 90


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(STORE))


def _soon(days: Any) -> bool:
    return isinstance(days, int) and 1 <= days <= MOST_DAYS


def _look(plan: Plan) -> Iterator[Finding]:
    for store in plan.of_type(STORE):
        if not plan.manifest:
            yield Finding(store.urn, "which secrets have to rotate is known after pulumi up", unknown=True)
        rotation_of = of_secrets(plan, ROTATION, "secretId")
        for name in _rotated(plan.manifest):
            yield from require(store, rotation_of(name), f"rotation of {name}", "its value stays; add a schedule")
    for rotation in plan.of_type(ROTATION):
        days = at(rotation.properties, "rotationRules", "automaticallyAfterDays")
        wrong = f"is no number of days up to {MOST_DAYS}: a value is changed by then; set automatically_after_days"
        yield from judge(rotation, days, _soon, "its cadence", wrong)
        function = at(rotation.properties, "rotationLambdaArn")
        yield from judge(rotation, function, bool, "its function", "is none: nothing rotates; name it")


def _rotated(manifest: Mapping[str, Any]) -> Iterator[str]:
    """The names in Secrets Manager of what has to have a schedule, so far as the manifest is known."""
    for secret in listed(at(manifest, "secrets")):
        physical = at(manifest, "store", "secrets", str(at(secret, "name")))
        if at(secret, "kind") in ALTERNATING and isinstance(physical, str):
            yield physical


RULE = Rule(
    name="aws-rotation-scheduled",
    sentence="Secrets Manager rotates each broker user's and admin's password every 90 days or sooner.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "credentials are managed through their life"),
        Control(Framework.PCI_DSS, "8.3.9", "a password that is the only factor is changed every 90 days"),
        Control(Framework.PCI_DSS, "8.6.3", "application accounts' passwords are changed periodically"),
        Control(Framework.HIPAA, "164.312(d)", "a credential that was seen by others ends to be one"),
        Control(Framework.GDPR, "32(1)(b)", "confidentiality, ongoing"),
    ),
    limitation="That rotations succeed: secretops status does. What an operator supplies is reminded of, not rotated.",
    applies=_applies,
    across=_look,
)
