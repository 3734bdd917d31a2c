"""The scanners of `make scan`, on repositories made here: they report the place of a secret, not its text."""

import json
import os
import re
import secrets
import shutil
import string
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stacks.runbook import OPERATIONS, Clone, run_of
from tools import scanners
from tools.worktree import ScanError

ROOT = Path(__file__).resolve().parents[2]
SCAN = ROOT / "tools/scan.py"
ALL = ("detect-secrets", "bandit", "bandit-b106", "gitleaks", "trufflehog", "git-secrets")
OF_HISTORY = ("gitleaks", "trufflehog", "git-secrets")
GIT = {
    **{f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
}
GIT_OF_A_HOOK = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"}


def environment(**extra: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in GIT_OF_A_HOOK} | GIT | extra


class Repository:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("README.md", "# Nothing to see\n")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=environment(), check=True, capture_output=True, text=True
        )
        return done.stdout

    def commit(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", f"write {name}")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    folder = tmp_path / "repository"
    folder.mkdir()
    return Repository(folder)


def scan(folder: Path, *names: str, **extra: str) -> subprocess.CompletedProcess[str]:
    only = [word for name in names for word in ("--only", name)]
    done = subprocess.run(
        [sys.executable, SCAN, *only, folder], check=False, cwd=ROOT, env=environment(**extra),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr
    return done


def scan_or_skip(folder: Path, name: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a scanner. Skip the test with the scanner's own reason if it is unavailable; in CI, this fails with exit code
    2."""
    done = scan(folder, name, **extra)
    if done.returncode == 0 and f"{name}: skipped: " in done.stdout:
        pytest.skip(" ".join(done.stdout.split()))
    return done


def aws_key() -> str:
    """Return a text that looks like an AWS access key id. No letter repeats, because a scanner ignores placeholders
    such as XXXX."""
    return "AK" + "IA" + "".join(secrets.SystemRandom().sample(string.ascii_uppercase + "234567", 16))


def password() -> str:
    return "w" + secrets.token_hex(12)


def assert_found_but_not_shown(done: subprocess.CompletedProcess[str], scanner: str, name: str, secret: str) -> None:
    output = done.stdout + done.stderr
    assert not any(line in output for line in secret.split() if len(line) > 7), f"{scanner} shows what it found"
    assert done.returncode == 1, output
    assert re.search(rf"^{scanner}: [1-9] findings? \(", output, re.MULTILINE), output
    assert name in output


@pytest.mark.real
@pytest.mark.parametrize("scanner", ["detect-secrets", "bandit", pytest.param("bandit-b106", marks=pytest.mark.slow)])
def test_secret_fails_the_scan_which_names_only_its_file(repository: Repository, scanner: str) -> None:
    secret = password()
    repository.commit("app.py", f'connect(username="mcp", password="{secret}")\n')
    assert_found_but_not_shown(scan_or_skip(repository.folder, scanner), scanner, "app.py", secret)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("scanner", OF_HISTORY)
def test_secret_of_an_earlier_commit_is_found_in_the_history(repository: Repository, scanner: str) -> None:
    secret = aws_key()
    repository.commit("deploy.env", f"AWS_ACCESS_KEY_ID={secret}\n")
    repository.git("rm", "--quiet", "deploy.env")
    repository.git("commit", "--quiet", "--message", "remove it")
    done = scan_or_skip(repository.folder, scanner)
    assert_found_but_not_shown(done, scanner, "deploy.env", secret)


def test_baseline_allows_only_audited_false_positives(tmp_path: Path) -> None:
    baseline = tmp_path / scanners.BASELINE

    def unaudited(**judged: bool) -> set[str]:
        entry = {"filename": "app.py", "line_number": 1, "type": "Secret Keyword", **judged}
        baseline.write_text(json.dumps({"results": {"app.py": [entry]}}))
        return {found.where for found in scanners._unaudited(baseline)}

    assert unaudited() == unaudited(is_secret=True) == {"app.py:1"}
    assert unaudited(is_secret=False) == set()
    baseline.write_text("{}")
    with pytest.raises(ScanError, match="not a baseline"):
        scanners._unaudited(baseline)


@pytest.mark.real
def test_bandit_that_cannot_read_a_file_has_not_run(repository: Repository) -> None:
    repository.commit("broken.py", "def (\n")
    done = scan(repository.folder, "bandit")
    assert done.returncode == 2
    assert "broken.py" in done.stdout


@pytest.mark.real
def test_missing_scanner_is_skipped_locally_and_an_error_in_ci(repository: Repository, tmp_path: Path) -> None:
    git = shutil.which("git")
    assert git
    only_git = tmp_path / "bin"
    only_git.mkdir()
    (only_git / "git").symlink_to(git)
    done = scan(repository.folder, "git-secrets", PATH=str(only_git), CI="")
    assert (done.returncode, "git-secrets: skipped: git-secrets is not installed" in done.stdout) == (0, True)
    assert "scan: 1 skipped" in done.stdout
    assert scan(repository.folder, "git-secrets", PATH=str(only_git), CI="true").returncode == 2


@pytest.mark.real
def test_half_a_history_is_not_called_clean(repository: Repository, tmp_path: Path) -> None:
    repository.commit("app.py", "print('hello')\n")
    repository.git("clone", "--quiet", "--depth=1", repository.folder.as_uri(), str(tmp_path / "shallow"))
    done = scan(tmp_path / "shallow", *OF_HISTORY, CI="true")
    assert done.returncode == 2
    assert all(f"{scanner}: skipped: a shallow clone" in done.stdout for scanner in OF_HISTORY)


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("scanner", ALL)
def test_this_repository_is_clean(scanner: str) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone: there is no history to scan")
    done = scan_or_skip(ROOT, scanner)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.real
def test_the_pages_commands_make_a_baseline_and_judge_what_is_in_it(repository: Repository) -> None:
    create, again = run_of(OPERATIONS / "scanning.md")[::-1]
    repository.commit("app.py", f'broker_password = "{password()}"\n')
    (repository.folder / ".venv").symlink_to(sys.prefix)
    clone = Clone(repository.folder, environment(), without=tuple(GIT_OF_A_HOOK))
    for answer, is_secret in {"n": True, "y": False}.items():
        assert f"{answer}: {'a secret' if is_secret else 'harmless'}" in again
        done = clone.sh(create, again, stdin=f"{answer}\n")
        assert done.returncode == 0, done.stdout + done.stderr
        (entry,) = json.loads((repository.folder / ".secrets.baseline").read_text())["results"]["app.py"]
        assert entry["is_secret"] is is_secret
        assert scan(repository.folder, "detect-secrets").returncode == int(is_secret)
