"""What a type checker says of a program that uses the component."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools.steps import ROOT

pytestmark = [pytest.mark.real, pytest.mark.slow]

PROGRAM = """\
import pulumi
from components import CorefluxSecrets
from components.arguments import Broker, Store

subnets: pulumi.Output[list[str]] = pulumi.Output.from_input(["subnet-01234567"])
aws: Store = {"kind": "aws", "region": "eu-central-1", "account": "123456789012", "operators": ["arn:x"]}
broker: Broker = {"kind": "coreflux", "host": "mqtt.example.com"}
CorefluxSecrets("right", {
    "store": aws, "broker": broker,
    "server": {"kind": "ecs", "image": "i", "subnets": subnets, "security_groups": ["sg-01234567"]},
})
CorefluxSecrets("wrong", {"store": {"kind": "kubernets"}, "server": {"kind": "local"}, "broker": broker})
CorefluxSecrets("wrong", {"store": aws, "server": {"kind": "kubernetes", "imag": "i"}, "broker": broker})
"""


def test_mypy_refuses_a_wrong_kind_and_a_wrong_key_and_takes_outputs(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(
        [*command, str(tmp_path / "program.py")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    lines = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error: " in line}
    assert lines == {12, 13}, done.stdout + done.stderr
