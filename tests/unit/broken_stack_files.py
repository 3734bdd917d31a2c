"""Stack files as people break them, each a file of `broken/`, with what a person has to be told in its first lines.

    # stack: whose file it is
    # told: the value and where it is | a part of the rule | a part of the remedy

once for each thing that is wrong. `<value>` stands for a secret that somebody wrote there, `<login>` for a user's name
and his password: both are made anew each time.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("broken")

CANARY = f"Canary{secrets.token_hex(8)}"
"""Stands for a secret that somebody wrote into a stack file. Made anew each time."""

NOT_READABLE = ": not readable"


@dataclass(frozen=True)
class Told:
    """One thing that is wrong: the value and where it is, and a part of the rule and of the remedy."""

    what: str
    rule: str
    remedy: str


@dataclass(frozen=True)
class Broken:
    """One file, and what is told of it."""

    name: str
    stack: str
    text: str
    told: tuple[Told, ...]

    @property
    def is_yaml(self) -> bool:
        return not any(one.what.endswith(NOT_READABLE.removeprefix(": ")) for one in self.told)

    @property
    def has_value(self) -> bool:
        return CANARY in self.text

    def written(self, folder: Path) -> Path:
        """The file as a project has it."""
        path = folder / f"Pulumi.{self.stack}.yaml"
        path.write_text(self.text)
        return path


def broken_stack_files() -> Iterator[Broken]:
    """All of them, by their names."""
    for path in sorted(FOLDER.glob("*.yaml")):
        text = path.read_text().replace("<value>", CANARY).replace("<login>", f"plant:{CANARY}")
        head, told = [line for line in text.splitlines() if line.startswith("# ")], []
        for line in head:
            if line.startswith("# told: "):
                what, rule, remedy = line.removeprefix("# told: ").split(" | ")
                told.append(Told(what, rule, remedy))
        yield Broken(path.stem.replace("-", " "), head[0].removeprefix("# stack: "), text, tuple(told))
