"""Queues and topics are encrypted: their messages name secrets, users and errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

QUEUE, TOPIC = "aws:sqs/queue:Queue", "aws:sns/topic:Topic"


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(QUEUE, TOPIC))


def _either(entries: Any) -> bool:
    managed, key = entries
    return managed is True or bool(key)


def _look(plan: Plan) -> Iterator[Finding]:
    wrong = "is off: its messages are stored as they are; set it"
    for one in plan.of_type(QUEUE, TOPIC):
        told = [at(one.properties, what) for what in ("sqsManagedSseEnabled", "kmsMasterKeyId")]
        yield from judge(one, told, _either, "its encryption", wrong)


RULE = Rule(
    name="aws-messages-encrypted",
    sentence="Every queue and topic is encrypted.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "what names credentials is encrypted where it is stored"),
        Control(Framework.HIPAA, "164.312(a)(2)(iv)", "a mechanism encrypts and decrypts what is stored"),
        Control(Framework.GDPR, "32(1)(a)", "encryption"),
    ),
    limitation="That no message has a value: the functions' code sees to that, and the leak gate looks for it.",
    applies=_applies,
    across=_look,
)
