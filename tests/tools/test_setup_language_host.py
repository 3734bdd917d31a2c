"""The small language host, spoken to over gRPC as the CLI does. Programs run by a stand-in for Pulumi's executor."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from google.protobuf.struct_pb2 import Struct  # type: ignore[import-untyped]
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from tools.steps import ROOT

pytestmark = [pytest.mark.real, pytest.mark.slow]

DEADLINE = 60.0
EXECUTOR = """
import json, os, sys
print(json.dumps({"argv": sys.argv[1:], "config": os.environ["PULUMI_CONFIG"]}), flush=True)
sys.exit(int(os.environ.get("ENDS_WITH", "0")))
"""


class Host:
    def __init__(self, root: Path, executor: str = EXECUTOR, **environment: str) -> None:
        self.root, self.output = root, root / "output"
        (root / "executor").write_text(executor)
        self.process = subprocess.Popen(
            [
                *(sys.executable, ROOT / "tools/language_host/pulumi_language_python.py"),
                *("--executor", root / "executor", "127.0.0.1:1"),
            ],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())
        channel = grpc.insecure_channel(f"127.0.0.1:{self.port}", options=[("grpc.enable_http_proxy", 0)])
        self.call = language_pb2_grpc.LanguageRuntimeStub(channel)
        self.channel = channel

    def info(self, **options: str) -> Any:
        struct = Struct()
        struct.update(options)
        return language_pb2.ProgramInfo(
            root_directory=str(self.root), program_directory=str(self.root), entry_point=".", options=struct
        )

    def run(self) -> Any:
        request = language_pb2.RunRequest(
            project="p", stack="s", pwd=str(self.root), info=self.info(), config={"p:a": "1"}, dryRun=True, parallel=3
        )
        return self.call.Run(request, timeout=DEADLINE)

    def line(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def stop(self) -> None:
        self.channel.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    started = Host(tmp_path)
    yield started
    started.stop()


def wait_for_the_end_of(pid: int) -> None:
    """Of a process that is not our child. One that has ended and waits for init to notice is `Z` in its stat file."""
    end = time.monotonic() + DEADLINE
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < end, f"process {pid} did not end"
            time.sleep(0.01)


def test_a_program_is_run_with_its_project_stack_and_configuration(host: Host) -> None:
    assert host.run() == language_pb2.RunResponse()
    told = host.line()
    arguments = dict(zip(told["argv"][:-1:2], told["argv"][1::2], strict=True))
    assert arguments["--project"] == "p"
    assert arguments["--stack"] == "s"
    assert arguments["--dry_run"] == "true"
    assert arguments["--engine"] == "127.0.0.1:1"
    assert told["argv"][-1] == "."
    assert json.loads(told["config"]) == {"p:a": "1"}


@pytest.mark.parametrize(("code", "bail", "error"), [("32", True, ""), ("3", False, "exit code 3")])
def test_a_failed_program_is_told_apart_from_one_that_has_said_why(
    code: str, bail: bool, error: str, tmp_path: Path
) -> None:
    host = Host(tmp_path, ENDS_WITH=code)
    try:
        response = host.run()
        assert response.bail is bail
        assert error in response.error
        assert bool(response.error) is not bail
    finally:
        host.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_exits_on_a_signal_and_takes_a_running_program_with_it(number: signal.Signals, tmp_path: Path) -> None:
    host = Host(tmp_path, executor="import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n")
    call = host.call.Run.future(language_pb2.RunRequest(pwd=str(tmp_path), info=host.info()))
    try:
        program = host.line()
        host.process.send_signal(number)
        assert host.process.wait(timeout=DEADLINE) == 0
        wait_for_the_end_of(program)
        assert call.exception(timeout=DEADLINE).code() == grpc.StatusCode.UNAVAILABLE
    finally:
        host.stop()
