"""The components of AWS, each alone in a program, by the real engine on the stand-in for Pulumi's provider."""

import json
import sys
from pathlib import Path

import pytest

from components.aws import lambda_package
from tests.stacks.prod import ProdStack
from tests.stacks.project import BIN, PREFIX, ROOT
from tests.unit.test_aws_alone import ALONE
from tools.clone import CLOUDS
from tools.standin import choice

pytestmark = [pytest.mark.real, pytest.mark.slow]

PROGRAM = """\
from tests.unit.test_aws_alone import ALONE

for number, program in enumerate(ALONE.values()):
    program(f"x{number}")
"""


def test_each_component_of_aws_is_deployed_alone_and_changes_nothing_then(tmp_path: Path) -> None:
    assert lambda_package.main() == 0, "make lambda says why"
    stack, aws = ProdStack("shop", tmp_path, {}, {"PYTHONPATH": str(ROOT)}), CLOUDS["aws"]
    stack.create()
    choice.lay(tmp_path / "bin", aws.package, aws.version, clone=ROOT, python=BIN / "python")
    runtime = {"name": "python", "options": {"virtualenv": sys.prefix}}
    (tmp_path / "project/Pulumi.yaml").write_text(json.dumps({"name": PREFIX, "runtime": runtime}))
    (tmp_path / "project/__main__.py").write_text(PROGRAM)
    for command in (("up", "--yes", "--skip-preview"), ("preview", "--expect-no-changes")):
        done = stack.run(*command, "--cwd", str(tmp_path / "project"))
        assert done.returncode == 0, done.stdout
    urns = [one["urn"] for one in json.loads(stack.state())["deployment"]["resources"]]
    assert all(any(urn.endswith(f"::x{number}") for urn in urns) for number in range(len(ALONE)))
