"""Where the programs of a stack can run: its provider, and what takes away again what an `up` has made."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench.measured import ROOT, PartMissingError
from components.aws import lambda_package
from tests.real.cluster import CONTEXT, DEADLINE, Cluster, running_cluster
from tests.real.control_plane import find_programs
from tests.stacks.prod import OF_CLOUDS
from tests.stacks.staging import NAMESPACE, lay_provider
from tools.clone import CLOUDS
from tools.standin import choice


@dataclass(frozen=True)
class Place:
    """A folder, with a folder of Pulumi's plugins in it, and what leads a program to its provider."""

    home: Path
    more: Mapping[str, str] = field(default_factory=dict)
    """Variables of the environment."""
    undo: Callable[[], None] = lambda: None
    """Takes away what an `up` has made."""
    context: str = ""
    """Of the kubeconfig."""
    provider: str = "none"
    """In words."""


@contextmanager
def place_for(stack: str, home: Path) -> Iterator[Place]:
    """Where the shipped stack of that name runs, in a new folder. Raises PartMissingError."""
    home.mkdir()
    try:
        with {"dev": _folder, "staging": _cluster, "prod": _account}[stack](home) as place:
            yield place
    except pytest.skip.Exception as missing:  # what the tests start for themselves says so
        raise PartMissingError(str(missing)) from missing


@contextmanager
def _folder(home: Path) -> Iterator[Place]:
    def undo() -> None:
        for name in ("store", "one"):
            shutil.rmtree(home / name, ignore_errors=True)

    yield Place(home, undo=undo, provider="a folder of this machine")


@contextmanager
def _cluster(home: Path) -> Iterator[Place]:
    find_programs()
    with running_cluster(home / "cluster", controllers=True) as cluster:
        yield place_in(cluster, home)


def place_in(cluster: Cluster, home: Path) -> Place:
    """Where staging runs, on that cluster."""
    lay_provider(home)
    return Place(
        home,
        {"KUBECONFIG": str(cluster.admin)},
        lambda: _remove_namespaces(cluster),
        CONTEXT,
        "Pulumi's own provider and a real API server",
    )


def _remove_namespaces(cluster: Cluster) -> None:
    from lightkube.resources.core_v1 import Namespace

    client, end = cluster.client(), time.monotonic() + DEADLINE

    def left() -> list[str]:
        names = (one.metadata.name for one in client.list(Namespace) if one.metadata)
        return [name for name in names if name in (NAMESPACE, "one")]

    for name in left():
        client.delete(Namespace, name)
    while left():
        if time.monotonic() > end:
            raise TimeoutError(f"{left()} are still there")
        time.sleep(0.1)


@contextmanager
def _account(home: Path) -> Iterator[Place]:
    if lambda_package.main():
        raise PartMissingError("dist/lambda.zip: make lambda says why")
    choice.lay(home / "bin", "aws", CLOUDS["aws"].version, clone=ROOT, python=Path(sys.prefix) / "bin" / "python")
    path = f"{home / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    nobody = {name: "" for name in os.environ if name.startswith(OF_CLOUDS)}
    yield Place(home, {**nobody, "PATH": path, choice.VARIABLE: "up"}, provider="the stand-in for AWS")
