"""No app and no job has a value: not as a secret of its own, not as a variable, not as a registry's password."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.containers import in_plain_sight
from policies.matchers import at, each, judge
from policies.plan import Finding, Plan, Resource
from policies.rule import Control, Framework, Rule

RUN = ("azure-native:app:ContainerApp", "azure-native:app:Job")


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(*RUN))


def _public(pair: Any) -> bool:
    name, text = pair
    return not in_plain_sight(name, text)


def _referred(secret: Any) -> bool:
    return bool(at(secret, "keyVaultUrl")) and bool(at(secret, "identity")) and not at(secret, "value")


def _look(plan: Plan) -> Iterator[Finding]:
    for one in plan.of_type(*RUN):
        configuration, template = (at(one.properties, part) for part in ("configuration", "template"))
        for secret in each(at(configuration, "secrets")):
            wrong = "is a value of the app's own; name it by keyVaultUrl and identity, or fetch it"
            yield from judge(one, secret, _referred, "one of its secrets", wrong)
        for registry in each(at(configuration, "registries")):
            user = [at(registry, what) for what in ("username", "passwordSecretRef")]
            wrong = "is a user with a password; name an identity"
            yield from judge(one, user, lambda given: not any(given), "who pulls its image", wrong)
        for kind in ("containers", "initContainers"):
            for container in each(at(template, kind)):
                yield from _judged(one, container)


def _judged(one: Resource, container: Any) -> Iterator[Finding]:
    for variable in each(at(container, "env")):
        name = at(variable, "name")
        told = (name, str(at(variable, "value")))  # an id that is known later is no value by its name
        wrong = "is a value in plain sight; have the launcher fetch it"
        yield from judge(one, told, _public, f"the variable {name} of {at(container, 'name')}", wrong)


RULE = Rule(
    name="azure-containers-hold-no-value",
    sentence="No app and no job has a value: values are fetched by its identity, and images are pulled by one.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "credentials are kept in one store"),
        Control(Framework.PCI_DSS, "8.6.2", "no password in a configuration"),
        Control(Framework.HIPAA, "164.312(a)(1)", "a value is read by whoever may read its secret"),
        Control(Framework.GDPR, "32(1)(b)", "confidentiality"),
    ),
    limitation="What a variable of another name holds: the leak gate of the tests looks for real values.",
    applies=_applies,
    across=_look,
)
