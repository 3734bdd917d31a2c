"""Stand-in for Lambda: runs a function's package in one process for many calls.

Handler and variables are the stack's, and Python finds no other modules than the package's. Compiled modules are built
for this Python (`package_for_here`). The function's role and limits do not apply.
"""

import json
import os
import platform
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.aws import lambda_package
from tests.real.stack import DEADLINE

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
# The architecture of a package that runs here.
ARCHITECTURE = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())

CODE = "/var/task"  # Where Lambda unpacks a package.

_BOOTSTRAP = """
import importlib, json, logging, os, sys
sys.path[:0] = [os.environ["LAMBDA_TASK_ROOT"]]
sys.path += json.loads(os.environ.pop("RUNTIME_BRINGS"))
logging.basicConfig(level="INFO", stream=sys.stderr)
module, _, name = os.environ["_HANDLER"].rpartition(".")
handler = getattr(importlib.import_module(module), name)
answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    call = json.loads(line)
    try:
        if call["ahead"]:
            import datetime
            session, ahead = importlib.import_module(module)._session(), datetime.timedelta(seconds=call["ahead"])
            object.__setattr__(session, "clock", lambda ahead=ahead: datetime.datetime.now(datetime.UTC) + ahead)
        answer = {"result": handler(call["event"], None)}
    except Exception as error:
        answer = {"errorType": type(error).__name__, "errorMessage": str(error)}
    print(json.dumps(answer), file=answers, flush=True)
"""


class FunctionError(Exception):
    """The error that AWS reports when a function raises: class name and text."""


@dataclass
class RunningFunction:
    process: subprocess.Popen[str]
    log: Path

    def invoke(self, event: Mapping[str, Any], *, ahead: float = 0) -> Any:
        """Call the function with a clock that is `ahead` seconds ahead. Return its result. Raises FunctionError."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"event": event, "ahead": ahead}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the function's process ended:\n{self.log.read_text()[-2000:]}"
        answer = json.loads(line)
        if "errorType" in answer:
            raise FunctionError(f"{answer['errorType']}: {answer['errorMessage']}")
        return answer["result"]


@contextmanager
def running(
    folder: Path,
    function: Mapping[str, Any],
    *,
    package: Path,
    environment: Mapping[str, str],
    brings: Sequence[Path] = (),
) -> Iterator[RunningFunction]:
    """Yield a running function of a stack. `function` has the outputs of its resource. `folder` must be new.

    `package` is `package_for_here`, `environment` what Lambda adds, `brings` what its Python has besides the standard
    library.
    """
    task = folder / "task"
    _lay(function["code"], task, package)
    variables = (function.get("environment") or {}).get("variables") or {}
    log = folder / "log"
    with log.open("w") as logged:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-c", _BOOTSTRAP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=logged,
            text=True,
            cwd=task,
            env={"PATH": os.defpath, **environment, **variables, "LAMBDA_TASK_ROOT": str(task),
                 "_HANDLER": function["handler"], "RUNTIME_BRINGS": json.dumps([str(path) for path in brings])},
        )  # fmt: skip
    try:
        yield RunningFunction(process, log)
    finally:
        assert process.stdin and process.stdout
        process.stdin.close()
        try:
            process.wait(DEADLINE)
        finally:
            process.kill()
            process.stdout.close()


def package_for_here(target: Path) -> Path:
    """Build the package dist/lambda.zip for this Python. Everything that is not compiled must have the same bytes."""
    lambda_package.build(target, python=PYTHON, architecture=ARCHITECTURE)
    with zipfile.ZipFile(target) as built, zipfile.ZipFile(lambda_package.ZIP) as declared:
        assert _plain(built) == _plain(declared)
    return target


def _lay(code: Mapping[str, Any], task: Path, package: Path) -> None:
    """Unpack a function's archive from Pulumi's state, as Lambda does, with `package` in place of dist/lambda.zip.

    Lambda's folder in the stack's own files becomes `task`.
    """
    task.mkdir(parents=True)
    for name, asset in code["assets"].items():
        if "path" in asset:
            assert (name, Path(asset["path"])) == (".", lambda_package.ZIP)
            with zipfile.ZipFile(package) as archive:
                archive.extractall(task)
    for name, asset in code["assets"].items():
        if "text" in asset:
            (task / name).write_text(asset["text"].replace(CODE, str(task)))


def _plain(archive: zipfile.ZipFile) -> dict[str, int]:
    return {entry.filename: entry.CRC for entry in archive.infolist() if not entry.filename.endswith(".so")}
