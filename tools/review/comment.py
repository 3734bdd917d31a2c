"""The review as a Markdown comment: changes to the files in judges.py, broken rules, stacks, then changes, most serious
first.

Its length is limited, and the rest is only counted. All of its text except names comes from the program that posts it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from tools.review import settings_page
from tools.review.review import (
    ALL,
    ELSE,
    Against,
    Broken,
    Change,
    Conditions,
    Effect,
    Judge,
    Op,
    Provider,
    StackReview,
    Statement,
)
from tools.review.risk import Risk, risk
from tools.review.statements import WORDS

# First line of the comment, by which the next review finds it.
MARK = "<!-- coreflux-mcp-secrets: review -->"
RULES = "docs/compliance/rules.md"
ITSELF = "itself"
FORK = "**From a fork, and not verified:** the fork's code wrote this review, without credentials."
# Maximum number of listed entries of each kind.
ROWS, STACKS, BROKEN, STATEMENTS, ERRORS, PROPERTIES, NAMES, ACTIONS = 10, 6, 4, 6, 5, 6, 3, 4

PROVIDERS = {
    Provider.OWN: "Pulumi's own",
    Provider.STANDIN: "**stand-in**, no account reached",
    Provider.RENDERED: "**rendered**, no cluster reached",
    Provider.NONE: "**not previewed**",
}
COMPARED = {
    Against.DEPLOYED: "what is deployed",
    Against.BASE: "a preview of the base",
    Against.INSTEAD: "a preview of the base: **the chosen state can't be read**",
    Against.NO_BASE: "nothing: **the base can't be previewed**",
    Against.NOTHING: "nothing: all is new",
}
JUDGED = {
    Judge.BOTH: "",
    Judge.HEAD: " (by the pull request's rules only)",
    Judge.BASE: " (**by the base's rules only: the pull request removes or relaxes the rule**)",
}
CONDITIONS = {
    Conditions.NONE: "",
    Conditions.SOME: ", with conditions",
    Conditions.CHANGED: ", **with changed conditions**",
}


@dataclass(kw_only=True)
class Row:
    """A row for changes that differ only in the resource."""

    risk: Risk
    stack: str
    changes: list[Change]
    note: str = ""


def comment(
    stacks: Sequence[StackReview],
    *,
    touched: Mapping[str, int] | None = None,
    commit: str = "",
    fork: bool = False,
    link: str = RULES,
) -> str:
    """Return the comment, which ends with a newline.

    The program that posts it supplies `touched` (number of changed files that judge the review), `commit` and `fork`. A
    fork's own code writes the fork's review, so the comment does not repeat its claims about providers and rules as
    facts.
    """
    rows = _rows(stacks)
    lines = [MARK, f"### {_heading(stacks, touched or {})}", *_touched(touched or {})]
    if stacks:
        lines += [*(("", FORK) if fork else ()), *_failed(stacks), *_broken(stacks, link)]
        lines += [*_table(stacks, fork=fork), *_changes(rows), *_grants(stacks)]
    of = f" Commit {commit[:12]}." if commit else ""
    return "\n".join([*lines, "", f"<sub>Names, never values.{of}</sub>"]) + "\n"


def _heading(stacks: Sequence[StackReview], touched: Mapping[str, int]) -> str:
    ops = Counter(change.op for one in stacks for change in one.changes)
    kinds = ", ".join(f"{ops[op]} {op}" for op in Op if ops[op])
    rules = len({(one.stack, each.rule) for one in stacks for each in one.broken})
    words = [
        "changes its own judges" if touched else "",
        "" if stacks else "**no review of this commit**: the run wrote no review",
        _number(sum(one.failed for one in stacks), "preview failed", "previews failed"),
        _number(rules, "rule broken", "rules broken"),
        "**all values lost**" if ops[Op.MOVE] else "",
        _number(sum(len(one.values_lost) for one in stacks), "secret loses its values", "secrets lose their values"),
        f"{_number(ops.total(), 'change', 'changes')}: {kinds}" if kinds else "",
        _number(sum(one.provider is Provider.NONE for one in stacks), "stack not previewed", "stacks not previewed"),
    ]
    return "Preview: " + ("; ".join(filter(None, words)) or "nothing changes")


def _number(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}" if count else ""


def _touched(touched: Mapping[str, int]) -> Iterator[str]:
    if touched:
        files = ", ".join(f"{code(part)} {count}" for part, count in touched.items())
        yield f"> **This pull request changes what judges it** ({files}): review these files first."


def _failed(stacks: Sequence[StackReview]) -> Iterator[str]:
    errors = [(one.stack, each) for one in stacks if one.failed for each in one.errors]
    if any(one.failed for one in stacks):
        yield ""
        yield "**A preview failed**; the job's log has the errors. " + (
            "The program rejects these settings:" if errors else "The errors name no setting."
        )
    for stack, setting in errors[:ERRORS]:
        path = settings_page.known(setting)
        rule = settings_page.rules().get(path, "an unknown key, or a rule across settings")
        yield f"- {code(stack)} {code(path) if path else 'a setting'}" + (f": {rule}" if rule else "")
    yield from _more(len(errors) - ERRORS, "- ")


def _broken(stacks: Sequence[StackReview], link: str) -> Iterator[str]:
    by_rule: dict[tuple[str, str, Judge], list[Broken]] = defaultdict(list)
    for one in stacks:
        for each in one.broken:
            by_rule[one.stack, each.rule, each.judge].append(each)
    if by_rule:
        yield from ("", "**Broken rules**")
    for (stack, rule, judge), found in sorted(by_rule.items(), key=lambda row: row[0][2] is not Judge.BASE)[:BROKEN]:
        sentence = _sentences().get(rule)
        about = (
            f"[{code(rule)}]({link}#{rule}): {sentence}" if sentence else f"{code(rule)}, a rule of the pull request"
        )
        yield f"- {code(stack)} {about} Broken by {_listed([code(each.name) for each in found])}{JUDGED[judge]}"
    yield from _more(len(by_rule) - BROKEN, "- ")


@cache
def _sentences() -> Mapping[str, str]:
    from policies.rule import rules

    return {rule.name: rule.sentence for rule in rules()}


def _table(stacks: Sequence[StackReview], *, fork: bool) -> Iterator[str]:
    yield ""
    yield "| stack | provider | compared with | changes | same | rules kept |"
    yield "|---|---|---|---|---|---|"
    for one in stacks[:STACKS]:
        provider = (
            "**stand-in**, or what the fork's code reports"
            if fork and one.provider is Provider.OWN
            else PROVIDERS[one.provider]
        )
        compared = (
            "the base, or what the fork's code reports"
            if fork and one.against is Against.DEPLOYED
            else COMPARED[one.against]
        )
        counts = Counter(change.op for change in one.changes)
        changes = ", ".join(f"{counts[op]} {op}" for op in Op if counts[op]) or "none"
        if one.failed or one.provider is Provider.NONE:
            yield f"| {code(one.stack)} | {provider} | {'**preview failed**' if one.failed else ''} | | | |"
            continue
        rules = f"{one.rules}{' (by its own report)' if fork else ''}" if one.rules or one.broken else "not judged"
        rules += f", {one.later} not known yet" if one.later else ""
        yield f"| {code(one.stack)} | {provider} | {compared} | {changes} | {one.unchanged} | {rules} |"
    yield from _more(len(stacks) - STACKS, "\n")


def _rows(stacks: Sequence[StackReview]) -> list[Row]:
    found: dict[tuple[object, ...], Row] = {}
    follow: Counter[str] = Counter()
    for one in stacks:
        moved = {change.type.rpartition(":")[2] for change in one.changes if change.op is Op.MOVE}
        for change in one.changes:
            grave = risk(change)
            if change.follows and change.type.partition(":")[0] in moved and not (change.gained or change.lost):
                follow[one.stack] += 1
                continue
            key: tuple[object, ...] = (one.stack, change.op, change.properties, change.may_replace)
            if grave <= Risk.GOES:
                key = (*key, change.type, grave)
            row = found.setdefault(key, Row(risk=grave, stack=one.stack, changes=[]))
            row.risk = min(row.risk, grave)
            row.changes.append(change)
    for row in found.values():
        first = row.changes[0]
        if first.op is Op.MOVE:
            row.note = f": **all {first.resources} resources and their values are lost**"
            hidden = _number(follow[row.stack], "change that only follows is", "changes that only follow are")
            row.note += f"; {hidden} not listed" if hidden else ""
    for stack in stacks:
        if stack.values_lost:
            found[stack.stack, "values"] = Row(
                risk=Risk.LOSES_VALUES,
                stack=stack.stack,
                changes=[Change(op=Op.DELETE, type="secret", name=each) for each in stack.values_lost],
                note=f"values of {_listed(list(map(code, stack.values_lost)))} are lost"
                + (f"; new: {_listed(list(map(code, stack.values_new)))}" if stack.values_new else ""),
            )
    return sorted(found.values(), key=lambda row: (row.risk, list(Op).index(row.changes[0].op), row.stack))


def _changes(rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        return
    yield ""
    yield "| what | stack | resource | changed |"
    yield "|---|---|---|---|"
    for row in rows[:ROWS]:
        first = row.changes[0]
        bold = "**" if row.risk <= Risk.GOES else ""
        about = " (holds data)" if row.risk is Risk.LOSES_DATA and first.op is not Op.MOVE else ""
        about += " (may replace)" if first.may_replace else ""
        shown = ", ".join(map(code, first.properties[:PROPERTIES]))
        more = f", … {len(first.properties) - PROPERTIES} more" if len(first.properties) > PROPERTIES else ""
        resources = _resources(row.changes)
        yield f"| {bold}{first.op}{bold}{about} | {code(row.stack)} | {resources} | {shown}{more}{row.note} |"
    rest = sum(len(row.changes) for row in rows[ROWS:])
    yield from _more(rest, "\n")


def _resources(changes: Sequence[Change]) -> str:
    kinds = Counter(change.type.rpartition(":")[2] for change in changes)
    if len(changes) == 1:
        return f"{code(changes[0].name)} {code(changes[0].type)}"
    counted = _listed([f"{count} {code(kind)}" for kind, count in sorted(kinds.items(), key=lambda one: -one[1])])
    if len(changes) > 2 * NAMES:
        return counted
    return f"{counted}: {', '.join(code(change.name) for change in changes)}"


def _grants(stacks: Sequence[StackReview]) -> Iterator[str]:
    found: dict[tuple[str, bool, Statement], list[str]] = defaultdict(list)
    for one in stacks:
        for change in one.changes:
            for gained, statements in ((True, change.gained), (False, change.lost)):
                for each in statements:
                    found[one.stack, gained, _of_itself(each, change.name)].append(change.name)
    every = sorted(found.items(), key=lambda row: (not _widens(*row[0][1:]), -_reach(row[0][2]), row[0][0], row[1]))
    if every:
        yield from ("", "**Who gains (+) and loses (−) which access**")
    for (stack, gained, each), resources in every[:STATEMENTS]:
        effect = "exempt from Deny:" if each.exempt else str(each.effect)
        who = f" to {_terms(each.principals)}" if each.principals != (ITSELF,) else ""
        on = f" on {_terms(each.resources)}" if each.resources != (ITSELF,) else ""
        actions = _listed(list(map(_term, each.actions)), ACTIONS)
        at = _listed(list(map(code, resources)))
        sign = "+" if gained else "− widens:" if _widens(gained, each) else "−"
        yield f"- **{sign}** {code(stack)} {at}: {effect} {actions}{who}{on}{CONDITIONS[each.conditions]}"
    yield from _more(len(every) - STATEMENTS, "- ")
    if unread := sum(one.unread for one in stacks):
        allows = _number(unread, "policy or role allows", "policies or roles allow")
        yield from ("", f"{allows} rights that are known only after the deployment.")


def _of_itself(statement: Statement, resource: str) -> Statement:
    principals, resources = (
        tuple(ITSELF if term == resource else term for term in terms)
        for terms in (statement.principals, statement.resources)
    )
    return replace(statement, principals=principals, resources=resources)


def _widens(gained: bool, statement: Statement) -> bool:
    return gained == (statement.effect is Effect.ALLOW or statement.exempt)


def _reach(statement: Statement) -> int:
    wide = (ALL, *WORDS, ELSE)
    return sum(
        term in wide or ALL in term for term in (*statement.principals, *statement.resources, *statement.actions)
    )


def _terms(terms: Sequence[str]) -> str:
    return _listed(list(map(_term, terms)))


def _term(term: str) -> str:
    return f"**{term}**" if term in (*WORDS, ELSE, ITSELF) else code(term)


def _listed(texts: Sequence[str], most: int = NAMES) -> str:
    rest = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {rest} more" if rest > 0 else "")


def _more(count: int, before: str) -> Iterator[str]:
    if count > 0:
        yield f"{before}… and {count} more"


def code(name: str) -> str:
    """Return a name as Markdown code. Names contain no backtick and no bar."""
    return f"`{name}`"
