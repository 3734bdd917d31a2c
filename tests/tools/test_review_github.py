"""The comment on a pull request, and the login of a job, against a stand-in for GitHub."""

import io
import secrets
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from policies.rule import rules
from tests.tools.played_github import Played, comment, playing
from tools.review import __main__ as command
from tools.review import identity
from tools.review.comment import COMPARED, MARK
from tools.review.github import MOST_ZIPPED, OURS, GitHub, post
from tools.review.review import Against, Broken, Change, Judge, Op, Provider, StackReview, read, written
from tools.steps import SetupError

pytestmark = pytest.mark.real

COMMIT = "c" * 40
REVIEW = written(
    (
        StackReview(
            stack="prod",
            provider=Provider.STANDIN,
            against=Against.BASE,
            changes=(Change(op=Op.DELETE, type="aws:kms/key:Key", name="key"),),
        ),
    )
)


def zipped(text: str, name: str = "review.json") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return made.getvalue()


def pull(number: int, *, owner: str = "stranger", repository: int = 77, sha: str = COMMIT) -> dict[str, Any]:
    return {"number": number, "head": {"user": owner, "ref": "a/branch", "sha": sha, "repo": {"id": repository}}}


EVENT: dict[str, Any] = {
    "repository": {"id": 1},
    "workflow_run": {
        "id": 9,
        "event": "pull_request",
        "head_sha": COMMIT,
        "head_branch": "a/branch",
        "head_repository": {"id": 77, "owner": {"login": "stranger"}},
        "pull_requests": [],  # of a fork it is empty
    },
}


@pytest.fixture
def played() -> Iterator[Played]:
    with playing() as made:
        made.artifact = zipped(REVIEW)
        yield made


def github(played: Played) -> GitHub:
    return GitHub(url=played.url, repository="owner/project", token=played.token)


def test_first_review_comments_and_second_one_updates_the_comment(played: Played) -> None:
    played.pulls = [pull(4)]
    assert post(github(played), EVENT) == "#4 has a comment"
    played.artifact = zipped(REVIEW.replace('"key"', '"other"'))
    assert post(github(played), EVENT) == "the comment on #4 is updated"
    (one,) = played.comments
    assert one["number"] == 4
    assert "`other`" in one["body"]
    assert COMMIT[:12] in one["body"]


def test_a_comment_of_ours_far_down_is_found_and_anybody_elses_with_the_mark_is_his(played: Played) -> None:
    played.pulls = [pull(4)]
    played.comments = [comment(n, 4, "somebody", f"{MARK}\nmine") for n in range(1, 150)]
    played.comments.append(comment(150, 4, OURS, f"{MARK}\nold"))
    played.comments.append(comment(151, 4, OURS, "another workflow's"))
    post(github(played), EVENT)
    assert len(played.comments) == 151
    assert [one["id"] for one in played.comments if "`key`" in one["body"]] == [150]


@pytest.mark.parametrize(
    "other",
    [pull(4, sha="d" * 40), pull(4) | {"head": {**pull(4)["head"], "repo": None}}],
    ids=["moved on", "its fork is gone"],
)
def test_no_comment_without_a_pull_request_at_the_commit(played: Played, other: dict[str, Any]) -> None:
    played.pulls = [other]
    assert "no comment" in post(github(played), EVENT)
    assert played.comments == []


@pytest.mark.parametrize(
    "artifact",
    [
        *(b"not a zip", zipped(REVIEW, "../review.json"), zipped(REVIEW.replace('"key"', '"@everyone"'))),
        *(zipped(" " * 50_000_000), secrets.token_bytes(MOST_ZIPPED + 1), None),
        zipped(REVIEW).replace(zlib.compress(REVIEW.encode(), wbits=-15)[:20], b"\xff" * 20),
    ],
    ids=["no zip", "another's path", "a mention", "a bomb", "too large", "no artifact", "broken bytes"],
)
def test_run_without_a_review_replaces_the_comment_and_names_changed_judges(
    played: Played, artifact: bytes | None
) -> None:
    played.pulls, played.files = [pull(4)], [{"filename": "policies/rule.py"}]
    post(github(played), EVENT)
    played.artifact = artifact
    with pytest.raises(SetupError) as refused:
        post(github(played), EVENT)
    (body,) = (one["body"] for one in played.comments)
    assert "everyone" not in str(refused.value) + body
    assert "no review of this commit" in body
    assert "`policies/` 1" in body
    assert "`prod`" not in body


def test_token_is_not_sent_to_the_artifact_storage_or_put_in_errors(played: Played) -> None:
    played.pulls = [pull(4)]
    api = github(played)
    post(api, EVENT)
    assert played.told_storage == [None]
    assert played.token not in repr(api)
    with pytest.raises(SetupError) as refused:
        post(GitHub(url=played.url, repository="owner/project", token="wrong-token"), EVENT)  # nosec B106
    assert "401" in str(refused.value)
    assert "wrong-token" not in str(refused.value)


@pytest.mark.parametrize(
    "file",
    [
        {"filename": "policies/aws/keys_rotate.py"},
        {"filename": "docs/x.md", "previous_filename": ".github/workflows/review.yml"},
    ],
)
def test_first_row_names_changed_judges_by_githubs_list_and_not_by_the_file(played: Played, file: Any) -> None:
    played.pulls, played.files = [pull(4)], [*({"filename": f"docs/{n}.md"} for n in range(120)), file]
    post(github(played), EVENT, server="https://github.example.com")
    first = played.comments[0]["body"].splitlines()[2]
    assert first.startswith("> **This pull request changes what judges it**")
    assert ("`policies/` 1" in first) != ("`.github/` 1" in first)


def test_comment_has_the_sentence_and_page_of_a_rule_and_no_text_of_the_file(played: Played) -> None:
    broken = [Broken(rule=rule, name="key", judge=Judge.BASE) for rule in ("aws-keys-rotate", "a rule of https://x")]
    played.pulls, played.artifact = [pull(4)], zipped(written((replace(read(REVIEW)[0], broken=tuple(broken)),)))
    post(github(played), EVENT)
    body = played.comments[0]["body"]
    (sentence,) = (one.sentence for one in rules() if one.name == "aws-keys-rotate")
    page = "https://github.com/owner/project/blob/HEAD/docs/compliance/rules.md#aws-keys-rotate"
    assert f"[`aws-keys-rotate`]({page}): {sentence}" in body
    assert body.count("](") == 1
    assert "`a rule of https://x`" in body


@pytest.mark.parametrize(("repository", "fork"), [(77, False), (1, True)], ids=["ours", "a fork"])
def test_claims_of_a_forks_run_are_not_repeated_as_facts(played: Played, repository: int, fork: bool) -> None:
    claims = replace(read(REVIEW)[0], provider=Provider.OWN, against=Against.DEPLOYED, rules=300)
    played.pulls, played.artifact = [pull(4)], zipped(written((claims,)))
    post(github(played), {**EVENT, "repository": {"id": repository}})
    body = played.comments[0]["body"]
    assert ("From a fork" in body) == fork
    assert ("Pulumi's own" in body, COMPARED[Against.DEPLOYED] in body) == (not fork, not fork)
    assert ("| 300 |" in body) == (not fork)


def of_a_job(played: Played, **more: str) -> dict[str, str]:
    return {
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/preview",
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{played.url}/token?api-version=2.0",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": played.token,
        **more,
    }


def test_job_token_is_in_a_private_file(played: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environment = of_a_job(played, GITHUB_RUN_ID="5")
    before = set(environment.values())
    assert identity.take(environment, tmp_path)
    assert identity.take(environment, tmp_path), "and again, for a token ends"
    file = Path(environment["AWS_WEB_IDENTITY_TOKEN_FILE"])
    assert file.read_text() == f"sts.amazonaws.com-{played.token}"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not [text for text in set(environment.values()) - before if played.token in text]
    assert played.token not in capsys.readouterr().out


def test_later_steps_get_the_token_file_alone(played: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file = tmp_path / "env"
    for name, text in of_a_job(played, GITHUB_ENV=str(env_file), RUNNER_TEMP=str(tmp_path), GITHUB_RUN_ID="5").items():
        monkeypatch.setenv(name, text)
    assert command.main(["login"]) == 0
    assert env_file.read_text().splitlines() == [
        f"AWS_WEB_IDENTITY_TOKEN_FILE={tmp_path}/github-token",
        "AWS_ROLE_SESSION_NAME=github-5",
    ]
    monkeypatch.setenv("AWS_ROLE_ARN", "")
    env_file.unlink()
    assert command.main(["login"]) == 0
    assert not env_file.exists(), "nobody is logged in"


def test_a_token_that_github_refuses_is_an_error_that_does_not_repeat_it(played: Played, tmp_path: Path) -> None:
    with pytest.raises(SetupError) as refused:
        identity.take(of_a_job(played, ACTIONS_ID_TOKEN_REQUEST_TOKEN="another-one"), tmp_path)  # nosec B106
    assert "another-one" not in str(refused.value)
