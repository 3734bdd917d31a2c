"""Generate the pages of rules and controls from evidence: `python -m policies.compliance EVIDENCE [FOLDER]`."""

from __future__ import annotations

import importlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from textwrap import fill
from typing import Any

from policies.controls import CONTROLS, TEXTS
from policies.evidence import FORM, Verdict
from policies.rule import ALL, Control, Enforcement, Framework, Rule, rules

NOT_APPLICABLE = str(Verdict.NOT_APPLICABLE)
RULES = "rules.md"
PAGES = {
    Framework.SOC_2: "soc2.md",
    Framework.PCI_DSS: "pci-dss.md",
    Framework.HIPAA: "hipaa.md",
    Framework.GDPR: "gdpr.md",
}

_ABOUT = """\
# Compliance

The policy pack in `policies/` has {count} [rules](rules.md). A rule applies to a stack that declares what the rule
judges, such as a type of resource or an output; some rules apply only in staging or production. A rule that applies is
*kept* if nothing in the stack breaks the rule. Each rule serves controls of these frameworks:

{frameworks}

These pages are generated from `policies/` and from [evidence](evidence.json).

## What a kept rule shows

A rule judges what a stack **declares**: the inputs of its resources and its outputs. A kept rule does not show:

- that the account still matches the declaration: [doctor](../operations/doctor.md) and the [drift
  workflow](../operations/pull-requests.md) check that;
- that people do what a control requires, or that an auditor accepts the evidence;
- what the [list of rules](rules.md) names as the rule's *Limitation*.

So no rule and no page makes you compliant.

## Judge a stack

`make preview STACK=prod` applies these rules. A broken rule fails the preview, unless the rule is marked *advice*.
`make up` stops before it creates a resource that breaks a rule.

To write evidence, or where Pulumi cannot run a policy pack, apply the same rules to the JSON of a preview. With `.venv`
active, and your stack's name in STACK:

```sh
PULUMI_ENABLE_STREAMING_JSON_PREVIEW=true pulumi preview --json --stack $STACK > preview.json
python -m policies --json evidence.json preview.json
```

Exit codes:

- 0: no rule is broken, except rules marked *advice*. A rule may be *unknown*: it depends on resources that `pulumi up`
  has not created yet.
- 1: a rule is broken.
- 2: the file is not a preview.

The evidence contains names of stacks, rules, resources and controls, and no secret value. The options `--at TIME` and
`--commit COMMIT` add a time and a commit. `python -m policies.compliance evidence.json` writes pages like these from
your evidence, into the folder `compliance`.

"""

_SOURCES = {
    "mocks": "come from the program under Pulumi's mocks, for each shipped stack file, as if all resources existed. No "
    "account, cluster or Swarm was called.",
    "preview": "come from previews by the Pulumi CLI.",
}


def pages(evidence: Mapping[str, Any]) -> dict[str, str]:
    about = _ABOUT.format(
        count=len(rules()),
        frameworks="\n".join(f"- [{framework}]({page}): {TEXTS[framework].name}" for framework, page in PAGES.items()),
    )
    return {
        "README.md": about + "\n".join(_results(evidence)) + "\n",
        RULES: "\n".join(_rules()) + "\n",
        **{page: "\n".join(_framework(framework)) + "\n" for framework, page in PAGES.items()},
    }


def _framework(framework: Framework) -> Iterator[str]:
    text = TEXTS[framework]
    yield from (f"# {framework}", "", _wrapped(f"[{text.name}]({text.url.partition('#p-')[0]}). {text.read}"), "")
    yield _wrapped(f"{text.scope} No rule serves a control that is not listed.")
    for control, asks in CONTROLS[framework].items():
        yield from ("", f"## {control}", "")
        where = f" ([text]({text.url.format(id=control)}))" if "{id}" in text.url else ""
        yield from (f"{asks[0].upper()}{asks[1:]}{where}.", "")
        for rule in rules():
            for served in rule.controls:
                if (served.framework, served.id) == (framework, control):
                    yield f"- [{rule.name}]({RULES}#{rule.name}): {served.because}"


def _rules() -> Iterator[str]:
    yield from (
        "# Rules",
        "",
        _wrapped(
            "What each rule requires, its limitation, and the controls that it serves. A preview "
            "and `pulumi up` judge a rule before each resource is created, over the whole stack when all resources "
            "are known, or both. A broken rule fails the preview, but a rule marked *advice* only warns. The "
            "[glossary](../glossary.md) defines the terms."
        ),
    )
    for platform, those in groupby(rules(), lambda rule: rule.name.partition("-")[0]):
        folder = importlib.import_module(f"policies.{platform}")
        yield from ("", f"## {getattr(folder, 'TITLE', platform.capitalize())}")
        for rule in those:
            controls = ", ".join(map(_link, rule.controls))
            yield from ("", f"### {rule.name}", "", rule.sentence, "")
            yield from (f"- Limitation: {rule.limitation}", f"- Judged: {_when(rule)}", f"- Serves: {controls}")
            if rule.later:
                yield f"- A first preview can't judge it in full: {rule.later}."


def _when(rule: Rule) -> str:
    early = [rule.environments & check.environments == ALL for check in rule.checks]
    whole = rule.across or not all(early)
    steps = ("before each resource is created" if any(early) else "", "over the whole stack" if whole else "")
    advice = "; advice" if rule.enforcement is Enforcement.ADVISORY else ""
    return " and ".join(filter(None, steps)) + advice


def _link(control: Control) -> str:
    anchor = "".join(filter(str.isalnum, control.id.lower()))
    return f"[{control.id}]({PAGES[control.framework]}#{anchor})"


def _wrapped(paragraph: str) -> str:
    return fill(paragraph, 120, break_long_words=False, break_on_hyphens=False)


def _results(evidence: Mapping[str, Any]) -> Iterator[str]:
    when = f" At {evidence['at']}." if evidence["at"] else ""
    commit = f" Commit {evidence['commit']}." if evidence["commit"] else ""
    yield from (
        "## Last results",
        "",
        _wrapped(f"These results {_SOURCES[evidence['source']]}{when}{commit}"),
        "",
        "| stack | kept | broken | unknown |",
        "|---|---|---|---|",
    )
    for stack in evidence["stacks"]:
        counts = Counter(stack["verdicts"].values())
        yield f"| {stack['stack']} | {counts[Verdict.KEPT]} | {counts[Verdict.BROKEN]} | {counts[Verdict.UNKNOWN]} |"
    judged = {
        name for stack in evidence["stacks"] for name, verdict in stack["verdicts"].items() if verdict != NOT_APPLICABLE
    }
    if spare := [f"- [{rule.name}]({RULES}#{rule.name})" for rule in rules() if rule.name not in judged]:
        yield from ("", "These rules are about options that none of these stacks uses:", "", *spare)
    for stack in evidence["stacks"]:
        for rule, found in stack["findings"].items():
            if named := ", ".join(f"`{urn.rpartition('::')[2]}`" for urn in found["broken"]):
                yield from ("", f"**{stack['stack']} breaks [{rule}]({RULES}#{rule})**: {named}")


def main(arguments: list[str]) -> int:
    if len(arguments) not in (1, 2):
        sys.stderr.write("usage: python -m policies.compliance EVIDENCE [FOLDER]\n")
        return 2
    try:
        evidence = json.loads(Path(arguments[0]).read_text())
    except (OSError, ValueError):
        evidence = None
    if not isinstance(evidence, dict) or evidence.get("form") != FORM:
        sys.stderr.write(f"{arguments[0]}: this is not evidence of form {FORM}: python -m policies --json writes it\n")
        return 2
    folder = Path(arguments[1] if len(arguments) > 1 else "compliance")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages(evidence).items():
        (folder / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
