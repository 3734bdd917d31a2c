"""A job's login: GitHub's token for it, laid in a file, against a server of ours in GitHub's place."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.played_github import Played, playing
from tools.review import __main__ as command
from tools.review import identity
from tools.steps import SetupError

pytestmark = pytest.mark.real


@pytest.fixture
def played() -> Iterator[Played]:
    with playing() as made:
        yield made


def of_a_job(played: Played, **more: str) -> dict[str, str]:
    return {
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/preview",
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{played.url}/token?api-version=2.0",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": played.token,
        **more,
    }


def test_a_job_with_a_role_lays_its_token_in_a_file_that_only_it_reads(
    played: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = of_a_job(played, GITHUB_RUN_ID="5")
    before = set(environment.values())
    assert identity.take(environment, tmp_path)
    assert identity.take(environment, tmp_path), "and again, for a token ends"
    file = Path(environment["AWS_WEB_IDENTITY_TOKEN_FILE"])
    assert file.read_text() == f"sts.amazonaws.com-{played.token}"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not [text for text in set(environment.values()) - before if played.token in text]
    assert played.token not in capsys.readouterr().out


def test_the_next_steps_of_a_job_are_told_where_the_token_is_and_not_what_it_is(
    played: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "env"
    for name, text in of_a_job(played, GITHUB_ENV=str(told), RUNNER_TEMP=str(tmp_path), GITHUB_RUN_ID="5").items():
        monkeypatch.setenv(name, text)
    assert command.main(["login"]) == 0
    assert told.read_text().splitlines() == [
        f"AWS_WEB_IDENTITY_TOKEN_FILE={tmp_path}/github-token",
        "AWS_ROLE_SESSION_NAME=github-5",
    ]
    monkeypatch.setenv("AWS_ROLE_ARN", "")
    told.unlink()
    assert command.main(["login"]) == 0
    assert not told.exists(), "nobody is logged in"


@pytest.mark.parametrize("lacking", ["AWS_ROLE_ARN", "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
def test_without_a_role_or_a_token_to_ask_with_as_of_a_fork_nobody_is_logged_in(
    played: Played, tmp_path: Path, lacking: str
) -> None:
    environment = of_a_job(played) | {lacking: ""}
    assert not identity.take(environment, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_token_that_github_refuses_is_an_error_that_does_not_repeat_it(played: Played, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="id-token: write") as refused:
        identity.take(of_a_job(played, ACTIONS_ID_TOKEN_REQUEST_TOKEN="another-one"), tmp_path)  # nosec B106
    assert "another-one" not in str(refused.value)
