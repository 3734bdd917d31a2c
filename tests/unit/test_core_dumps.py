"""No command writes a core dump, and no other process of the account can attach to it."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

# Runs a program as `python -m` does, and prints its limit and PR_GET_DUMPABLE (prctl(2)) at its end.
REPORT = """
import atexit, ctypes, os, resource, runpy, sys
def report(code=0, end=lambda _: None):
    print("LIMITS", *resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)
    end(code)
atexit.register(report)
os._exit = lambda code, end=os._exit: report(code, end)
module = sys.argv.pop(1)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
IN_LAMBDA = "from secretops.platforms.aws import lambda_handler as it\ntry: it._session()\nexcept Exception: pass\n"


@pytest.mark.parametrize(("module", "arguments"), [
    ("secretops", ["status", "--manifest", "/nowhere/secretops.json"]),
    ("secretops", ["run", "--from", "dotenv:/nowhere"]),
    ("secretops.broker", ["/nowhere/broker", "localhost", "1"]),
    ("secretops.platforms.swarm.rotator", []),
    ("secretops.platforms.swarm.task", ["tick", "--manifest", "/nowhere/secretops.json"]),
    ("lambda", []),
])  # fmt: skip
@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_DUMPABLE is Linux's")
def test_an_entry_point_forbids_core_dumps(module: str, arguments: list[str], tmp_path: Path) -> None:
    code = REPORT
    if module == "lambda":
        code = REPORT.partition("module =")[0] + IN_LAMBDA
    done = subprocess.run(
        [sys.executable, "-c", code, module, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert "LIMITS 0 0 0" in done.stdout, done.stdout + done.stderr
