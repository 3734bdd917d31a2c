"""`python -m tools.review`: the commands for the jobs in .github/workflows.

Exit codes: 0 done; 1 a step or a preview failed, a rule is broken, or a stack has drifted; 2 wrong arguments.
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
from tools.review.judges import judges
from tools.review.review import Against, NoReviewError, Provider, StackReview, read, written
from tools.steps import ROOT, SetupError, say


def main(arguments: Sequence[str]) -> int:
    args = _parser().parse_args(arguments)
    try:
        return int(args.does(args))
    except (SetupError, NoReviewError, stream.NoStreamError) as error:
        sys.stderr.write(f"review: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.review", description="Show what a pull request would change."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser("preview", help="preview stacks, and write the review into FOLDER")
    one.add_argument("--to", type=Path, required=True, metavar="FOLDER")
    one.add_argument(
        "--base",
        metavar="COMMIT",
        help="compare stacks that have no state with this commit, and judge by the rules of both",
    )
    one.add_argument("--deploys", action="store_true", help="fail for a stack that can't be deployed from this machine")
    one.add_argument(
        "--of", type=Path, default=ROOT, metavar="CLONE", help="folder of the clone to preview; by default this one"
    )
    one.add_argument("stacks", nargs="+", metavar="STACK")
    one.set_defaults(does=_preview)

    one = commands.add_parser("drift", help="preview the changes that would undo drift")
    one.add_argument(
        "--of", type=Path, default=ROOT, metavar="CLONE", help="folder of the clone to preview; by default this one"
    )
    one.add_argument("stacks", nargs="+", metavar="STACK")
    one.set_defaults(does=_drift)

    one = commands.add_parser("comment", help="print a review as Markdown")
    one.add_argument(
        "--base", metavar="COMMIT", help="report which of the files that judge a review have changed since COMMIT"
    )
    one.add_argument("review", type=Path, metavar=FILE)
    one.set_defaults(does=_comment)

    one = commands.add_parser("plan", help="print a hash of what a review changes")
    one.add_argument("--approved", metavar="PLAN", help="fail unless the hash is PLAN")
    one.add_argument("review", type=Path, metavar=FILE)
    one.set_defaults(does=_plan)

    one = commands.add_parser("post", help="comment on the pull request, by the event and the token of a job")
    one.set_defaults(does=_post)

    one = commands.add_parser("login", help="write a token for AWS_ROLE_ARN, for the next steps of a job")
    one.set_defaults(does=_login)

    one = commands.add_parser("ca", help=f"copy {authorities.FOLDER}/STACK.crt to the path in the stack file")
    one.add_argument("stack", metavar="STACK")
    one.set_defaults(does=_ca)
    return parser


def _preview(args: argparse.Namespace) -> int:
    args.to.mkdir(parents=True, exist_ok=True)
    found: list[StackReview] = []
    with tempfile.TemporaryDirectory(prefix="review-") as work:
        head = previews.Clone(root=args.of.resolve(), home=Path(work) / "head-state")
        base = None
        if args.base:
            root = previews.checked_out(args.base, head.root, Path(work) / "base")
            base = previews.Clone(root=root, home=Path(work) / "base-state", environment=head.environment)
        for stack in args.stacks:
            if not head.has(stack):
                raise SetupError(
                    f"the stack {stack}",
                    f"  there is no Pulumi.{stack}.yaml",
                    "name a stack with a stack file: ls Pulumi.*.yaml",
                )
            found.append(_reviewed(stack, head, base, deploys=args.deploys))
            # After each stack, in case a later one fails.
            (args.to / FILE).write_text(written(tuple(found)))
    return 1 if any(one.failed or one.broken for one in found) else 0


def _reviewed(stack: str, head: previews.Clone, base: previews.Clone | None, *, deploys: bool) -> StackReview:
    # A preview that cannot start counts as failed, so that other stacks are still reported.
    try:
        return previews.review(stack, head, base, deploys=deploys)
    except (SetupError, stream.NoStreamError) as error:
        sys.stderr.write(f"review: {error}\n")
        return StackReview(stack=stack, provider=Provider.NONE, against=Against.NOTHING, failed=True)


def _drift(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="review-") as work:
        clone = previews.Clone(root=args.of.resolve(), home=Path(work))
        found = [_drifted(stack, clone) for stack in args.stacks]
    _print(comment(found))
    # A stand-in does not know the deployed resources.
    return 1 if any(one.failed or one.changes or one.provider is not Provider.OWN for one in found) else 0


def _drifted(stack: str, clone: previews.Clone) -> StackReview:
    not_previewed = StackReview(stack=stack, provider=Provider.NONE, against=Against.NOTHING)
    try:
        if why := clone.missing(stack):
            say(f"- {stack} is not previewed: {why}")
            return not_previewed
        identity.take(clone.environment, clone.home)
        clone.make_ready(stack)
        if not clone.knows(stack):
            say(f"- {stack} is not previewed: the backend has no such stack, or no backend is set (PULUMI_BACKEND_URL)")
            return not_previewed
        preview = clone.read(clone.preview(stack, deployed=True, refresh=True))
    except (SetupError, stream.NoStreamError) as error:
        sys.stderr.write(f"review: {error}\n")
        return replace(not_previewed, failed=True)
    found = stream.changes(preview)
    return StackReview(
        stack=stack,
        provider=clone.provider(preview),
        against=Against.DEPLOYED,
        failed=preview.failed,
        unchanged=found.unchanged,
        changes=found.changes,
    )


def _comment(args: argparse.Namespace) -> int:
    touched = judges(previews.changed_files(args.base, ROOT)) if args.base else {}
    _print(comment(read(args.review.read_text()), touched=touched))
    return 0


def _plan(args: argparse.Namespace) -> int:
    """Print a hash of the planned changes. It depends neither on the order of events nor on unchanged resources."""
    reviews = tuple(
        replace(
            one,
            unchanged=0,
            rules=0,
            later=0,
            unread=0,
            changes=tuple(sorted(one.changes, key=lambda each: (each.type, each.name, each.op, each.properties))),
            broken=tuple(sorted(one.broken, key=lambda each: (each.rule, each.name, each.judge))),
        )
        for one in read(args.review.read_text())
    )
    plan = hashlib.sha256(written(reviews).encode()).hexdigest()
    print(plan)
    if args.approved is not None and args.approved != plan:
        raise SetupError(
            "the plan",
            "  the plan has changed since its approval",
            "run the deploy workflow again, and approve the new plan",
        )
    return 0


def _post(_: argparse.Namespace) -> int:
    github = GitHub(
        url=os.environ["GITHUB_API_URL"], repository=os.environ["GITHUB_REPOSITORY"], token=os.environ["GITHUB_TOKEN"]
    )
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    say(post(github, json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text()), server=server))
    return 0


def _login(_: argparse.Namespace) -> int:
    environment = dict(os.environ)
    if not identity.take(environment, Path(os.environ["RUNNER_TEMP"])):
        say("- not logged in: AWS_ROLE_ARN is not set, or the job lacks `id-token: write`")
        return 0
    with Path(os.environ["GITHUB_ENV"]).open("a") as file:
        file.writelines(f"{name}={environment[name]}\n" for name in identity.VARIABLES)
    return 0


def _ca(args: argparse.Namespace) -> int:
    say(authorities.write(ROOT, args.stack))
    return 0


def _print(text: str) -> None:
    print(text, end="")
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a") as file:
            file.write(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
