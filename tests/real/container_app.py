"""Stand-in for Container Apps: runs a replica as local processes.

Init containers run first, each to its end; then the main container. Command, arguments, variables and mounts are the
template's; only the main container gets the identity. This clone's environment replaces the image, at the image's path
(tests/real/pod_process lists what that does not prove).
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

PROGRAM = "/opt/secretops"  # Path of the environment in the image.
# Where a container finds the CA certificate of the stand-ins. Azure needs none.
TRUST = "/etc/standin"

DEADLINE = 600.0


@dataclass(frozen=True)
class Replica:
    """The exit code and the log of a main container that has ended."""

    code: int
    log: str


def run_job(job: Mapping[str, Any], folder: Path, *, identity: Mapping[str, str], ca: Path) -> Replica:
    """Run a job once, as its outputs in the stack's state define it. `identity` has the platform's variables."""
    pod_process.check_possible()
    folder.mkdir(parents=True)
    settings = job["configuration"]["identitySettings"]
    assert sorted(one["lifecycle"] for one in settings) == ["Main", "None"], (
        "the init container that writes files has no identity"
    )
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
