"""Start and stop the policy pack as Pulumi's CLI does."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import grpc  # type: ignore[import-untyped]
import pytest
from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]
from pulumi.runtime.proto import analyzer_pb2_grpc

from policies.pack import LATER, NAME
from policies.rule import rules
from tools.steps import ROOT

pytestmark = [pytest.mark.real, pytest.mark.slow]

DEADLINE = 600.0


@pytest.fixture
def started() -> Iterator[subprocess.Popen[str]]:
    """Run the command of pulumi-analyzer-policy-python in the pack's folder. Yield its process."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:1", "."],
        cwd=ROOT / "policies",
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def test_official_cli_starts_the_pack_and_ends_it_by_signal(started: subprocess.Popen[str]) -> None:
    assert started.stdout
    port = int(started.stdout.readline())
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        info = analyzer_pb2_grpc.AnalyzerStub(channel).GetAnalyzerInfo(Empty(), timeout=DEADLINE)
    assert info.name == NAME
    assert [one.name for one in info.policies] == [*(rule.name for rule in rules()), LATER]
    started.terminate()
    assert started.wait(DEADLINE) == -signal.SIGTERM
