"""A git work tree for scanners, and functions that run git and programs there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class ScanError(Exception):
    """A scan failed. The text has the step, its last lines and the remedy, but never findings."""

    def __init__(self, what: str, *, output: str = "", remedy: str = "") -> None:
        last = output.strip().splitlines()[-5:]
        super().__init__("\n".join([what, *last, *([f"-> {remedy}"] if remedy else [])]))


@dataclass(frozen=True)
class Tree:
    """A work tree's files: committed ones, and those that `git add .` would add."""

    root: Path
    files: tuple[str, ...]
    commits: int
    shallow: bool

    @classmethod
    def read(cls, folder: Path) -> Tree:
        top = call(["git", "rev-parse", "--show-toplevel"], folder)
        if top.returncode:
            raise ScanError(
                f"{folder} is not in a git work tree",
                output=top.stderr,
                remedy="scan a clone, because an archive has no history",
            )
        root = Path(top.stdout.rstrip("\n"))
        listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
        files = sorted(name for name in set(listed) if (root / name).is_file() and not (root / name).is_symlink())
        commits = int(git(root, "rev-list", "--all", "--count"))
        shallow = git(root, "rev-parse", "--is-shallow-repository").strip() == "true"
        return cls(root, tuple(files), commits, shallow)

    def python(self) -> list[str]:
        """Return Python files outside of tests. Tests contain made-up passwords."""
        return [name for name in self.files if name.endswith(".py") and "tests" not in Path(name).parts]


def _environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    # Without variables that redirect git or a scanner.
    astray = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY"}
    kept = {
        name: value for name, value in os.environ.items() if name not in astray and not name.startswith("GITLEAKS_")
    }
    return kept | dict(extra or {})


def call(
    argv: Sequence[str | Path], cwd: Path, extra: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv,
            cwd=cwd,
            env=_environment(extra),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as problem:
        raise ScanError(
            f"{argv[0]}: {problem.strerror}", remedy=f"install {argv[0]}, or run the scan in an existing folder"
        ) from problem


def git(root: Path, *arguments: str) -> str:
    done = call(["git", *arguments], root)
    if done.returncode:
        raise ScanError(f"git {arguments[0]}: exit code {done.returncode}", output=done.stderr)
    return done.stdout
