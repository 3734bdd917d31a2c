"""The secret scanners. Each is a function that takes a git work tree, and returns the places of findings.

A missing scanner raises `NotHadError`, a failed one `ScanError`. Texts never contain the secret that was found.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.steps import TOOLS, SetupError
from tools.toolchain.gobuild import cached_binary, make_venv, only_one, pip_install
from tools.worktree import ScanError, Tree, call, git

HERE = Path(__file__).resolve().parent
GITLEAKS = ("gitleaks", HERE / "gitleaks", "github.com/zricethezav/gitleaks/v8")
BASELINE = ".secrets.baseline"
NOTHING_NEW = 3  # detect-secrets-hook: no finding, but it updated the line numbers in its baseline
LEAKS_FOUND = 9  # exit code for findings; gitleaks' default of 1 also means failure

# The patterns of `git secrets --register-aws`, without changing git's configuration,
# and without its provider, which would put the user's AWS keys into git's arguments.
_JOIN, _QUOTE = r"\s*(:|=>|=)\s*", "(\"|')?"
_KEY = "(AWS|aws|Aws)?_?(SECRET|secret|Secret)?_?(ACCESS|access|Access)?_?(KEY|key|Key)"
_ACCOUNT = "(AWS|aws|Aws)?_?(ACCOUNT|account|Account)_?(ID|id|Id)?"
AWS_PATTERNS = (
    "(A3T[A-Z0-9]|AKIA|AGPA|AIDA|AROA|AIPA|ANPA|ANVA|ASIA)[A-Z0-9]{16}",
    rf"{_QUOTE}{_KEY}{_QUOTE}{_JOIN}{_QUOTE}[A-Za-z0-9/\+=]{{40}}{_QUOTE}",
    rf"{_QUOTE}{_ACCOUNT}{_QUOTE}{_JOIN}{_QUOTE}[0-9]{{4}}\-?[0-9]{{4}}\-?[0-9]{{4}}{_QUOTE}",
)


class NotHadError(Exception):
    """The scanner is missing. The text has the reason and the remedy."""


@dataclass(frozen=True, order=True)
class Finding:
    """The place of a finding and its rule, but never its content."""

    where: str
    rule: str


@dataclass(frozen=True)
class Report:
    """What a scanner scanned, and its findings."""

    covered: str
    findings: frozenset[Finding]


def _answer(scanner: str, done: subprocess.CompletedProcess[str], expected: Iterable[int]) -> Any:
    # Other output may contain secrets, so it is not repeated.
    try:
        if done.returncode in expected:
            return json.loads(done.stdout)
    except ValueError:
        pass
    raise ScanError(f"{scanner} failed with exit code {done.returncode}", remedy=f"run {scanner} by hand to see why")


def _in_this_python(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise NotHadError(f"this Python has no {module.replace('_', '-')}; run by .venv/bin/python, after `make up`")


def _whole_history(tree: Tree) -> None:
    if tree.shallow:
        raise NotHadError("a shallow clone has only part of the history; `git fetch --unshallow` gets the rest")


def detect_secrets(tree: Tree) -> Report:
    """Report findings that are not in the baseline, and entries of the baseline that are not audited."""
    _in_this_python("detect_secrets")
    baseline = tree.root / BASELINE
    names = [name for name in tree.files if name != BASELINE]
    findings: set[Finding] = set()
    options: list[str | Path] = ["--no-verify"]  # verification would send a found secret to its service
    with tempfile.TemporaryDirectory() as work:
        if baseline.is_file():
            findings |= _unaudited(baseline)
            # A copy: the hook rewrites its baseline.
            options += ["--baseline", shutil.copy(baseline, work)]
        done = call([sys.executable, "-m", "detect_secrets.pre_commit_hook", *options, "--json", *names], tree.root)
    if done.returncode not in (0, NOTHING_NEW):
        for entries in _answer("detect-secrets", done, (1,))["results"].values():
            findings |= {Finding(f"{entry['filename']}:{entry['line_number']}", entry["type"]) for entry in entries}
    return Report(f"{len(names)} files", frozenset(findings))


def _unaudited(baseline: Path) -> set[Finding]:
    try:
        entries = [entry for entries in json.loads(baseline.read_text())["results"].values() for entry in entries]
        return {
            Finding(f"{entry['filename']}:{entry['line_number']}", f"{entry['type']}, in the baseline unaudited")
            for entry in entries
            if entry.get("is_secret") is not False
        }
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ScanError(
            f"{BASELINE} is not a baseline", remedy="create it again: see docs/operations/scanning.md"
        ) from problem


def _bandit(tree: Tree, *options: str) -> list[dict[str, Any]]:
    _in_this_python("bandit")
    names = tree.python()
    if not names:
        return []
    done = call([sys.executable, "-m", "bandit", "-q", "-f", "json", "--exit-zero", *options, *names], tree.root)
    answer = _answer("bandit", done, (0,))
    if unread := [error["filename"] for error in answer["errors"]]:
        raise ScanError(f"bandit cannot read {', '.join(unread)}", remedy="correct the file's syntax")
    return list(answer["results"])


def _as_findings(results: Iterable[dict[str, Any]]) -> frozenset[Finding]:
    return frozenset(
        Finding(f"{r['filename'].removeprefix('./')}:{r['line_number']}", f"{r['test_id']} {r['test_name']}")
        for r in results
    )


def bandit(tree: Tree) -> Report:
    """Report findings of medium and high severity, and passwords in code (B105, B106, B107)."""
    grave = (
        result
        for result in _bandit(tree)
        if result["issue_severity"] in {"MEDIUM", "HIGH"} or result["test_id"] in {"B105", "B106", "B107"}
    )
    return Report(f"{len(tree.python())} files", _as_findings(grave))


def bandit_b106(tree: Tree) -> Report:
    """Run the audit of the Secret Management Guide: `bandit -r . -f json | jq '.results[] | select(.test_id ==
    "B106")'`."""
    return Report(f"{len(tree.python())} files", _as_findings(_bandit(tree, "-t", "B106")))


def gitleaks(tree: Tree) -> Report:
    """Scan every commit of every branch with gitleaks."""
    _whole_history(tree)
    quiet = ["--redact", "--no-banner", "--no-color", "--log-level", "error"]
    report = ["--exit-code", str(LEAKS_FOUND), "--report-format", "json", "--report-path", "-"]
    done = call([gitleaks_binary(), "git", *quiet, *report, "--gitleaks-ignore-path", tree.root, tree.root], tree.root)
    leaks = _answer("gitleaks", done, (0, LEAKS_FOUND))
    return Report(
        f"{tree.commits} commits",
        frozenset(
            Finding(f"{_at(leak['Commit'])}{leak['File']}:{leak['StartLine']}", leak["RuleID"]) for leak in leaks
        ),
    )


def gitleaks_binary() -> Path:
    """Build gitleaks from tools/gitleaks, once per user. Raises `NotHadError`."""
    try:
        return cached_binary(*GITLEAKS)
    except SetupError as problem:
        raise NotHadError(str(problem)) from problem


def _at(commit: str) -> str:
    return f"{commit[:9]}:" if commit else ""


def trufflehog(tree: Tree) -> Report:
    """Run the Secret Management Guide's `truffleHog --regex --entropy=False .` on every commit of branches, tags and
    HEAD."""
    _whole_history(tree)
    program = trufflehog_program()
    if not tree.commits:
        return Report("0 commits", frozenset())
    with tempfile.TemporaryDirectory(prefix="scan-") as work:
        # truffleHog reads only branches: scan a copy, with a branch for every tip.
        copy = Path(work) / "all.git"
        git(tree.root, "clone", "--quiet", "--mirror", str(tree.root), str(copy))
        tips = git(tree.root, "rev-list", "--no-walk", "--all").split()
        for tip in tips:
            git(copy, "update-ref", f"refs/heads/{tip}", tip)
        git(copy, "symbolic-ref", "HEAD", f"refs/heads/{tips[0]}")
        excluded = HERE / "trufflehog" / "excluded.txt"
        done = call(
            [program, "--json", "--regex", "--entropy=False", "--cleanup", "--exclude_paths", excluded, copy.as_uri()],
            tree.root,
            {"TMPDIR": work},  # truffleHog writes its findings to files there
        )
    if done.returncode not in (0, 1) or (done.returncode == 1) != bool(
        done.stdout.strip()
    ):  # a crash has exit code 1, too
        raise ScanError(
            f"truffleHog failed with exit code {done.returncode}", remedy="run truffleHog by hand to see why"
        )
    issues = [json.loads(line) for line in done.stdout.splitlines()]
    findings = frozenset(Finding(f"{_at(issue['commitHash'])}{issue['path']}", issue["reason"]) for issue in issues)
    return Report(f"{tree.commits} commits", findings)


def trufflehog_program() -> Path:
    """Install truffleHog in a folder below .tools, whose name contains a digest of the lock file. Raises
    `NotHadError`."""
    lock = HERE / "trufflehog" / "requirements.txt"
    home = TOOLS / f"trufflehog-{hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]}"
    program, finished = home / "bin/trufflehog", home / "finished"
    try:
        with only_one(home.with_suffix(".lock"), "truffleHog"):
            if not finished.exists():  # an environment can't be renamed into place, so a mark shows that it is complete
                pip_install(make_venv(home), lock)
                finished.touch()
    except SetupError as problem:
        raise NotHadError(str(problem)) from problem
    return program


def git_secrets(tree: Tree) -> Report:
    """Scan the files and the history for git-secrets' AWS patterns."""
    _whole_history(tree)
    if shutil.which("git-secrets") is None:
        raise NotHadError("git-secrets is not installed; on Debian or Ubuntu: apt-get install git-secrets")
    first = int(os.environ.get("GIT_CONFIG_COUNT", "0"))
    settings = [("secrets.patterns", pattern) for pattern in AWS_PATTERNS] + [
        ("color.ui", "never"),
        ("core.quotePath", "false"),
    ]
    patterns = {"GIT_CONFIG_COUNT": str(first + len(settings))}
    for index, (name, value) in enumerate(settings, first):
        patterns |= {f"GIT_CONFIG_KEY_{index}": name, f"GIT_CONFIG_VALUE_{index}": value}
    findings: set[Finding] = set()
    for arguments in (["--scan", "--untracked"], ["--scan-history"]):
        done = call(["git", "secrets", *arguments], tree.root, patterns)
        matches = re.findall(r"^(?:([0-9a-f]{40,64}):)?([^:\n]+):([0-9]+):", done.stderr, re.MULTILINE)
        if done.returncode not in (0, 1) or (done.returncode == 1) != bool(matches):
            raise ScanError(
                f"git secrets {arguments[0]} failed with exit code {done.returncode}",
                remedy="run it by hand to see why",
            )
        if done.returncode:
            findings |= {Finding(f"{_at(commit)}{name}:{line}", "AWS pattern") for commit, name, line in matches}
    return Report(f"{len(tree.files)} files, {tree.commits} commits", frozenset(findings))


SCANNERS: Mapping[str, Callable[[Tree], Report]] = {
    "detect-secrets": detect_secrets,
    "bandit": bandit,
    "bandit-b106": bandit_b106,
    "gitleaks": gitleaks,
    "trufflehog": trufflehog,
    "git-secrets": git_secrets,
}
