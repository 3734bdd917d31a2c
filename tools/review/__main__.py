"""`python -m tools.review`: what the jobs of .github/workflows run, and anyone can.

Exit code 0: done. 1: a step failed (named, with the remedy), a preview failed, a rule is broken, or a stack has
drifted. 2: wrong arguments.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tools.review import authorities, identity, previews, stream
from tools.review.comment import comment
from tools.review.github import FILE, GitHub, post
from tools.review.review import Against, NoReviewError, Provider, StackReview, read, written
from tools.steps import ROOT, SetupError, say


def main(arguments: Sequence[str]) -> int:
    """The command. Returns its exit code."""
    asked = _parser().parse_args(arguments)
    try:
        return int(asked.does(asked))
    except (SetupError, NoReviewError, stream.NoStreamError) as error:
        sys.stderr.write(f"review: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.review", description="What a pull request would change.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser("preview", help="preview stacks, and write the review into FOLDER")
    one.add_argument("--to", type=Path, required=True, metavar="FOLDER")
    one.add_argument("--base", metavar="COMMIT", help="what a stack without a state is compared with")
    one.add_argument("--deploys", action="store_true", help="refuse a stack that can't be deployed from here")
    one.add_argument("--of", type=Path, default=ROOT, metavar="CLONE", help="of another clone than this one")
    one.add_argument("stacks", nargs="+", metavar="STACK")
    one.set_defaults(does=_preview)

    one = commands.add_parser("drift", help="preview what would bring stacks back to what the program says")
    one.add_argument("--of", type=Path, default=ROOT, metavar="CLONE", help="of another clone than this one")
    one.add_argument("stacks", nargs="+", metavar="STACK")
    one.set_defaults(does=_drift)

    one = commands.add_parser("comment", help="print a review as Markdown")
    one.add_argument("review", type=Path, metavar=FILE)
    one.set_defaults(does=_comment)

    one = commands.add_parser("plan", help="print what tells one review's changes from another's")
    one.add_argument("--approved", metavar="PLAN", help="refuse any other than this one")
    one.add_argument("review", type=Path, metavar=FILE)
    one.set_defaults(does=_plan)

    one = commands.add_parser("post", help="comment on the pull request, by the event and the token of a job")
    one.set_defaults(does=_post)

    one = commands.add_parser("login", help="lay a token for AWS_ROLE_ARN, for the next steps of a job")
    one.set_defaults(does=_login)

    one = commands.add_parser("ca", help=f"lay {authorities.FOLDER}/STACK.crt where the stack file has it")
    one.add_argument("stack", metavar="STACK")
    one.set_defaults(does=_ca)
    return parser


def _preview(asked: argparse.Namespace) -> int:
    asked.to.mkdir(parents=True, exist_ok=True)
    found: list[StackReview] = []
    with tempfile.TemporaryDirectory(prefix="review-") as work:
        head = previews.Clone(root=asked.of.resolve(), home=Path(work) / "head-state")
        base = None
        if asked.base:
            root = previews.checked_out(asked.base, head.root, Path(work) / "base")
            base = previews.Clone(root=root, home=Path(work) / "base-state", environment=head.environment)
        for stack in asked.stacks:
            if not head.has(stack):
                raise SetupError(f"the stack {stack}", f"  there is no Pulumi.{stack}.yaml", "name one that is there")
            found.append(_reviewed(stack, head, base, deploys=asked.deploys))
            # After each: what a later one's failure leaves is still a review.
            (asked.to / FILE).write_text(written(tuple(found)))
    return 1 if any(one.failed or one.broken for one in found) else 0


def _reviewed(stack: str, head: previews.Clone, base: previews.Clone | None, *, deploys: bool) -> StackReview:
    """What can't even begin is a failed preview, and the others are told beside it."""
    try:
        return previews.review(stack, head, base, deploys=deploys)
    except (SetupError, stream.NoStreamError) as error:
        sys.stderr.write(f"review: {error}\n")
        return StackReview(stack=stack, provider=Provider.NONE, against=Against.NOTHING, failed=True)


def _drift(asked: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="review-") as work:
        clone = previews.Clone(root=asked.of.resolve(), home=Path(work))
        found = [_drifted(stack, clone) for stack in asked.stacks]
    _tell(comment(found))
    # On a stand-in nothing was looked at that is deployed, so nothing is known.
    return 1 if any(one.failed or one.changes or one.provider is not Provider.OWN for one in found) else 0


def _drifted(stack: str, clone: previews.Clone) -> StackReview:
    """A stack that can't be looked at is told as that: a wrong state would else be without drift for ever."""
    not_looked_at = StackReview(stack=stack, provider=Provider.NONE, against=Against.NOTHING)
    try:
        if why := clone.missing(stack):
            say(f"- {stack} is not looked at: {why}")
            return not_looked_at
        identity.take(clone.environment, clone.home)
        clone.make_ready(stack)
        if not clone.knows(stack):
            say(f"- {stack} is not looked at: the chosen state has no such stack, or none is chosen")
            return not_looked_at
        told = clone.read(clone.preview(stack, deployed=True, refresh=True))
    except (SetupError, stream.NoStreamError) as error:
        sys.stderr.write(f"review: {error}\n")
        return replace(not_looked_at, failed=True)
    changes, unchanged = stream.changes(told)
    return StackReview(
        stack=stack,
        provider=clone.provider(told),
        against=Against.DEPLOYED,
        failed=told.failed,
        unchanged=unchanged,
        changes=changes,
    )


def _comment(asked: argparse.Namespace) -> int:
    _tell(comment(read(asked.review.read_text())))
    return 0


def _plan(asked: argparse.Namespace) -> int:
    """A hash of what would change, in whatever order the engine came to it.

    What stays as it is is left out: of it there may be more by then.
    """
    told = tuple(
        replace(
            one,
            unchanged=0,
            rules=0,
            later=0,
            changes=tuple(sorted(one.changes, key=lambda each: (each.type, each.name, each.op, each.properties))),
            broken=tuple(sorted(one.broken, key=lambda each: (each.rule, each.name))),
        )
        for one in read(asked.review.read_text())
    )
    plan = hashlib.sha256(written(told).encode()).hexdigest()
    print(plan)
    if asked.approved is not None and asked.approved != plan:
        raise SetupError(
            "what would be deployed", "  it is not what was approved: something has changed since", "start deploy again"
        )
    return 0


def _post(_: argparse.Namespace) -> int:
    github = GitHub(
        url=os.environ["GITHUB_API_URL"], repository=os.environ["GITHUB_REPOSITORY"], token=os.environ["GITHUB_TOKEN"]
    )
    say(post(github, json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text())))
    return 0


def _login(_: argparse.Namespace) -> int:
    environment = dict(os.environ)
    if not identity.take(environment, Path(os.environ["RUNNER_TEMP"])):
        say("- nobody is logged in: there is no AWS_ROLE_ARN, or GitHub gives this job no token")
        return 0
    with Path(os.environ["GITHUB_ENV"]).open("a") as file:
        file.writelines(f"{name}={environment[name]}\n" for name in identity.LAID)
    return 0


def _ca(asked: argparse.Namespace) -> int:
    say(authorities.lay(ROOT, asked.stack))
    return 0


def _tell(text: str) -> None:
    """On the standard output, and on the run's page where a job of GitHub's is that."""
    print(text, end="")
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a") as file:
            file.write(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
