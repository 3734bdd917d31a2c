"""The review as one Markdown comment: what breaks a rule, then a line a stack, then changes, the gravest first.

It is short whatever the size: what does not fit is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tools.review.review import Against, Op, Provider, StackReview
from tools.review.risk import Risk, risk

MARK = "<!-- coreflux-mcp-secrets: review -->"
"""The first line of the comment: by it the next review finds this one."""
FORKS = ("", "**Of a fork, as the fork's own run says:** its code wrote what follows, and it had no credentials.")
ROWS = 24
STACKS = 10
BROKEN = 6
PROPERTIES = 6
"""How many of each are shown."""

PROVIDERS = {
    Provider.OWN: "Pulumi's own",
    Provider.STANDIN: "**stand-in**, no account reached",
    Provider.NONE: "**not previewed**",
}
COMPARED = {
    Against.DEPLOYED: "what is deployed",
    Against.BASE: "a preview of the base",
    Against.INSTEAD: "a preview of the base: **the chosen state can't be read**",
    Against.NOTHING: "nothing: all is new",
}


def comment(stacks: Sequence[StackReview], *, commit: str = "", fork: bool = False) -> str:
    """The whole text, which ends with a newline.

    `commit`, and whether it is a fork's, is told by who comments, not by the review. A fork's run has no credentials,
    and its own code wrote the review: what that claims of providers and rules is not said as if it were known.
    """
    lines = [MARK, f"### {_heading(stacks)}", *(FORKS if fork else ()), *_broken(stacks)]
    lines += [*_table(stacks, fork=fork), *_changes(stacks), ""]
    of = f" Of commit {commit[:12]}." if commit else ""
    lines.append(f"<sub>Names of what changes, never contents.{of}</sub>")
    return "\n".join(lines) + "\n"


def _heading(stacks: Sequence[StackReview]) -> str:
    found = Counter(risk(change) for one in stacks for change in one.changes)
    gone = found[Risk.LOSES_WHAT_IS_KEPT] + found[Risk.GOES]
    words = [
        _number(sum(one.failed for one in stacks), "preview failed", "previews failed"),
        _number(len({(one.stack, each.rule) for one in stacks for each in one.broken}), "rule broken", "rules broken"),
        _number(gone, "resource replaced or deleted", "resources replaced or deleted"),
        _number(sum(found.values()) - gone, "other change", "other changes"),
    ]
    not_previewed = sum(one.provider is Provider.NONE for one in stacks)
    words.append(_number(not_previewed, "stack not previewed", "stacks not previewed"))
    return "Preview: " + (", ".join(filter(None, words)) or "nothing changes")


def _number(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}" if count else ""


def _broken(stacks: Sequence[StackReview]) -> Iterator[str]:
    every = [(one.stack, each) for one in stacks for each in one.broken]
    if not every:
        return
    yield ""
    yield "**Broken rules** (docs/compliance/rules.md says what each is for):"
    yield ""
    for stack, each in every[:BROKEN]:
        yield f"- {code(stack)} {code(each.rule)}: {code(each.name)}"
    yield from _more(len(every) - BROKEN, "- ")


def _table(stacks: Sequence[StackReview], *, fork: bool) -> Iterator[str]:
    yield ""
    yield "| stack | provider | compared with | replace | delete | update | create | same | rules kept |"
    yield "|---|---|---|--:|--:|--:|--:|--:|--:|"
    for one in stacks[:STACKS]:
        ops = Counter(change.op for change in one.changes)
        counts = " | ".join(str(ops[op]) for op in (Op.REPLACE, Op.DELETE, Op.UPDATE, Op.CREATE))
        failed = " **failed: see the job's log**" if one.failed else ""
        rules = f"{one.rules}" if one.rules or one.broken else "not asked"
        rules += f", {one.later} not known yet" if one.later else ""
        says = " (it says)" if fork else ""
        provider = "no account reached" if fork and one.provider is Provider.OWN else PROVIDERS[one.provider]
        compared = "–" if one.failed or one.provider is Provider.NONE else COMPARED[one.against]
        yield (f"| {code(one.stack)}{failed} | {provider} | {compared} | {counts} | {one.unchanged} | {rules}{says} |")
    if len(stacks) > STACKS:
        yield f"| … and {len(stacks) - STACKS} more | | | | | | | | |"


def _changes(stacks: Sequence[StackReview]) -> Iterator[str]:
    every = [(risk(change), one.stack, change) for one in stacks for change in one.changes]
    every.sort(key=lambda row: (row[0], list(Op).index(row[2].op), row[1], row[2].type, row[2].name))
    if not every:
        return
    yield ""
    yield "| what | stack | resource | changed |"
    yield "|---|---|---|---|"
    for grave, stack, change in every[:ROWS]:
        bold = "**" if grave <= Risk.GOES else ""
        kept = " (holds data)" if grave is Risk.LOSES_WHAT_IS_KEPT else ""
        shown = ", ".join(code(each) for each in change.properties[:PROPERTIES])
        more = f", … {len(change.properties) - PROPERTIES} more" if len(change.properties) > PROPERTIES else ""
        resource = f"{code(change.name)} {code(change.type)}"
        yield f"| {bold}{change.op}{bold}{kept} | {code(stack)} | {resource} | {shown}{more} |"
    yield from _more(len(every) - ROWS, "\n")


def _more(count: int, before: str) -> Iterator[str]:
    if count > 0:
        yield f"{before}… and {count} more"


def code(name: str) -> str:
    """As code, in which nothing is read: no mention, no link, no tag. A review's names hold no backtick and no bar."""
    return f"`{name}`"
