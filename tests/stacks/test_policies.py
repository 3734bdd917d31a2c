"""The policy pack under the real engine: it accepts stacks that keep the rules, and rejects others.

Dev uses the real folder, prod the stand-in for AWS. The pack and the command that reads a preview's JSON see the same
plan, and report the same.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.aws import lambda_package
from policies import cost
from policies.evidence import Verdict, judge
from policies.plan import plan_of_preview
from tests.real.mosquitto import Mosquitto
from tests.real.ports import free_port
from tests.stacks.prod import new_prod_stack
from tests.stacks.project import ROOT, Stack, new_stack
from tests.stacks.shown import whole

pytestmark = pytest.mark.real

PACK, SHOWS = ("--policy-pack", "policies"), ("--policy-pack", "tests/stacks/pack_that_shows")


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    return new_stack(tmp_path_factory.mktemp("dev"), port=free_port())


@pytest.fixture(scope="module")
def prod(tmp_path_factory: pytest.TempPathFactory, broker: Mosquitto) -> Stack:
    assert lambda_package.main() == 0, "make lambda says why"
    return new_prod_stack(tmp_path_factory.mktemp("prod"), "Pulumi.prod.yaml", broker, {})


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.setenv("PULUMI_ENABLE_STREAMING_JSON_PREVIEW", "true")
    monkeypatch.setenv("SHOWN", str(tmp_path / "plan.json"))
    yield tmp_path / "plan.json"


def judged_by_pack(stream: str) -> dict[str, set[str]]:
    """Return policy -> URNs that it reports, from the engine's output."""
    events = [json.loads(line) for line in stream.splitlines() if line.startswith("{")]
    found: dict[str, set[str]] = {}
    for event in events:
        if violation := event.get("policyEvent"):
            found.setdefault(violation["policyName"], set()).add(violation["resourceUrn"])
    return found


VALUE = "".join(("not", "A", "real", "one", "7531"))
LEAKS = f"""
import pulumi

pulumi.export("environment", "development")
pulumi.export("broker_password", "{VALUE}")
"""


def test_broken_rule_fails_the_preview_with_a_remedy_and_no_value(tmp_path: Path, streams: Path) -> None:
    stack = new_stack(tmp_path, port=1, name="dev-leaks")
    done = stack.run("preview", "--json", "--policy-pack", str(ROOT / "policies"), *stack.use(LEAKS))
    assert done.returncode == 1, done.stdout
    reported = "".join(line for line in done.stdout.splitlines() if "policyEvent" in line)
    assert "stack-holds-no-value" in judged_by_pack(done.stdout)
    for words in ("broker_password", "SOC 2 CC6.1", '"mandatory"'):
        assert words in reported
    assert VALUE not in reported
    again = judge_again(done.stdout, tmp_path)
    assert (again.returncode, VALUE in again.stdout + again.stderr) == (1, False)


# This project's program, with a folder whose files others may read.
PLANTED = f"""
import runpy
import pulumi

def plant(args):
    if "modes" in args.props:
        return pulumi.ResourceTransformationResult({{**args.props, "modes": {{"config/.env": "644"}}}}, args.opts)

pulumi.runtime.register_stack_transformation(plant)
runpy.run_path("{ROOT}/__main__.py", run_name="__main__")
"""


def test_up_stops_before_the_resource_that_breaks_a_rule_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    stack = new_stack(tmp_path, port=free_port(), name="dev-planted")
    pack = ("--policy-pack", str(ROOT / "policies"))
    done = stack.run("up", "--yes", "--skip-preview", *pack, *stack.use(PLANTED))
    assert done.returncode != 0
    assert "dotenv-files-are-the-owners" in done.stdout, done.stdout
    made = [one["urn"] for one in json.loads(stack.state())["deployment"]["resources"]]
    assert made and not [urn for urn in made if urn.endswith("secrets-folder")]


@pytest.mark.parametrize("name", ["dev", pytest.param("prod", marks=pytest.mark.slow)])
def test_pack_and_preview_json_find_the_same(name: str, request: pytest.FixtureRequest, streams: Path) -> None:
    stack: Stack = request.getfixturevalue(name)
    done = stack.run("preview", "--json", *PACK, *SHOWS)
    assert done.returncode == 0, done.stdout
    plan = plan_of_preview(done.stdout)
    assert streams.read_text() == whole(plan)
    assert len(plan.resources) > 4
    later = [one.rule.name for one in judge(plan) if one.verdict is Verdict.UNKNOWN]
    assert set(judged_by_pack(done.stdout)) == ({"known-after-up"} if later else set())
    assert all(rule in done.stdout for rule in later)
    reported = [
        json.loads(line).get("diagnosticEvent", {}) for line in done.stdout.splitlines() if line.startswith("{")
    ]
    assert cost.text(plan) in "".join(one.get("message", "") for one in reported)
    assert judge_again(done.stdout, streams.parent).returncode == 0


def judge_again(stream: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "preview.json").write_text(stream)
    command = [sys.executable, "-m", "policies", "--json", str(folder / "evidence.json"), str(folder / "preview.json")]
    done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False)
    made: dict[str, Any] = json.loads((folder / "evidence.json").read_text())
    (stack,) = made["stacks"]
    assert ("broken" in stack["verdicts"].values()) == (done.returncode == 1)
    return done
