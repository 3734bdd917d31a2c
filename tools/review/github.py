"""The comment on the pull request, made from what the job that ran its code left behind: one, that is written anew.

The event says which run and which commit, and GitHub says which pull request that is. Nothing of that is taken from
what the run left, which anybody may have written.
"""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tools.review.comment import MARK, comment
from tools.review.review import MOST_BYTES, NoReviewError, read
from tools.steps import SetupError

ARTIFACT = "review"
FILE = "review.json"
OURS = "github-actions[bot]"
"""Whose comments are written over: with this mark anybody else's is his own."""
SECONDS = 60
MOST_ZIPPED = 4_000_000
A_PAGE, PAGES = 100, 50
"""Entries of a page, which is as many as GitHub gives, and pages of a list."""


@dataclass(frozen=True, kw_only=True)
class GitHub:
    """GitHub's API for one repository."""

    url: str
    repository: str
    token: str = field(repr=False)

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """All entries of a list."""
        for page in range(1, PAGES + 1):
            found = self.json("GET", f"{path}{'&' if '?' in path else '?'}per_page={A_PAGE}&page={page}")
            yield from found
            if len(found) < A_PAGE:
                return

    def json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One request below the repository. Raises SetupError."""
        return json.loads(self.raw(method, f"{self.url}/repos/{self.repository}/{path}", body))

    def raw(self, method: str, url: str, body: Mapping[str, Any] | None = None, most: int = 20_000_000) -> bytes:
        """What is answered, of which more than `most` bytes are refused. Raises SetupError."""
        asked = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())  # noqa: S310
        # Not sent on to where a redirect leads: an artifact lies with somebody else.
        asked.add_unredirected_header("Authorization", f"Bearer {self.token}")
        asked.add_header("Accept", "application/vnd.github+json")
        asked.add_header("X-GitHub-Api-Version", "2022-11-28")
        what = f"GitHub: {method} {urllib.parse.urlsplit(url).path}"
        try:
            with urllib.request.urlopen(asked, timeout=SECONDS) as answer:  # noqa: S310  # nosec B310
                text: bytes = answer.read(most + 1)
        except urllib.error.HTTPError as error:
            raise SetupError(
                what, f"  {error.code}", "see the job's `permissions`, and that the run is there"
            ) from None
        except OSError as error:
            raise SetupError(what, f"  {type(error).__name__}", "run the job again") from None
        if len(text) > most:
            raise SetupError(what, f"  more than {most} bytes", "nothing: that is not a review")
        return text


@dataclass(frozen=True, kw_only=True)
class Run:
    """The run that previewed, as the event `workflow_run` tells of it."""

    id: int
    commit: str
    branch: str
    owner: str
    repository: int
    fork: bool
    """Whether that repository is another one than this. GitHub says so, not the run."""

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Run:
        """Of the event. Raises SetupError where it is another's."""
        run = event.get("workflow_run") or {}
        if run.get("event") != "pull_request":
            raise SetupError("the event", "  no run of a pull request", "nothing: there is nothing to comment on")
        head = run["head_repository"]
        return cls(
            id=int(run["id"]),
            commit=str(run["head_sha"]),
            branch=str(run["head_branch"]),
            owner=str(head["owner"]["login"]),
            repository=int(head["id"]),
            fork=int(head["id"]) != int(event["repository"]["id"]),
        )


def post(github: GitHub, event: Mapping[str, Any]) -> str:
    """Comment, and say what was done. Raises SetupError."""
    run = Run.of(event)
    number = _pull_request(github, run)
    if number is None:
        return f"no open pull request is at {run.commit[:12]} any more: nothing to say"
    try:
        left = _artifact(github, run)
        if left is None:
            return f"the run {run.id} left no review: why, its own log says"
        text = comment(read(left), commit=run.commit, fork=run.fork)
    except NoReviewError as error:
        raise SetupError(f"the review of run {run.id}", f"  {error}", "see what that run's code has written") from None
    for one in github.pages(f"issues/{number}/comments"):
        if one["user"]["login"] == OURS and str(one["body"]).startswith(MARK):
            github.json("PATCH", f"issues/comments/{int(one['id'])}", {"body": text})
            return f"the comment on #{number} is written anew"
    github.json("POST", f"issues/{number}/comments", {"body": text})
    return f"#{number} has a comment"


def _pull_request(github: GitHub, run: Run) -> int | None:
    """By its branch, for of a fork's the event names none; and only while it is at the commit that was previewed."""
    head = urllib.parse.quote(f"{run.owner}:{run.branch}", safe="")
    for one in github.pages(f"pulls?state=open&head={head}"):
        at = one["head"]
        if at["sha"] == run.commit and (at["repo"] or {}).get("id") == run.repository:
            return int(one["number"])
    return None


def _artifact(github: GitHub, run: Run) -> str | None:
    """The one file of the run's artifact, read and never unpacked. None where it has none: that run is red itself."""
    listed = github.json("GET", f"actions/runs/{run.id}/artifacts?name={ARTIFACT}")["artifacts"]
    found = [one for one in listed if one["name"] == ARTIFACT and not one["expired"]]
    if not found:
        return None
    zipped = github.raw(
        "GET",
        f"{github.url}/repos/{github.repository}/actions/artifacts/{int(found[-1]['id'])}/zip",
        most=MOST_ZIPPED,
    )
    try:
        with zipfile.ZipFile(io.BytesIO(zipped)) as archive, archive.open(FILE) as file:
            text = file.read(MOST_BYTES + 1)  # whatever size it claims
        return text.decode()
    except (
        zipfile.BadZipFile,
        KeyError,
        UnicodeDecodeError,
        RuntimeError,
        NotImplementedError,
        OSError,
        EOFError,
    ) as error:
        raise NoReviewError(f"no {FILE} in it ({type(error).__name__})") from None
