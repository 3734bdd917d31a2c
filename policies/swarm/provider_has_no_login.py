"""Nodes pull the image with a login that lies in Docker's own file, and in no input of the provider."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from policies.matchers import at, each, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

_PROVIDER = "pulumi:providers:docker"
_OF_A_LOGIN = ("password", "username", "configFileContent")


def _decoded(entry: Any) -> Any:
    """A provider's inputs are texts, of JSON where they are more than a word."""
    try:
        return json.loads(entry) if isinstance(entry, str) else entry
    except ValueError:
        return None


def _look(plan: Plan) -> Iterator[Finding]:
    for provider in plan.of_type(_PROVIDER):
        for registry in each(_decoded(at(provider.properties, "registryAuth"))):
            for key in _OF_A_LOGIN:
                yield from judge(
                    provider,
                    at(registry, key),
                    lambda said: said is None,
                    "a registry's login",
                    f"is an input of it, {key}: the state would keep it; name the address alone, and docker login",
                )
        for key in ("keyMaterial", "certMaterial"):
            yield from judge(
                provider,
                at(provider.properties, key),
                lambda said: said in (None, ""),
                "the key of a TLS login",
                f"is an input of it, {key}: the state would keep it; leave it to DOCKER_CERT_PATH",
            )


RULE = Rule(
    name="swarm-provider-has-no-login",
    sentence="The provider of the Swarm has no login of a registry and no key among its inputs.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "the login of whoever deploys is in no state"),
        Control(Framework.PCI_DSS, "8.6.2", "no credential is in a configuration"),
        Control(Framework.HIPAA, "164.312(d)", "who changes the Swarm is the person who deploys"),
        Control(Framework.GDPR, "32(1)(b)", "who has the state has no way into a registry"),
    ),
    limitation="What the managers keep of a login that a service was deployed with.",
    applies=lambda plan: any(plan.of_type(_PROVIDER)),
    across=_look,
)
