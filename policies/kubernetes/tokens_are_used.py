"""A pod has a token of the API server only where a Role says what it is for."""

from __future__ import annotations

from collections.abc import Iterator

from policies.kubernetes.objects import of_kind, pods
from policies.matchers import at, each, judge
from policies.plan import UNKNOWN, Finding, Plan
from policies.rule import Control, Framework, Rule

_KEY = "automountServiceAccountToken"


def _look(plan: Plan) -> Iterator[Finding]:
    for account in of_kind(plan, "ServiceAccount"):
        yield from judge(
            account,
            at(account.properties, _KEY),
            lambda said: said is False,
            "its token",
            f"is in each of its pods unasked; set {_KEY}: false, and true in the pod that uses it",
        )
    bound = [
        at(subject, "name") for one in of_kind(plan, "RoleBinding") for subject in each(at(one.properties, "subjects"))
    ]
    for one, pod in pods(plan):
        mounts, account = at(pod, _KEY), at(pod, "serviceAccountName")
        if mounts is False or (account is not UNKNOWN and account in bound):
            continue
        unknown = UNKNOWN in (mounts, account, *bound)
        yield from judge(
            one,
            UNKNOWN if unknown else account,
            lambda _: False,
            "the token in its pods",
            f"is of an account without a Role: nobody needs what may do nothing; set {_KEY}: false",
        )


RULE = Rule(
    name="kubernetes-tokens-are-used",
    sentence="Only a pod whose account a Role is bound to has a token of the API server.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "no credential lies where nobody uses it"),
        Control(Framework.PCI_DSS, "7.2.5", "system accounts have the least privileges"),
        Control(Framework.HIPAA, "164.312(d)", "who calls the API server is who the stack says"),
        Control(Framework.GDPR, "32(1)(b)", "a broken program has nothing to ask the API server with"),
    ),
    limitation="What others bind to these accounts: a Role from elsewhere gives a token more.",
    applies=lambda plan: any(pods(plan)),
    across=_look,
)
