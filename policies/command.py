"""`python -m policies [--json FILE] PREVIEW …`: apply the rules to previews of the CLI, and write the evidence.

Exit codes: 0 every rule is kept, or can't be judged yet; 1 a rule is broken; 2 the input is no preview.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from policies import cost
from policies.evidence import Judgment, Verdict, evidence, judge, unjudged
from policies.plan import NoPlanError, Plan, plan_of_preview
from policies.rule import Enforcement

WIDTH = 80


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    plans = []
    for path in options.preview:
        try:
            plans.append(plan_of_preview(sys.stdin.read() if path == "-" else Path(path).read_text()))
        except (NoPlanError, OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            sys.stderr.write(f"{path}: {reason or 'no text'}\n")
            return 2
    judged_plans = [(plan, judge(plan)) for plan in plans]
    # Standard output contains only the evidence.
    out = sys.stderr if options.json == "-" else sys.stdout
    for plan, judgments in judged_plans:
        out.write("\n".join([*text(plan, judgments), *cost.text(plan).splitlines(), ""]))
    if options.json:
        made = evidence(
            judged_plans,
            source="preview",
            at=options.at,
            commit=options.commit,
            tools={"python": platform.python_version(), "pulumi-sdk": version("pulumi")},
        )
        written = json.dumps(made, indent=2, sort_keys=True) + "\n"
        sys.stdout.write(written) if options.json == "-" else Path(options.json).write_text(written)
    return 1 if any(_fails(one) for _, judgments in judged_plans for one in judgments) else 0


def text(plan: Plan, judgments: Sequence[Judgment]) -> Iterator[str]:
    """Yield the broken rules, then the unknown ones, then the number of kept rules per platform."""
    counts = Counter(one.verdict for one in judgments)
    yield (
        f"{plan.stack} ({plan.environment}): {counts[Verdict.BROKEN]} broken, "
        f"{counts[Verdict.UNKNOWN]} not known yet, {counts[Verdict.KEPT]} kept"
    )
    for one in judgments:
        if one.verdict is Verdict.BROKEN:
            yield from _broken(one)
    for name in unjudged(judgments):
        yield from _wrapped(f"judged after pulumi up: {name}", "  ")
    kept = Counter(one.rule.name.partition("-")[0] for one in judgments if one.verdict is Verdict.KEPT)
    if kept:
        yield from _wrapped(f"kept: {', '.join(f'{name} {count}' for name, count in sorted(kept.items()))}", "  ")


def _broken(judgment: Judgment) -> Iterator[str]:
    rule = judgment.rule
    advice = " (advice)" if rule.enforcement is Enforcement.ADVISORY else ""
    yield from _wrapped(f"BROKEN {rule.name}{advice}: {rule.sentence}", "  ")
    for finding in judgment.findings:
        if not finding.unknown:
            yield from _wrapped(f"{finding.resource.rpartition('::')[2]}: {finding.message}", "    ")
    yield from _wrapped("; ".join(f"{control.framework} {control.id}" for control in rule.controls), "    ")


def _wrapped(line: str, indent: str) -> list[str]:
    return textwrap.wrap(
        line,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _fails(judgment: Judgment) -> bool:
    return judgment.verdict is Verdict.BROKEN and judgment.rule.enforcement is Enforcement.MANDATORY


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m policies",
        description="Judge previews by the rules of this project. A preview is the event stream of "
        "PULUMI_ENABLE_STREAMING_JSON_PREVIEW=true pulumi preview --json",
        epilog="exit code 0: all rules are kept, or can't be judged yet; 1: one is broken; 2: not a preview",
    )
    parser.add_argument("preview", nargs="+", help="a file with a preview's events, - for the standard input")
    parser.add_argument("--json", metavar="FILE", default="", help="write the evidence to FILE, - for standard output")
    parser.add_argument("--at", metavar="TIME", default="", help="time of the preview, for the evidence")
    parser.add_argument(
        "--commit", metavar="COMMIT", default="", help="commit of the preview's program, for the evidence"
    )
    return parser
