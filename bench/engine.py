"""The real CLI on a program, and what that took: time, processor time of all its processes, the program's memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.measured import RunFailedError
from components.core.naming import PROJECT

CLI = Path(sys.prefix) / "bin" / "pulumi"
EXECUTOR = b"pulumi-language-python-exec"
"""What a program's process runs, whichever language host started it."""

_SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class Took:
    """One run of the CLI."""

    wall: float
    """Seconds."""
    processor: float
    """Seconds of the processor, of the CLI, the language host, the program and the providers together."""
    memory: float
    """MiB that the program's process had at most."""
    said: str = field(repr=False)


@dataclass(frozen=True)
class Program:
    """A project with one stack and a state of its own below `home`, `folder` the place of its Pulumi.yaml."""

    folder: Path
    stack: str
    home: Path
    config: Path | None = None
    """The stack file, where it is not beside Pulumi.yaml."""
    more: Mapping[str, str] = field(default_factory=dict)
    """Variables of the environment."""

    def preview(self) -> Took:
        return self._run("preview")

    def up(self) -> Took:
        return self._run("up", "--yes", "--skip-preview", "--suppress-outputs")

    def begin(self) -> None:
        """A state that knows nothing."""
        shutil.rmtree(self.home / "state", ignore_errors=True)
        (self.home / "state").mkdir(parents=True)
        project = self.home / "project"
        project.mkdir(exist_ok=True)
        (project / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n")
        command = [str(CLI), "stack", "init", self.stack, "--no-select", "--non-interactive"]
        subprocess.run(command, cwd=project, env=self._environment, check=True, capture_output=True)

    @property
    def _environment(self) -> dict[str, str]:
        """Bytecode is kept, as it is for whoever works with a clone."""
        kept = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {
            **kept,
            "PULUMI_BACKEND_URL": f"file://{self.home / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "",  # nosec B105 - it is empty
            "PULUMI_HOME": str(self.home / "home"),
            "NO_COLOR": "1",
            **self.more,
        }

    def _run(self, *arguments: str) -> Took:
        command = [str(CLI), *arguments, "--stack", self.stack, "--non-interactive"]
        if self.config:
            command += ["--config-file", str(self.config)]
        began = time.monotonic()
        with (self.home / "said").open("w+b") as said:
            child = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
            with _memory_of_the_program(child.pid) as most:
                _, status, used = os.wait4(child.pid, 0)
            wall = time.monotonic() - began
            child.returncode = os.waitstatus_to_exitcode(status)
            said.seek(0)
            text = said.read().decode(errors="replace")
        if child.returncode:
            raise RunFailedError(f"{' '.join(command)} ended with {child.returncode}:\n{text[-4000:]}")
        return Took(wall, used.ru_utime + used.ru_stime, max(most, default=0) / 1024, text)


@contextmanager
def _memory_of_the_program(cli: int) -> Iterator[list[int]]:
    """KiB that the program below that process had at most, seen so far."""
    seen: list[int] = []
    ended = threading.Event()

    def look() -> None:
        program = 0
        while not ended.wait(_SAMPLE_SECONDS):
            if not (peak := _peak(program)):  # none yet, or one that has ended, and another follows
                program = next(filter(_runs_a_program, _below(cli)), 0)
                peak = _peak(program)
            seen.extend(peak)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        ended.set()
        looking.join()


def _peak(process: int) -> list[int]:
    """KiB that it had at most; empty of one that has ended, and of none."""
    status = _read(process, "status").splitlines() if process else []
    return [int(line.split()[1]) for line in status if line.startswith(b"VmHWM")]


def _below(process: int) -> Iterator[int]:
    """Its children and theirs; of one that has ended meanwhile, none."""
    tasks: list[Path] = []
    with suppress(OSError):
        tasks = list(Path(f"/proc/{process}/task").iterdir())
    for task in tasks:
        for child in map(int, _read(process, f"task/{task.name}/children").split()):
            yield child
            yield from _below(child)


def _runs_a_program(process: int) -> bool:
    """`python -u EXECUTOR …`; the language host has the same word further on."""
    return any(word.endswith(EXECUTOR) for word in _read(process, "cmdline").split(b"\0")[1:3])


def _read(process: int, name: str) -> bytes:
    """Nothing when it has ended."""
    try:
        return Path(f"/proc/{process}/{name}").read_bytes()
    except OSError:
        return b""


def new_project(folder: Path, module: str) -> Path:
    """A project whose program is that text, as a module: bytecode of it is kept, as of the shipped program's own."""
    folder.mkdir(parents=True)
    (folder / "Pulumi.yaml").write_text(
        f"name: {PROJECT}\nruntime:\n  name: python\n  options:\n    toolchain: uv\n    virtualenv: {sys.prefix}\n"
    )
    (folder / "__main__.py").write_text("import declared\n")
    (folder / "declared.py").write_text(module)
    return folder
