"""Write the pull-request comment from the preview job's result file. Each run updates the comment.

Anybody may have written that file. So the run and the commit come from the event, and the pull request and its changed
files from GitHub's API.
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

from tools.review.comment import MARK, RULES, comment
from tools.review.judges import MORE, judges
from tools.review.review import MOST_BYTES, NoReviewError, StackReview, read
from tools.steps import SetupError

ARTIFACT = "review"
FILE = "review.json"
# Author of the comments that are updated.
OURS = "github-actions[bot]"
SECONDS = 60
MOST_ZIPPED = 4_000_000
# Entries per page, GitHub's maximum, and the maximum number of pages of a list.
A_PAGE, PAGES = 100, 50
# The maximum number of a pull request's files that GitHub lists:
# https://docs.github.com/rest/pulls/pulls#list-pull-requests-files
MOST_FILES = 3000


@dataclass(frozen=True, kw_only=True)
class GitHub:
    url: str
    repository: str
    token: str = field(repr=False)

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        for page in range(1, PAGES + 1):
            found = self.json("GET", f"{path}{'&' if '?' in path else '?'}per_page={A_PAGE}&page={page}")
            yield from found
            if len(found) < A_PAGE:
                return

    def json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a request below the repository's URL. Return the answer's JSON. Raises SetupError."""
        return json.loads(self.raw(method, f"{self.url}/repos/{self.repository}/{path}", body))

    def raw(self, method: str, url: str, body: Mapping[str, Any] | None = None, most: int = 20_000_000) -> bytes:
        """Send a request. Return the answer, of at most `most` bytes. Raises SetupError."""
        request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())  # noqa: S310
        # Not sent after a redirect: artifacts are on another server.
        request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        request.add_header("Accept", "application/vnd.github+json")
        request.add_header("X-GitHub-Api-Version", "2022-11-28")
        what = f"GitHub: {method} {urllib.parse.urlsplit(url).path}"
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310  # nosec B310
                text: bytes = answer.read(most + 1)
        except urllib.error.HTTPError as error:
            raise SetupError(
                what, f"  {error.code}", "check the job's `permissions`, and that the run still exists"
            ) from None
        except OSError as error:
            raise SetupError(what, f"  {type(error).__name__}", "run the job again") from None
        if len(text) > most:
            raise SetupError(what, f"  more than {most} bytes", "nothing to do: the answer is not a review")
        return text


@dataclass(frozen=True, kw_only=True)
class Run:
    """The workflow run of the preview, from the event `workflow_run`."""

    id: int
    commit: str
    branch: str
    owner: str
    repository: int
    # Whether the pull request is from another repository, according to GitHub.
    fork: bool

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Run:
        run = event.get("workflow_run") or {}
        if run.get("event") != "pull_request":
            raise SetupError(
                "the event",
                "  the event is not a run of a pull request",
                "nothing to do: there is no pull request to comment on",
            )
        head = run["head_repository"]
        return cls(
            id=int(run["id"]),
            commit=str(run["head_sha"]),
            branch=str(run["head_branch"]),
            owner=str(head["owner"]["login"]),
            repository=int(head["id"]),
            fork=int(head["id"]) != int(event["repository"]["id"]),
        )


def post(github: GitHub, event: Mapping[str, Any], *, server: str = "https://github.com") -> str:
    """Write or update the comment. Return what was done. Raises SetupError."""
    run = Run.of(event)
    number = _pull_request(github, run)
    if number is None:
        return f"no comment: no open pull request has commit {run.commit[:12]}"
    reviews: tuple[StackReview, ...] = ()
    refused = ""
    try:
        reviews = read(_artifact(github, run))
    except (NoReviewError, SetupError) as error:
        refused = str(error)
    # Posted even without a review: an older comment would hide that this run changes the judges.
    text = comment(
        reviews,
        touched=judges(_changed_files(github, number)),
        commit=run.commit,
        fork=run.fork,
        link=f"{server.rstrip('/')}/{github.repository}/blob/HEAD/{RULES}",
    )
    done = _put(github, number, text)
    if refused:
        raise SetupError(
            f"the review of run {run.id}",
            f"  {refused}",
            "check the run's log, and what the pull request's code writes",
        )
    return done


def _put(github: GitHub, number: int, text: str) -> str:
    for one in github.pages(f"issues/{number}/comments"):
        if one["user"]["login"] == OURS and str(one["body"]).startswith(MARK):
            github.json("PATCH", f"issues/comments/{int(one['id'])}", {"body": text})
            return f"the comment on #{number} is updated"
    github.json("POST", f"issues/{number}/comments", {"body": text})
    return f"#{number} has a comment"


def _pull_request(github: GitHub, run: Run) -> int | None:
    # By branch and commit, because the event of a fork has no number.
    head = urllib.parse.quote(f"{run.owner}:{run.branch}", safe="")
    for one in github.pages(f"pulls?state=open&head={head}"):
        at = one["head"]
        if at["sha"] == run.commit and (at["repo"] or {}).get("id") == run.repository:
            return int(one["number"])
    return None


def _changed_files(github: GitHub, number: int) -> Iterator[str]:
    files = list(github.pages(f"pulls/{number}/files"))
    for one in files:
        yield str(one["filename"])
        yield str(one.get("previous_filename") or one["filename"])
    if len(files) >= MOST_FILES:
        yield MORE


def _artifact(github: GitHub, run: Run) -> str:
    listed = github.json("GET", f"actions/runs/{run.id}/artifacts?name={ARTIFACT}")["artifacts"]
    found = [one for one in listed if one["name"] == ARTIFACT and not one["expired"]]
    if not found:
        raise NoReviewError("the run has no artifact")
    zipped = github.raw(
        "GET",
        f"{github.url}/repos/{github.repository}/actions/artifacts/{int(found[-1]['id'])}/zip",
        most=MOST_ZIPPED,
    )
    try:
        with zipfile.ZipFile(io.BytesIO(zipped)) as archive, archive.open(FILE) as file:
            text = file.read(MOST_BYTES + 1)  # limits the size, whatever size the archive states
        return text.decode()
    except Exception as error:  # zipfile may raise any exception: anybody may have written the archive
        raise NoReviewError(f"no {FILE} in it ({type(error).__name__})") from None
