"""Measure previews of the default stacks, and of the same resources in a flat program."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pytest
import yaml

from bench.flat_program import flat_program
from bench.page import ROOT, Measured, PartMissingError, RunFailedError, spread, table
from components.aws import lambda_package
from components.core.naming import PROJECT
from tests.real.cluster import CONTEXT, running_cluster
from tests.real.control_plane import find_programs
from tests.real.ports import free_port
from tests.stacks.prod import OF_CLOUDS
from tests.stacks.staging import link_provider
from tests.unit.aws_stack import a_kubeconfig, a_package
from tests.unit.harness import ca_file, deploy
from tests.unit.stack_file import StackFile
from tools.clone import CLOUDS
from tools.standin import choice

CLI = Path(sys.prefix) / "bin" / "pulumi"

STACKS = ("dev", "staging", "prod")
# Extra secrets by stack. prod takes 45: IAM limits the length of a role's inline policies.
SIZES: Mapping[str, Sequence[int]] = {"dev": (0,), "staging": (0, 100, 1000), "prod": (0, 45)}

# Counted previews of each program. The programs take turns, so that the machine's other work affects both. A first
# preview of each is not counted.
PREVIEWS = 5

# The stack's preview may take MOST times as long as the flat program's, or MOST_OF_MANY times with at least MANY extra
# secrets.
MOST, MOST_OF_MANY, MANY = 1.2, 1.1, 45


@dataclass(frozen=True)
class Place:
    """The folder, environment variables, kubeconfig context and provider of a stack's programs."""

    home: Path  # A folder, with Pulumi's plugins in home/plugins.
    variables: Mapping[str, str] = field(default_factory=dict)  # with which a program finds its provider
    context: str = ""  # The kubeconfig's context.
    provider: str = "a folder of this machine"


@dataclass(frozen=True)
class Runs:
    """The previews of one program: wall-clock seconds, and CPU seconds of all its processes."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)


Pair = tuple[Runs, Runs]  # The stack and the flat program.


def measure(folder: Path, say: Callable[[str], None]) -> Measured:
    texts, broken = [], []
    for stack in STACKS:
        (folder / stack).mkdir()
        try:
            with {"dev": _folder, "staging": _cluster, "prod": _account}[stack](folder / stack) as place:
                runs = {size: _previews(stack, place, size, say) for size in SIZES[stack]}
        except pytest.skip.Exception as missing:  # raised by the test fixtures that start services
            raise PartMissingError(str(missing)) from missing
        texts.append(f"### {stack}\n\nOn {place.provider}.\n\n{table(rows(runs))}")
        broken += broken_promises(stack, runs)
    if broken:
        texts.append("**This run broke the promise:**\n\n" + "\n".join(f"- {each}" for each in broken))
    return Measured("\n\n".join(texts), broken)


@contextmanager
def _folder(home: Path) -> Iterator[Place]:
    yield Place(home)


@contextmanager
def _cluster(home: Path) -> Iterator[Place]:
    find_programs()
    with running_cluster(home / "cluster", controllers=False) as cluster:
        link_provider(home)
        yield Place(home, {"KUBECONFIG": str(cluster.admin)}, CONTEXT, "Pulumi's own provider and a real API server")


@contextmanager
def _account(home: Path) -> Iterator[Place]:
    if lambda_package.main():
        raise PartMissingError("dist/lambda.zip: make lambda says why")
    choice.write_shim(
        home / "bin", "aws", CLOUDS["aws"].version, clone=ROOT, python=Path(sys.prefix) / "bin" / "python"
    )
    path = f"{home / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    nobody = {name: "" for name in os.environ if name.startswith(OF_CLOUDS)}
    yield Place(home, {**nobody, "PATH": path, choice.VARIABLE: "up"}, provider="the stand-in for AWS")


def _previews(stack: str, place: Place, size: int, say: Callable[[str], None]) -> Pair:
    # In this clone, since the engine also reads the commit and the status of the program's repository.
    with tempfile.TemporaryDirectory(prefix="flat-", dir=ROOT / ".tools") as flat:
        return _pair(stack, place, size, Path(flat), say)


def _pair(stack: str, place: Place, size: int, flat: Path, say: Callable[[str], None]) -> Pair:
    text = stack_file(stack, place, size)
    runtime = {"name": "python", "options": {"toolchain": "uv", "virtualenv": sys.prefix}}
    (flat / "Pulumi.yaml").write_text(yaml.safe_dump({"name": PROJECT, "runtime": runtime}))
    (flat / "__main__.py").write_text("import declared\n")  # Python caches the bytecode of an imported module
    with a_package(), a_kubeconfig():
        (flat / "declared.py").write_text(flat_program(deploy(StackFile.read(text), stack)))
    environment = {
        **os.environ,
        "PULUMI_BACKEND_URL": f"file://{flat}",
        "PULUMI_CONFIG_PASSPHRASE": "",  # nosec B105 - it is empty
        "PULUMI_HOME": str(place.home / "home"),
        "PYTHONPATH": str(ROOT),
        **place.variables,
    }
    _run(["stack", "init", stack, "--no-select", "--non-interactive"], flat, environment)
    config = flat / f"Pulumi.{stack}.yaml"  # with a salt: otherwise each preview generates one, which takes 0.2 s
    config.write_text(config.read_text() + text)
    pair = Runs(), Runs()
    for turn in range(PREVIEWS + 1):
        say(f"{stack} with {size:,} extra secrets: {turn} of {PREVIEWS}")
        for runs, folder in zip(pair, (ROOT, flat), strict=True):
            command = ["preview", "--stack", stack, "--non-interactive", "--config-file", str(config)]
            took = _run(command, folder, environment)
            if turn:
                runs.wall.append(took[0])
                runs.processor.append(took[1])
    return pair


def _run(arguments: list[str], folder: Path, environment: Mapping[str, str]) -> tuple[float, float]:
    began = time.monotonic()
    log = Path(environment["PULUMI_HOME"]).parent / "log"
    with log.open("wb") as output:
        child = subprocess.Popen([CLI, *arguments], cwd=folder, env=environment, stdout=output, stderr=output)
        _, status, used = os.wait4(child.pid, 0)
    wall, child.returncode = time.monotonic() - began, os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RunFailedError(f"pulumi {arguments[0]} ended with {child.returncode}:\n{log.read_text()[-4000:]}")
    return wall, used.ru_utime + used.ru_stime


def stack_file(stack: str, place: Place, secrets: int = 0) -> str:
    """Return the shipped stack file with this machine's port, CA and cluster, and with `secrets` extra secrets."""
    shipped = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    sections = {name.removeprefix(f"{PROJECT}:"): entry for name, entry in shipped.items()}
    if stack == "dev":
        sections["store"]["root"] = str(place.home / "store")
        sections["broker"]["port"] = free_port()
    else:
        sections["broker"]["ca_file"] = str(ca_file(place.home))
    if place.context:
        sections["server"]["context"] = place.context
    if secrets:
        one = {"fields": ["value"], "readers": ["rotator"]}
        sections["secrets"] = {f"extra-{number:04}": dict(one) for number in range(secrets)}
    return yaml.safe_dump({"config": {f"{PROJECT}:{name}": entry for name, entry in sections.items()}})


def _ratio(ours: list[float], flat: list[float]) -> float:
    return median(ours) / median(flat)


def broken_promises(stack: str, runs: Mapping[int, Pair]) -> list[str]:
    return [
        f"a preview of {stack} with {size:,} extra secrets took {found:.2f} times as long as the flat program's, more "
        f"than {most}"
        for size, (ours, flat) in runs.items()
        if (found := _ratio(ours.wall, flat.wall)) > (most := MOST_OF_MANY if size >= MANY else MOST)
    ]


def rows(runs: Mapping[int, Pair]) -> Iterator[Sequence[str]]:
    yield "extra secrets", "the stack", "flat", "ratio", "processor time", "flat", "ratio"
    for size, (ours, flat) in runs.items():
        wall, processor = (
            (spread(one, "s", 2), spread(two, "s", 2), f"{_ratio(one, two):.2f}")
            for one, two in ((ours.wall, flat.wall), (ours.processor, flat.processor))
        )
        yield (f"{size:,}", *wall, *processor)
