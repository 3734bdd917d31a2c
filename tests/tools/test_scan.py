"""Every scanner of `make scan` on repositories made here: what is planted is found, its place named, its text not."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import string
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.stacks.runbook import OPERATIONS, Clone, run_of

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
    """This process's, without what a git hook that runs these tests would say of another repository."""
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

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def commit(self, name: str, text: str) -> None:
        self.write(name, text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", f"write {name}")

    def remove(self, name: str) -> None:
        self.git("rm", "--quiet", name)
        self.git("commit", "--quiet", "--message", f"remove {name}")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    folder = tmp_path / "repository"
    folder.mkdir()
    return Repository(folder)


def scan(folder: Path, *names: str, **extra: str) -> subprocess.CompletedProcess[str]:
    only = [word for name in names for word in ("--only", name)]
    done = subprocess.run(
        [sys.executable, SCAN, *only, folder],
        check=False,
        cwd=ROOT,
        env=environment(**extra),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def scan_or_skip(folder: Path, name: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Skipped, with the scanner's own reason, where it cannot be had; under CI that is exit code 2 and so a failure."""
    done = scan(folder, name, **extra)
    if done.returncode == 0 and f"{name}: skipped: " in done.stdout:
        pytest.skip(" ".join(done.stdout[done.stdout.index(f"{name}: skipped") :].split()))
    return done


def aws_key() -> str:
    """The form of an AWS access key id. No letter twice, so that no scanner takes it for a placeholder."""
    return "AK" + "IA" + "".join(secrets.SystemRandom().sample(string.ascii_uppercase + "234567", 16))


def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def password() -> str:
    return "w" + secrets.token_hex(12)


# What is planted: the name of the file, the secret, and the file's text around it.
Plant = tuple[str, Callable[[], str], str]
A_KEY_ID: Plant = ("deploy.env", aws_key, "AWS_ACCESS_KEY_ID={}\n")
A_PRIVATE_KEY: Plant = ("client.key", private_key, "{}")
AN_ASSIGNMENT: Plant = ("app.py", password, 'broker_password = "{}"\n')
AN_ARGUMENT: Plant = ("app.py", password, 'connect(username="mcp", password="{}")\n')
A_DEFAULT: Plant = ("app.py", password, 'def connect(password="{}"):\n    pass\n')

PLANTED = [
    ("detect-secrets", A_KEY_ID),
    ("detect-secrets", A_PRIVATE_KEY),
    ("detect-secrets", AN_ASSIGNMENT),
    ("bandit", AN_ASSIGNMENT),
    ("bandit", AN_ARGUMENT),
    ("bandit", A_DEFAULT),
    ("bandit-b106", AN_ARGUMENT),
    ("gitleaks", A_KEY_ID),
    ("gitleaks", A_PRIVATE_KEY),
    ("trufflehog", A_KEY_ID),
    ("trufflehog", A_PRIVATE_KEY),
    ("git-secrets", A_KEY_ID),
]


def plant(repository: Repository, what: Plant) -> tuple[str, str]:
    name, make, text = what
    secret = make()
    repository.commit(name, text.format(secret))
    return name, secret


def assert_found_but_not_shown(done: subprocess.CompletedProcess[str], scanner: str, name: str, secret: str) -> None:
    said = done.stdout + done.stderr
    assert not any(line in said for line in secret.split() if len(line) > 7), f"{scanner} shows what it found"
    assert done.returncode == 1, said
    assert re.search(rf"^{scanner}: [1-9] findings? \(", said, re.MULTILINE), said
    assert name in said


@pytest.mark.real
@pytest.mark.parametrize("scanner", ALL)
def test_a_repository_without_secrets_is_clean(repository: Repository, scanner: str) -> None:
    repository.commit("app.py", "print('hello')\n")
    done = scan_or_skip(repository.folder, scanner)
    assert (done.returncode, done.stdout.count(f"{scanner}: ok (")) == (0, 1), done.stdout


@pytest.mark.real
@pytest.mark.parametrize(("scanner", "what"), PLANTED)
def test_a_planted_secret_fails_the_scan_which_names_its_file_and_keeps_the_secret(
    repository: Repository, scanner: str, what: Plant
) -> None:
    name, secret = plant(repository, what)
    done = scan_or_skip(repository.folder, scanner)
    assert_found_but_not_shown(done, scanner, name, secret)


@pytest.mark.real
@pytest.mark.parametrize("scanner", OF_HISTORY)
def test_a_secret_that_a_later_commit_removed_is_still_found(repository: Repository, scanner: str) -> None:
    name, secret = plant(repository, A_KEY_ID)
    commit = repository.git("rev-parse", "HEAD")[:9]
    repository.remove(name)
    repository.commit("README.md", "# Still nothing\n")
    done = scan_or_skip(repository.folder, scanner)
    assert_found_but_not_shown(done, scanner, f"{commit}:{name}", secret)


@pytest.mark.real
@pytest.mark.parametrize("scanner", OF_HISTORY)
@pytest.mark.parametrize("where", ["branch", "annotated tag", "detached HEAD"])
def test_a_secret_off_the_current_branch_is_found(repository: Repository, scanner: str, where: str) -> None:
    repository.git("checkout", "--quiet", "--detach")
    name, secret = plant(repository, A_KEY_ID)
    if where == "branch":
        repository.git("branch", "aside")
    elif where == "annotated tag":
        repository.git("tag", "--annotate", "--message", "a tag", "aside")
    if where == "detached HEAD":
        repository.remove(name)
    else:
        repository.git("checkout", "--quiet", "main")
    done = scan_or_skip(repository.folder, scanner)
    assert_found_but_not_shown(done, scanner, name, secret)


@pytest.mark.real
def test_a_file_not_yet_added_is_scanned_and_an_ignored_one_is_not(repository: Repository) -> None:
    repository.commit(".gitignore", "mine.env\n")
    repository.write("mine.env", f"key={aws_key()}\n")
    assert scan(repository.folder, "detect-secrets").returncode == 0
    repository.write("new.env", f"key={aws_key()}\n")
    done = scan(repository.folder, "detect-secrets")
    assert done.returncode == 1
    assert "new.env:1" in done.stdout
    assert "mine.env" not in done.stdout


@pytest.mark.real
def test_the_baseline_lets_through_what_was_audited_and_nothing_else(repository: Repository) -> None:
    repository.commit("app.py", f'broker_password = "{password()}"\n')
    baseline = repository.folder / ".secrets.baseline"
    made = subprocess.run(
        [sys.executable, "-m", "detect_secrets", "scan", "--no-verify"],
        cwd=repository.folder,
        env=environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    known = json.loads(made.stdout)
    baseline.write_text(made.stdout)
    unaudited = scan(repository.folder, "detect-secrets")
    assert unaudited.returncode == 1
    assert "app.py:1 Secret Keyword, in the baseline unaudited" in unaudited.stdout

    for entry in known["results"]["app.py"]:
        entry["is_secret"] = False
    baseline.write_text(json.dumps(known))
    repository.write("app.py", "\n\n" + (repository.folder / "app.py").read_text())
    assert scan(repository.folder, "detect-secrets").returncode == 0
    assert baseline.read_text() == json.dumps(known), "a scan changes nothing, not even a line number of the baseline"

    name, secret = plant(repository, ("more.py", password, 'broker_password = "{}"\n'))
    assert_found_but_not_shown(scan(repository.folder, "detect-secrets"), "detect-secrets", name, secret)

    baseline.write_text("{}")
    broken = scan(repository.folder, "detect-secrets")
    assert broken.returncode == 2
    assert ".secrets.baseline is not a baseline" in broken.stdout


@pytest.mark.real
def test_the_pages_commands_make_a_baseline_and_judge_what_is_in_it(repository: Repository) -> None:
    anew, again = run_of(OPERATIONS / "scanning.md")[::-1]
    repository.commit("app.py", f'broker_password = "{password()}"\n')
    (repository.folder / ".venv").symlink_to(sys.prefix)
    clone = Clone(repository.folder, environment(), without=tuple(GIT_OF_A_HOOK))
    for answer, is_secret in {"n": True, "y": False}.items():
        assert f"{answer}: {'a secret' if is_secret else 'harmless'}" in again
        done = clone.sh(anew, again, given=f"{answer}\n")
        assert done.returncode == 0, done.stdout + done.stderr
        (entry,) = json.loads((repository.folder / ".secrets.baseline").read_text())["results"]["app.py"]
        assert entry["is_secret"] is is_secret
        assert scan(repository.folder, "detect-secrets").returncode == int(is_secret)


@pytest.mark.real
@pytest.mark.parametrize("scanner", ["gitleaks", "trufflehog"])
def test_the_hashes_of_the_baseline_are_no_finding(repository: Repository, scanner: str) -> None:
    """Of this repository's own settings: without them both take a hash for a key."""
    repository.commit(".gitleaks.toml", (ROOT / ".gitleaks.toml").read_text())
    # Many, as gitleaks asks for an entropy that one hash in a few does not have.
    entries = [{"hashed_secret": secrets.token_hex(20), "is_secret": False} for _ in range(20)]
    repository.commit(".secrets.baseline", json.dumps(entries, indent=2))
    assert scan_or_skip(repository.folder, scanner).returncode == 0
    repository.commit("elsewhere.json", json.dumps(entries, indent=2))
    assert "elsewhere.json" in scan(repository.folder, scanner).stdout


@pytest.mark.real
def test_a_key_in_the_baseline_is_a_finding_of_gitleaks(repository: Repository) -> None:
    repository.commit(".gitleaks.toml", (ROOT / ".gitleaks.toml").read_text())
    name, secret = plant(repository, (".secrets.baseline", aws_key, '{{"key": "{}"}}\n'))
    assert_found_but_not_shown(scan_or_skip(repository.folder, "gitleaks"), "gitleaks", name, secret)


@pytest.mark.real
def test_a_password_in_a_test_is_no_finding_of_bandit(repository: Repository) -> None:
    (repository.folder / "tests").mkdir()
    repository.commit("tests/test_app.py", f'connect(password="{password()}")\n')
    assert scan(repository.folder, "bandit", "bandit-b106").returncode == 0


@pytest.mark.real
def test_bandit_fails_on_a_medium_and_passes_a_low(repository: Repository) -> None:
    repository.commit("low.py", "import subprocess\n")
    assert scan(repository.folder, "bandit").returncode == 0
    repository.commit("medium.py", "import yaml\nyaml.load('a')\n")
    done = scan(repository.folder, "bandit")
    assert done.returncode == 1
    assert "medium.py:2 B506 yaml_load" in done.stdout


@pytest.mark.real
def test_bandit_that_cannot_read_a_file_has_not_run(repository: Repository) -> None:
    repository.commit("broken.py", "def (\n")
    done = scan(repository.folder, "bandit")
    assert done.returncode == 2
    assert "broken.py" in done.stdout


@pytest.mark.real
def test_git_secrets_writes_no_git_configuration(repository: Repository, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    config = repository.folder / ".git/config"
    before = config.read_text()
    scan_or_skip(repository.folder, "git-secrets", HOME=str(home), GIT_CONFIG_GLOBAL=str(home / ".gitconfig"))
    assert config.read_text() == before
    assert list(home.iterdir()) == []


def test_a_scanner_that_cannot_be_had_is_skipped_and_is_an_error_in_ci(repository: Repository, tmp_path: Path) -> None:
    git = shutil.which("git")
    assert git
    only_git = tmp_path / "bin"
    only_git.mkdir()
    (only_git / "git").symlink_to(git)
    done = scan(repository.folder, "git-secrets", PATH=str(only_git), CI="")
    assert (done.returncode, "git-secrets: skipped: git-secrets is not installed" in done.stdout) == (0, True)
    assert "scan: 1 skipped" in done.stdout
    assert scan(repository.folder, "git-secrets", PATH=str(only_git), CI="true").returncode == 2


@pytest.mark.parametrize("scanner", OF_HISTORY)
def test_half_a_history_is_not_called_clean(repository: Repository, tmp_path: Path, scanner: str) -> None:
    repository.commit("app.py", "print('hello')\n")
    repository.git("clone", "--quiet", "--depth=1", repository.folder.as_uri(), str(tmp_path / "shallow"))
    done = scan(tmp_path / "shallow", scanner, CI="true")
    assert done.returncode == 2
    assert f"{scanner}: skipped: a shallow clone" in done.stdout


@pytest.mark.parametrize("folder", ["plain", "missing"])
def test_what_is_no_git_work_tree_is_refused_with_the_remedy(tmp_path: Path, folder: str) -> None:
    (tmp_path / "plain").mkdir()
    done = scan(tmp_path / folder, "detect-secrets", GIT_CEILING_DIRECTORIES=str(tmp_path))
    assert done.returncode == 2
    assert "-> " in done.stdout


def test_an_unknown_scanner_is_refused_with_the_names_there_are(repository: Repository) -> None:
    done = scan(repository.folder, "nothing")
    assert done.returncode == 2
    assert all(name in done.stderr for name in ALL)


@pytest.mark.real
def test_what_is_staged_is_checked_before_the_commit(repository: Repository) -> None:
    scan_or_skip(repository.folder, "gitleaks")  # builds it
    staged = [sys.executable, str(SCAN), "--staged"]

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            staged, check=False, cwd=repository.folder, env=environment(), capture_output=True, text=True
        )

    secret = aws_key()
    repository.write("deploy.env", f"AWS_ACCESS_KEY_ID={secret}\n")
    assert check().returncode == 0
    repository.git("add", "--all")
    assert_found_but_not_shown(check(), "gitleaks", "deploy.env:1", secret)


@pytest.mark.real
@pytest.mark.parametrize("scanner", ALL)
def test_this_repository_is_clean(scanner: str) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone: there is no history to scan")
    done = scan_or_skip(ROOT, scanner)
    assert done.returncode == 0, done.stdout
