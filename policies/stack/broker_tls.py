"""The broker is spoken to by TLS, except on the machine of whoever develops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge
from policies.plan import Environment, Finding, Plan
from policies.rule import Control, Framework, Rule

HERE = frozenset({"localhost", "127.0.0.1", "::1"})


def _look(plan: Plan) -> Iterator[Finding]:
    develops = plan.environment is Environment.DEVELOPMENT
    broker = at(plan.outputs, "secretops", "broker")

    def kept(entry: Any) -> bool:
        tls, host = entry
        return tls is True or (develops and host in HERE)

    yield from judge(
        plan,
        [at(broker, "tls"), at(broker, "host")],
        kept,
        "the way to the broker",
        "is not encrypted: a password is sent by TLS; set broker.tls, or develop with a broker of this machine",
    )


RULE = Rule(
    name="stack-speaks-tls-to-the-broker",
    sentence="Credentials go to the broker by TLS; only in development, and on one machine, without.",
    controls=(
        Control(Framework.SOC_2, "CC6.7", "a credential is protected while it is sent"),
        Control(Framework.PCI_DSS, "4.2.1", "what goes over a network is strongly encrypted"),
        Control(Framework.PCI_DSS, "8.3.2", "a password is unreadable while it is sent"),
        Control(Framework.HIPAA, "164.312(e)(1)", "data is guarded while it is sent"),
        Control(Framework.HIPAA, "164.312(e)(2)(ii)", "it is encrypted while it is sent"),
        Control(Framework.GDPR, "32(1)(a)", "encryption on the way"),
    ),
    limitation="Which versions and ciphers the broker accepts, nor that its certificate is good.",
    applies=lambda plan: "secretops" in plan.outputs,
    across=_look,
)
