"""The wrapper `.venv/bin/pulumi` uses the user's backend, or if there is none, a state in the clone. The CLI is a
stand-in that prints its environment."""

import subprocess
from pathlib import Path

import pytest

from tools.clone import wrapper_text
from tools.toolchain.pulumi_cli import PulumiCli

pytestmark = pytest.mark.real

STAND_IN = """#!/bin/sh
env
printf 'argument=%s\\n' "$@"
exit 7
"""


class Wrapper:
    """A wrapper in a clone whose path needs quoting in a shell."""

    def __init__(self, root: Path) -> None:
        self.clone, self.home, self.cli = root / "a clone of it's", root / "home", root / "c l i/pulumi"
        self.path = root / "pulumi"
        self.cli.parent.mkdir()
        self.home.mkdir()
        self.clone.mkdir()
        self.cli.write_text(STAND_IN)
        self.path.write_text(wrapper_text(PulumiCli(path=self.cli, built=True), self.clone))
        for program in (self.cli, self.path):
            program.chmod(0o755)

    def run(self, *arguments: str, **environment: str) -> dict[str, str]:
        done = subprocess.run(
            [self.path, *arguments],
            check=False,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.home), **environment},
            cwd=self.home,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 7, done.stderr
        return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


@pytest.fixture
def wrapper(tmp_path: Path) -> Wrapper:
    return Wrapper(tmp_path)


def log_in(home: Path, current: str) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "credentials.json").write_text(f'{{\n    "current": "{current}",\n    "accessTokens": {{}}\n}}\n')


def test_without_a_login_the_state_and_pulumis_home_lie_in_the_clone(wrapper: Wrapper) -> None:
    variables = wrapper.run("up")
    assert variables["PULUMI_BACKEND_URL"] == f"file://{wrapper.clone}/.state/pulumi"
    assert (wrapper.clone / ".state/pulumi").is_dir()
    assert variables["PULUMI_HOME"] == f"{wrapper.clone}/.state/pulumi-home"
    assert variables["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "true"


PROJECTS = ("up", "up -C ../shop", "-C../shop up", "up --cwd ../shop", "--cwd=../shop up")


@pytest.mark.parametrize(
    "by", ["PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN", "login", "login in PULUMI_HOME", *PROJECTS]
)
def test_users_backend_passphrase_and_home_are_respected(by: str, wrapper: Wrapper) -> None:
    environment, words = {"PULUMI_CONFIG_PASSPHRASE": "mine"}, by.split() if by in PROJECTS else []
    match by:
        case "login":
            log_in(wrapper.home / ".pulumi", "https://api.pulumi.com")
            home = str(wrapper.home / ".pulumi")
        case "login in PULUMI_HOME":
            home = environment["PULUMI_HOME"] = str(wrapper.home / "elsewhere")
            log_in(wrapper.home / "elsewhere", "s3://states")
        case _ if words:
            home, project = str(wrapper.home / ".pulumi"), wrapper.home.parent / ("shop" if "shop" in by else "")
            project.mkdir(exist_ok=True)
            (project / "Pulumi.yaml").write_text("name: shop\nbackend:\n  url: s3://states\n")
        case _:
            home, environment[by] = str(wrapper.home / ".pulumi"), "s3://states"
    variables = wrapper.run(*words, **environment)
    assert variables.get("PULUMI_BACKEND_URL") == environment.get("PULUMI_BACKEND_URL")
    assert variables["PULUMI_HOME"] == home
    assert variables["PULUMI_CONFIG_PASSPHRASE"] == "mine"
    assert not (wrapper.clone / ".state").exists()


def test_a_provider_that_set_up_has_built_is_an_installed_plugin_in_pulumis_home(wrapper: Wrapper) -> None:
    plugin = wrapper.clone / ".tools/plugins/resource-some-v1.2.3/pulumi-resource-some"
    plugin.parent.mkdir(parents=True)
    plugin.touch()
    homes = {
        wrapper.clone / ".state/pulumi-home": {},
        wrapper.home / "another": {"PULUMI_HOME": str(wrapper.home / "another")},
        wrapper.home / ".pulumi": {"PULUMI_BACKEND_URL": "s3://states"},
    }
    for home, variables in homes.items():
        wrapper.run("up", **variables)
        seen = wrapper.run("up", **variables)
        assert seen["PULUMI_HOME"] == str(home), "by itself Pulumi asks the user database, and not HOME"
        installed = home / "plugins/resource-some-v1.2.3"
        assert installed.is_dir() and not installed.is_symlink(), "the CLI takes folders alone"
        assert [path.resolve() for path in installed.iterdir()] == [plugin]
