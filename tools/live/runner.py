"""Runs the commands of a run with the user's own credentials, and logs their output."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from secretops.redaction import redact

BIN = Path(sys.prefix) / "bin"


@dataclass(frozen=True)
class Done:
    """A command that has ended. `code` is 127 if its program is not installed."""

    code: int
    out: str = ""
    err: str = ""

    @property
    def reason(self) -> str:
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return " / ".join([f"exit code {self.code}", *lines[-3:]])

    @property
    def failed(self) -> str:
        return self.reason if self.code else ""


@dataclass(frozen=True)
class Runner:
    """Runs commands in the folder `project`. They inherit the descriptor `lock`."""

    project: Path
    log: Path
    lock: int

    def __call__(self, *argv: str, stdin: str = "", quiet: bool = False) -> Done:
        """Run a command to its end. `pulumi` and `secretops` are those of this environment. `stdin` is not logged, and
        if `quiet`, neither is the output."""
        program, pipe = BIN / argv[0], subprocess.PIPE
        command = [str(program) if program.exists() else argv[0], *argv[1:]]
        variables = {**os.environ, "PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true"}
        try:
            with subprocess.Popen(
                command, cwd=self.project, env=variables, stdin=pipe, stdout=pipe, stderr=pipe, text=True,
                errors="replace", pass_fds=(self.lock,),
                start_new_session=True,  # a terminal's own SIGINT would be a second one, which ends pulumi at once
            ) as child:  # fmt: skip
                try:
                    out, err = child.communicate(stdin)
                except BaseException:  # a killed `pulumi up` would forget what it creates: let it end
                    child.send_signal(signal.SIGINT)
                    child.communicate()
                    raise
            done = Done(child.returncode, out, err)
        except OSError as error:
            done = Done(127, err=f"{argv[0]}: {error.strerror}")
        with os.fdopen(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as log:
            output = "" if quiet else done.out + done.err
            log.write(redact(f"$ {' '.join(argv)}\n{output}-> {done.code}\n"))
        return done
