"""Which stack a command uses, with the real Pulumi and a backend in a folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from secretops.errors import UsageError
from secretops.operations.stack import load_manifest

pytestmark = pytest.mark.real


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder, state = tmp_path / "project", tmp_path / "state"
    folder.mkdir()
    state.mkdir()
    (folder / "Pulumi.yaml").write_text("name: coreflux-mcp-secrets\nruntime: python\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{state}")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "")
    monkeypatch.setenv("PULUMI_SKIP_UPDATE_CHECK", "true")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PULUMI_STACK", raising=False)
    return folder


def pulumi(*arguments: str) -> None:
    command = [str(Path(sys.executable).with_name("pulumi")), *arguments, "--non-interactive"]
    subprocess.run(command, check=True, capture_output=True)


def error_of(stack: str | None = None) -> UsageError:
    with pytest.raises(UsageError) as caught:
        load_manifest(stack, None)
    return caught.value


@pytest.mark.slow
def test_a_stack_that_was_never_deployed_is_named_with_what_deploys_it(project: Path) -> None:
    pulumi("stack", "init", "dev")
    pulumi("stack", "init", "prod")
    for chosen in (None, "prod"):
        error = error_of(chosen)
        assert error.code == "stack-not-deployed"
        assert "make up STACK=prod" in error.remedy
    assert error_of("dev").what == "dev is not deployed"


def test_an_unknown_stack_is_answered_with_those_that_there_are(project: Path) -> None:
    pulumi("stack", "init", "dev")
    pulumi("stack", "init", "prod")
    error = error_of("prd")
    assert error.code == "stack-unknown"
    assert "dev, prod" in error.what
    assert "did you mean prod?" in error.remedy
    assert "write Pulumi.prd.yaml" in error.remedy, "make up would refuse it without"
    (project / "Pulumi.prd.yaml").touch()
    assert "write" not in error_of("prd").remedy
    pulumi("stack", "unselect")
    error = error_of()
    assert error.code == "stack-not-selected"
    assert "dev, prod" in error.what
