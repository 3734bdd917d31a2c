"""A fresh clone of this project in which a test runs pages' commands word for word."""

import os
import pty
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from tests.real.mosquitto import MACHINE
from tests.stacks.pages import NOT_RUN

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = ROOT / "docs/operations"


def blocks(page: Path) -> list[str]:
    found = re.findall(r"^( *)```(?:sh|bash)\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE).strip() for indent, block in found]


@dataclass(frozen=True)
class Shown:
    """A command of a page, with the output that the page shows, or None if it shows no output."""

    command: str
    output: str | None = None


def shown_commands(page: Path) -> list[Shown]:
    """Return all commands of a page in order, from blocks `sh` line by line, and from transcripts (`console`)."""
    found: list[Shown] = []
    for language, block in re.findall(r"^```(sh|console)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        if language == "sh":
            found += map(Shown, block.splitlines())
        else:
            parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)[1:]
            found += [Shown(command, output or None) for command, output in zip(parts[::2], parts[1::2], strict=True)]
    return found


# What differs from run to run -> its placeholder.
VARIES = {
    r"\d{8}T\d{6}(\.\d+)?Z(-[0-9a-f]{16})?": "<time>", r"\d{4}-\d\d-\d\d": "<date>", r"\b\d+ (s|min|h|d)\b": "<age>",
    rf"(localhost|{re.escape(MACHINE)}):\d+": "localhost:<port>", r"-dev-[ab]\b": "-dev-<slot>", r" +": " ",
}  # fmt: skip


def has_shape(output: str, shown: str) -> bool:
    for varies, name in VARIES.items():
        output, shown = re.sub(varies, name, output), re.sub(varies, name, shown)
    lines = [
        r"(?:.*\n)*?" if line == "..." else re.escape(line.rstrip()).replace(r"\.\.\.", ".*") + r" ?\n"
        for line in shown.splitlines()
    ]
    return re.fullmatch("".join(lines), output if output.endswith("\n") else f"{output}\n") is not None


def without(block: str, words: str) -> str:
    return re.sub(rf"^{re.escape(words)}.*(?:(?<=\\)\n.*)*\n?", "", block, flags=re.MULTILINE).strip()


def run_of(page: Path) -> list[str]:
    found = blocks(page)
    for commands in NOT_RUN.get(str(page.relative_to(ROOT)), {}).values():
        for words in commands:
            found = [without(block, words) for block in found]
    return [block for block in found if block]


@dataclass
class Clone:
    """A clone, and the environment of its commands."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()  # Prefixes of this process's variables that they do not see.

    def sh(self, *lines: str, stdin: str = "", typed: str = "") -> subprocess.CompletedProcess[str]:
        """Run shell lines in the clone. Its Python environment is active once it exists."""
        activate = ". .venv/bin/activate" if (self.folder / ".venv/bin/activate").exists() else ":"
        script = "\n".join(["set -e", activate, *lines])
        out = ("PULUMI", "VIRTUAL_ENV", "MAKE", *self.without)  # also where make runs the tests
        kept = {name: text for name, text in os.environ.items() if not name.startswith(out)}
        kept["PULUMI_HOME"] = str(self.folder / ".state/pulumi-home")  # not a home where somebody has logged in
        terminal, shells = pty.openpty()
        try:
            os.write(terminal, typed.encode())
            return subprocess.run(
                ["bash", "-c", script], cwd=self.folder, env={**kept, **self.environment},
                stdin=shells if typed else None, input=None if typed else stdin, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
        finally:
            os.close(terminal)
            os.close(shells)

    @property
    def store(self) -> Path:
        return self.folder / ".coreflux-mcp"

    def variables(self) -> dict[str, str | None]:
        return dotenv_values(self.store / "config" / ".env")


def new_clone(folder: Path, files: dict[str, str]) -> Clone:
    """Copy the files that would be committed now into a new repository. `files` replaces some of them."""
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


def desk(folder: Path, stack_file: Path) -> Clone:
    """Return this clone, with its environment, for a person who works on a stack that a test has deployed."""
    folder.mkdir()
    for path in ROOT.iterdir():
        if not re.match(r"\.(git|state|coreflux)|Pulumi\.\w", path.name) or path.name == "Pulumi.yaml":
            (folder / path.name).symlink_to(path)
    shutil.copy(stack_file, folder)
    return Clone(folder)


class Page:
    """A page whose blocks are run in order, except those in NOT_RUN."""

    def __init__(self, clone: Clone, name: str) -> None:
        self._clone, self._name = clone, name
        self._left = run_of(OPERATIONS / name)

    def follow(self, words: str, *, stdin: str = "", typed: str = "", code: int = 0, before: str = "") -> str:
        """Run the next block, which must contain `words`, or only its lines before the line `before`. Return the
        output."""
        assert self._left, f"{self._name} has no block {words!r} left"
        block = self._left.pop(0)
        if before:
            block, then, rest = block.partition(f"\n{before}")
            assert then, f"the next block of {self._name} has no line {before!r}"
            self._left.insert(0, before + rest)
        assert words in block, f"the next block of {self._name} is {block!r}"
        done = self._clone.sh(block, stdin=stdin, typed=typed)
        assert done.returncode == code, f"{self._name}: {block}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def is_followed_to_its_end(self) -> None:
        assert not self._left, f"{self._name} has more blocks: {self._left}"
