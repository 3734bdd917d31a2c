"""The small language host over gRPC, as the CLI calls it. A stand-in for Pulumi's executor runs programs."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from tests.real.launched import until
from tools.steps import ROOT

pytestmark = [pytest.mark.real, pytest.mark.slow]

DEADLINE = 600.0


@contextlib.contextmanager
def host(root: Path, executor: str) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """Yield the host's process, and a function that calls Run for a program."""
    (root / "executor").write_text(executor)
    script = ROOT / "tools/toolchain/language_host/pulumi_language_python.py"
    command = [sys.executable, str(script), "--executor", str(root / "executor"), "127.0.0.1:1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
            info = language_pb2.ProgramInfo(root_directory=str(root), program_directory=str(root), entry_point=".")
            request = language_pb2.RunRequest(pwd=str(root), info=info)
            yield process, language_pb2_grpc.LanguageRuntimeStub(channel).Run.future(request, timeout=DEADLINE)
        process.kill()


@pytest.mark.parametrize(("code", "bail", "error"), [(0, False, ""), (32, True, ""), (3, False, "exit code 3")])
def test_failed_program_differs_from_one_with_a_reason(code: int, bail: bool, error: str, tmp_path: Path) -> None:
    with host(tmp_path, f"raise SystemExit({code})") as (_, call):
        response = call.result()
    assert response.bail is bail
    assert error in response.error
    assert bool(response.error) is bool(error)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_exits_on_a_signal_and_takes_a_running_program_with_it(number: signal.Signals, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    executor = f"import os, time\nprint(os.getpid(), file=open({str(pid_file)!r}, 'w'), flush=True)\ntime.sleep(3600)\n"
    with host(tmp_path, executor) as (process, call):
        until("the program starts", lambda: pid_file.exists() and pid_file.read_text())
        process.send_signal(number)
        assert process.wait(timeout=DEADLINE) == 0
        stat = Path(f"/proc/{int(pid_file.read_text())}/stat")
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            until("the program ends", lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z")  # or is reaped
        assert call.exception(timeout=DEADLINE).code() == grpc.StatusCode.UNAVAILABLE
