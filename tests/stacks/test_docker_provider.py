"""Pulumi's real provider for Docker on a real Swarm, and how it is kept from moving back a list of secrets.

On a service of its own and Debian's Python; the stacks of this project are tests/stacks/test_swarm.py's.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.swarm import Swarm
from tests.stacks.project import BIN, ROOT
from tools import docker_provider

pytestmark = [pytest.mark.real, pytest.mark.slow]

PROGRAM = ROOT / "tests/real/docker_program"
NAME = "moved"
NOTHING_CHANGES = ("preview", "--diff", "--expect-no-changes")


@dataclass(frozen=True)
class Program:
    """The program of tests/real/docker_program as a stack of its own, on the Swarm."""

    swarm: Swarm
    home: Path
    image: str

    def run(self, *arguments: str, replicas: int = 1, declared: str = "read") -> str:
        """What the engine says, which has to work."""
        command: list[str | Path] = [BIN / "pulumi", *arguments, "--stack", "moved", "--non-interactive"]
        given = {
            "PULUMI_BACKEND_URL": f"file://{self.home}/state",
            "PULUMI_CONFIG_PASSPHRASE": "",
            "PULUMI_HOME": f"{self.home}/home",
            "NO_COLOR": "1",
            "DOCKER_HOST": self.swarm.host,
            "IMAGE": self.image,
            "REPLICAS": str(replicas),
            "DECLARED": declared,
        }
        done = subprocess.run(
            command,
            cwd=self.home / "program",
            env=os.environ | given,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self, *, replicas: int, declared: str = "read") -> None:
        self.run("up", "--yes", "--skip-preview", replicas=replicas, declared=declared)

    def listed(self) -> list[str]:
        """The names of the service's secrets."""
        spec = self.swarm.inspect("service", NAME)["Spec"]["TaskTemplate"]["ContainerSpec"]
        return [one["SecretName"] for one in spec.get("Secrets") or []]

    def move_to(self, secret: str) -> None:
        """What secretops does: another list, and nothing else of the service."""
        gone = [word for old in self.listed() for word in ("--secret-rm", old)]
        added = f"source={secret},target=password,uid=10001,gid=10001,mode=0400"
        self.swarm.docker.tell("service", "update", "--detach", *gone, "--secret-add", added, NAME)
        self.swarm.wait("the service is on its new list", lambda: self.update_state() == "completed")

    def update_state(self) -> str:
        return str(self.swarm.inspect("service", NAME).get("UpdateStatus", {}).get("State"))

    def running(self) -> set[str]:
        """The ids of the tasks that run."""
        return {task["ID"] for task in self.swarm.tasks(NAME) if task["Status"]["State"] == "running"}


@pytest.fixture(scope="module")
def program(swarm: Swarm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Deployed with one replica, and two secrets that the service does not have."""
    provider = docker_provider.built()
    if provider is None:
        pytest.skip(f"{docker_provider.PLUGIN} is missing: python3 tools/setup.py --parts")
    home = tmp_path_factory.mktemp("docker-program")
    plugin = home / f"home/plugins/resource-docker-v{docker_provider.PROVIDER}" / docker_provider.PLUGIN
    for folder in (plugin.parent, home / "state", home / "program"):
        folder.mkdir(parents=True)
    plugin.symlink_to(provider)
    for source in PROGRAM.glob("*.*"):
        (home / "program" / source.name).symlink_to(source)
    for name in ("moved-v1", "moved-v2"):
        swarm.create_secret(name, secrets.token_urlsafe())
    made = Program(swarm, home, swarm.debian())
    made.run("stack", "init", "--no-select")
    made.up(replicas=1)
    swarm.wait("its replica runs", lambda: len(made.running()) == 1)
    yield made


def test_a_list_that_was_moved_is_no_change_and_is_kept_when_something_else_changes(program: Program) -> None:
    program.move_to("moved-v1")
    program.run(*NOTHING_CHANGES)
    program.run(*NOTHING_CHANGES, "--refresh")
    (before,) = program.running()
    program.up(replicas=2)
    program.swarm.wait("the second replica runs", lambda: len(program.running()) == 2)
    assert program.listed() == ["moved-v1"]
    assert before in program.running(), "a replica was replaced for nothing"

    program.move_to("moved-v2")
    program.run("refresh", "--yes", replicas=2)
    program.run(*NOTHING_CHANGES, replicas=2)
    assert program.listed() == ["moved-v2"]


def test_with_the_engines_ignore_changes_alone_the_list_would_be_lost(program: Program) -> None:
    """Why the program reads it. Should this fail one day, the simpler form does, too."""
    program.up(replicas=1)
    program.move_to("moved-v1")
    program.run("preview", replicas=2, declared="ignored")
    program.up(replicas=2, declared="ignored")
    assert program.listed() != ["moved-v1"]


def test_destroy_takes_service_network_and_config_and_leaves_the_secrets(program: Program) -> None:
    program.run("destroy", "--yes", "--skip-preview", replicas=2)
    for kind in ("service", "network", "config"):
        assert NAME not in program.swarm.docker.tell(kind, "ls", "--format", "{{.Name}}").split()
    assert {"moved-v1", "moved-v2"} <= set(program.swarm.docker.tell("secret", "ls", "--format", "{{.Name}}").split())
