"""A replica of Container Apps as processes: a stand-in for the platform, and for nothing that the stack declares.

Containers to lay things down run first, each to its end; then the one that is meant. Command, arguments, variables and
mounts are the template's; the identity is given to the main container alone, as the stack's identity settings ask.
In the place of the image is this clone's environment, at the image's own path (tests/real/pod_process says what that
does not prove).
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.real import pod_process
from tests.real.pod_process import Container, Mount

PROGRAM = "/opt/secretops"  # Where the image has its environment.
TRUST = "/etc/standin"
"""Where a container finds the certificate of the stand-ins' authority. In Azure there is none of ours."""

DEADLINE = 120.0


@dataclass(frozen=True)
class Replica:
    """What became of a main container that ends: its exit code and its log."""

    code: int
    log: str


def run_job(job: Mapping[str, Any], folder: Path, *, identity: Mapping[str, str], ca: Path) -> Replica:
    """One execution of a job, by its outputs in the stack's state. `identity`: what the platform's variables are."""
    pod_process.check_possible()
    folder.mkdir(parents=True)
    settings = job["configuration"]["identitySettings"]
    assert sorted(one["lifecycle"] for one in settings) == ["Main", "None"], "what lays files down is nobody"
    template = job["template"]
    trust = folder / "trust"
    trust.mkdir(mode=0o755)
    shutil.copy(ca, trust / "ca.crt")
    for volume in template.get("volumes", []):
        assert volume["storageType"] == "EmptyDir"
        place = folder / "volumes" / volume["name"]
        place.mkdir(parents=True)
        place.chmod(0o777)
    for at, first in enumerate(template.get("initContainers", [])):
        done = _run(first, folder, f"init-{at}", {})
        assert done.code == 0, done.log
    (main,) = template["containers"]
    own = {**identity, "REQUESTS_CA_BUNDLE": f"{TRUST}/ca.crt"}
    return _run(main, folder, main["name"], {name: text for name, text in own.items() if name != "AZURE_CLIENT_ID"})


def _run(container: Mapping[str, Any], folder: Path, name: str, platform: Mapping[str, str]) -> Replica:
    mounts = [
        Mount(folder / "volumes" / one["volumeName"], one["mountPath"], writable=True)
        for one in container.get("volumeMounts", [])
    ]
    log = folder / f"{name}.log"
    process = pod_process.run(
        Container(
            argv=[*container["command"], *container.get("args", [])],
            environment={**platform, **{one["name"]: one["value"] for one in container.get("env", [])}},
            mounts=[*mounts, Mount(Path(sys.prefix), PROGRAM), Mount(folder / "trust", TRUST)],
            log=log,
        ),
        folder / f"{name}.root",
    )
    try:
        code = process.wait(DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
    return Replica(code, log.read_text())
