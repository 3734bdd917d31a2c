"""A Role is bound to accounts of its own namespace, each by its name."""

from __future__ import annotations

from collections.abc import Iterator

from policies.kubernetes.objects import namespace_of, of_kind
from policies.matchers import at, each, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

_BINDINGS = ("RoleBinding", "ClusterRoleBinding")


def _look(plan: Plan) -> Iterator[Finding]:
    for one in of_kind(plan, "ClusterRoleBinding", "ClusterRole"):
        yield Finding(one.urn, "is for the whole cluster: the stack has one namespace; make it a Role of that")
    for one in of_kind(plan, "RoleBinding"):
        yield from judge(
            one,
            at(one.properties, "roleRef", "kind"),
            lambda kind: kind == "Role",
            "what it binds",
            "is a role of the whole cluster, which others can widen; bind a Role of the namespace",
        )
        for subject in each(at(one.properties, "subjects")):
            yield from judge(
                one,
                (at(subject, "kind"), at(subject, "name")),
                lambda who: who[0] == "ServiceAccount" and who[1] not in (None, "", "*", "default"),
                "whom it is bound to",
                "is no account of the stack's own: a group or the default account is anybody; name a service account",
            )
            yield from judge(
                one,
                (at(subject, "namespace"), namespace_of(one)),
                lambda where: where[0] == where[1],
                "the namespace of whom it is bound to",
                "is another one: whoever may make accounts there reads the stack's secrets; name one of its own",
            )


RULE = Rule(
    name="kubernetes-bindings-name-accounts",
    sentence="Every Role is bound to named service accounts of its own namespace; nothing is granted in the whole cluster.",
    controls=(
        Control(Framework.SOC_2, "CC6.3", "access is by role, and given to who needs it"),
        Control(Framework.PCI_DSS, "7.2.5", "access of system accounts is given to each by itself"),
        Control(Framework.HIPAA, "164.312(a)(2)(i)", "who reads is one account, which the audit log names"),
        Control(Framework.GDPR, "32(1)(b)", "values are confidential between programs of one cluster"),
    ),
    limitation="Who may make pods in the namespace, and so run as such an account.",
    applies=lambda plan: any(of_kind(plan, *_BINDINGS)),
    across=_look,
)
