"""What Vault's agent lays into a pod is its launcher's alone, comes by TLS, and its token ends with the pod."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.kubernetes.objects import asked_of_pods
from policies.looking import at, judge
from policies.rule import UNKNOWN, Control, Finding, Framework, Plan, Resource, Rule

_PREFIX = "vault.hashicorp.com/"
_SECRET = f"{_PREFIX}agent-inject-secret-"
_MODES = ("0400", "0440")
_USER = (("agent-run-as-user", lambda user: user not in (None, "", "0"), "is root, or the image's; name the pod's"),)


def _asked(plan: Plan) -> Iterator[tuple[Resource, Any]]:
    """Whatever asks for an agent, and its annotations."""
    for one, said in asked_of_pods(plan):
        if at(said, f"{_PREFIX}agent-inject") is not None:
            yield one, said


def _look(plan: Plan) -> Iterator[Finding]:
    for one, said in _asked(plan):
        for key, keeps, wrong in (
            ("service", lambda url: str(url).startswith("https://"), "is not by TLS; write https://"),
            ("agent-revoke-on-shutdown", lambda on: on == "true", "is off: its token outlives the pod; set it true"),
            *(_USER if at(said, f"{_PREFIX}agent-set-security-context") != "false" else ()),  # else it is the pod's
        ):
            yield from judge(one, at(said, f"{_PREFIX}{key}"), keeps, f"the agent's {key}", wrong)
        for secret in [] if said is UNKNOWN else sorted(key for key in said if key.startswith(_SECRET)):
            yield from judge(
                one,
                at(said, secret.replace(_SECRET, f"{_PREFIX}agent-inject-perms-")),
                lambda mode: mode in _MODES,
                f"the mode of {secret.removeprefix(_SECRET)}",
                "lets others in the pod read it: set agent-inject-perms to 0400",
            )


RULE = Rule(
    name="vault-agent-files-are-closed",
    says="An agent lays each secret into a file of its reader's alone, and gives its token back in the end.",
    controls=(
        Control(Framework.SOC_2, "CC6.3", "the least that a reader needs: to read"),
        Control(Framework.PCI_DSS, "7.2.5", "a system account has no more than its work takes"),
        Control(Framework.HIPAA, "164.312(a)(2)(iii)", "a session ends with who had it"),
        Control(Framework.GDPR, "32(1)(b)", "values stay confidential within a pod"),
    ),
    shows_not="What the injector of the cluster adds to its agents by its own defaults.",
    applies=lambda plan: any(_asked(plan)),
    look=_look,
)
