"""The page of controls and rules, made of evidence: `python -m policies.compliance EVIDENCE > PAGE`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from policies.catalogue import rules
from policies.controls import CONTROLS
from policies.evidence import FORM, Verdict
from policies.rule import Framework, Rule

NOT_APPLICABLE = str(Verdict.NOT_APPLICABLE)

_ABOUT = """\
# Compliance

What a stack has to hold to, as rules that a machine judges, and the controls that each rule serves. Generated from the
rules in `policies/` and from [evidence](compliance.json).

A rule judges what a stack **declares**: the inputs of its resources and its outputs. A rule that is kept does not show
that an account looks so now (`secretops doctor` and a drift run do), that people do their part, or that an auditor
agrees. No rule and no page makes anybody compliant: a control asks for more than one program can declare. What a rule
does not show stands beside it.

`make preview STACK=prod` judges a stack by these rules, as a policy pack of Pulumi: one that is broken fails the
preview. The same rules judge a preview's JSON where no pack can run, and write the evidence (with `.venv` active, and
your stack's name in STACK):

```sh
PULUMI_ENABLE_STREAMING_JSON_PREVIEW=true pulumi preview --json --stack $STACK > preview.json
python -m policies --json evidence.json preview.json
```

Exit code 0: every rule is kept, or can't be judged before `pulumi up` has made what it hangs on. 1: one is broken. 2:
that was no preview. The evidence names stacks, rules, resources and controls, and has no value in it. `--at TIME` and
`--commit COMMIT` go into it as they are given; `python -m policies.compliance evidence.json` makes this page of it.
"""

_SOURCES = {
    "mocks": "from the program under Pulumi's mocks, over each stack file that is shipped, as if all of it were made "
    "already. No account, cluster or Swarm was asked.",
    "preview": "from previews by the Pulumi CLI.",
}


def page(evidence: Mapping[str, Any]) -> str:
    """The whole page, for this evidence."""
    return "\n".join([_ABOUT, *_controls(), *_rules(), *_results(evidence)]) + "\n"


def _controls() -> Iterator[str]:
    yield from (
        "## Controls",
        "",
        "What a control asks for is said in our words. PCI DSS, HIPAA and the GDPR speak of card, health and personal",
        "data: a stack here keeps what opens the systems that may hold such, so a rule serves a control for these",
        "credentials, and not for that data. A control that is not listed is served by no rule.",
    )
    for framework in Framework:
        yield from ("", f"### {framework}")
        for control, asks in CONTROLS[framework].items():
            served: dict[str, list[str]] = {}
            for rule in rules():
                for one in rule.controls:
                    if (one.framework, one.id) == (framework, control):
                        served.setdefault(one.because, []).append(f"[`{rule.name}`](#{rule.name})")
            if served:
                yield from ("", f"**{control}**: {asks}", "")
                yield from (f"* {because}: {', '.join(names)}" for because, names in served.items())
    yield ""


def _rules() -> Iterator[str]:
    yield from ("## Rules", "")
    for rule in rules():
        yield from (f"### {rule.name}", "", _whole(rule), "")


def _whole(rule: Rule) -> str:
    controls = ", ".join(f"{control.framework} {control.id}" for control in rule.controls)
    return f"{rule.sentence} *Does not show:* {rule.limitation} ({rule.enforcement}; {controls})"


def _results(evidence: Mapping[str, Any]) -> Iterator[str]:
    when = f" At {evidence['at']}." if evidence["at"] else ""
    commit = f" Commit {evidence['commit']}." if evidence["commit"] else ""
    yield from (
        "## Last results",
        "",
        f"These are {_SOURCES[evidence['source']]}{when}{commit}",
        "",
        "| stack | environment | kept | broken | not known yet | rules of |",
        "|---|---|---|---|---|---|",
    )
    for stack in evidence["stacks"]:
        counts = Counter(stack["verdicts"].values())
        platforms = sorted(
            {name.partition("-")[0] for name, said in stack["verdicts"].items() if said != NOT_APPLICABLE}
        )
        yield (
            f"| {stack['stack']} | {stack['environment']} | {counts[Verdict.KEPT]} | {counts[Verdict.BROKEN]} "
            f"| {counts[Verdict.UNKNOWN]} | {', '.join(platforms)} |"
        )
    judged = {
        name for stack in evidence["stacks"] for name, said in stack["verdicts"].items() if said != NOT_APPLICABLE
    }
    if spare := [f"`{rule.name}`" for rule in rules() if rule.name not in judged]:
        yield from ("", f"None of these stacks has anything to judge for {', '.join(spare)}: they are of options.")
    for stack in evidence["stacks"]:
        for rule, found in stack["findings"].items():
            named = ", ".join(f"`{urn.rpartition('::')[2]}`" for urn in found["broken"])
            if named:
                yield from ("", f"**{stack['stack']} breaks {rule}**: {named}")


def main(arguments: list[str]) -> int:
    """Print the page of the evidence in a file."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m policies.compliance EVIDENCE\n")
        return 2
    try:
        evidence = json.loads(Path(arguments[0]).read_text())
    except (OSError, ValueError):
        evidence = None
    if not isinstance(evidence, dict) or evidence.get("form") != FORM:
        sys.stderr.write(f"{arguments[0]}: no evidence of form {FORM}: python -m policies --json writes it\n")
        return 2
    sys.stdout.write(page(evidence))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
