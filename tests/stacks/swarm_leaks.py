"""Looking for the values of a Swarm's stack where none may be."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable

from tests.gates.test_leak import forms
from tests.real.dockerd import Dockerd
from tests.stacks.swarm import Deployed


def leaks(deployed: Deployed, *shown: bytes) -> int:
    """How many forms of values are there. A number, so that a failure shows no value either."""
    whole = b"\0".join(shown)
    return sum(form in whole for value in deployed.values for form in forms(value))


def found_in_image(docker: Dockerd, image: str, sought: Iterable[bytes]) -> set[bytes]:
    """Which of these some layer of an image has. grep is told them by a pipe: not in an argument, nor by a file."""
    read, write = os.pipe()
    with (
        subprocess.Popen(
            [docker.client, "save", image],
            env={"DOCKER_HOST": f"unix://{docker.folder}/docker.sock"},
            stdout=subprocess.PIPE,
        ) as saving,
        subprocess.Popen(
            ["grep", "--text", "--fixed-strings", "--only-matching", f"--file=/dev/fd/{read}"],
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            stdin=saving.stdout,
            stdout=subprocess.PIPE,
            pass_fds=(read,),
        ) as finding,
    ):
        os.close(read)
        with os.fdopen(write, "wb") as patterns:
            patterns.write(b"\n".join(sought))
        found, _ = finding.communicate()
    assert saving.returncode == 0
    return set(found.splitlines())
