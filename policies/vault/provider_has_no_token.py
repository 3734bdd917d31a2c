"""Pulumi logs in to Vault by a token of its environment, and by nothing that the state keeps."""

from __future__ import annotations

from collections.abc import Iterator

from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule
from policies.vault.reached_by_tls import PROVIDER


def _look(plan: Plan) -> Iterator[Finding]:
    for provider in plan.of_type(PROVIDER):
        for key in sorted({"token", *(key for key in provider.properties if key.startswith("authLogin"))}):
            yield from judge(
                provider,
                at(provider.properties, key),
                lambda login: login is None,
                "a login",
                f"is an input of it, {key}: the state would keep it; leave it to VAULT_TOKEN of whoever deploys",
            )


RULE = Rule(
    name="vault-provider-has-no-token",
    sentence="The provider of Vault has no token and no login among its inputs.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "the login of whoever deploys is in no state"),
        Control(Framework.PCI_DSS, "8.6.2", "no credential is in a configuration"),
        Control(Framework.HIPAA, "164.312(d)", "who changes Vault is the person who deploys"),
        Control(Framework.GDPR, "32(1)(b)", "who has the state has no way into Vault"),
    ),
    limitation="What whoever deploys may do in Vault, and how long his token is good.",
    applies=lambda plan: any(plan.of_type(PROVIDER)),
    across=_look,
)
