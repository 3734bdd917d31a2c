"""What a type checker reports about programs that use the components."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.steps import ROOT

pytestmark = [pytest.mark.real, pytest.mark.slow]

PROGRAM = """\
from coreflux_mcp_secrets import CorefluxSecrets
from coreflux_mcp_secrets.arguments import Broker, Store

aws: Store = {"kind": "aws", "region": "eu-central-1", "account": "123456789012", "operators": ["arn:x"]}
broker: Broker = {"kind": "coreflux", "host": "mqtt.example.com"}
CorefluxSecrets("wrong", {"store": {"kind": "kubernets"}, "server": {"kind": "local"}, "broker": broker})
CorefluxSecrets("wrong", {"store": aws, "server": {"kind": "kubernetes", "imag": "i"}, "broker": broker})
"""


def test_mypy_refuses_a_wrong_kind_and_a_wrong_key_and_takes_the_examples(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "coreflux_mcp_secrets").symlink_to(ROOT / "components")  # as the wheel has it
    programs = [tmp_path / "program.py", *(ROOT / "examples/programs").glob("own_*.py")]
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(
        [*command, *map(str, programs)], cwd=ROOT, env={**os.environ, "MYPYPATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.findall(r"(\w+\.py:\d+): error: ", done.stdout)
    assert sorted(set(found)) == ["program.py:6", "program.py:7"], done.stdout + done.stderr
