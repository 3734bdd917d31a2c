"""A fresh clone of this project in which pages' commands are run word for word, as a person does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = ROOT / "docs/operations"


def blocks(page: Path) -> list[str]:
    """The shell blocks of a page, in their order, as they are copied from a list's step, too."""
    found = re.findall(r"^( *)```sh\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE).strip() for indent, block in found]


@dataclass
class Clone:
    """A clone, and what its commands find in their environment beside this process's."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def sh(self, *lines: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run lines as a person does in the clone, with the environment active once it is there."""
        activate = ". .venv/bin/activate" if (self.folder / ".venv").exists() else ":"
        script = "\n".join(["set -e", activate, *lines])
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("PULUMI", "VIRTUAL_ENV"))}
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env={**kept, **self.environment},
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def store(self) -> Path:
        return self.folder / ".coreflux-mcp"

    def variables(self) -> dict[str, str | None]:
        return dotenv_values(self.store / "config" / ".env")


def new_clone(folder: Path, files: dict[str, str]) -> Clone:
    """The files as they would be committed now, in a repository of their own; `files` in the place of some."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for name, text in files.items():
        (folder / name).write_text(text)
    author = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    for arguments in (["init", "-q"], ["add", "-A"], [*author, "commit", "-qm", "clone"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)
    return Clone(folder)


class Page:
    """A page that is followed: its blocks one after another, none left out."""

    def __init__(self, clone: Clone, name: str) -> None:
        self._clone, self._name = clone, name
        self._left = blocks(OPERATIONS / name)

    def follow(self, words: str, *, given: str = "", code: int = 0) -> str:
        """Run the next block, which has `words` in it. Gives what it said."""
        assert self._left, f"{self._name} has no block {words!r} any more"
        block = self._left.pop(0)
        assert words in block, f"the next block of {self._name} is {block!r}"
        done = self._clone.sh(block, given=given)
        assert done.returncode == code, f"{self._name}: {block}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def is_followed_to_its_end(self) -> None:
        assert not self._left, f"{self._name} has more blocks: {self._left}"
