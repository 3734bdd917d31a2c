"""A Swarm's stack as files for whoever runs no Pulumi there: a compose file, and the timer that starts ticks.

What a service is, the program alone knows: it is asked with the stack file, and needs neither engine nor state.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from secretops.errors import UsageError
from secretops.manifest import Manifest
from secretops.operations.stack import project_folder
from secretops.registry import with_extra
from secretops.stores.files import PUBLIC, TIMER

if TYPE_CHECKING:
    from secretops.platforms.swarm.mounted_secrets import MountedSecret

PROGRAM = "components.swarm.compose"

COMPOSE, MANIFEST, CA_FILE = "compose.yaml", "secretops.json", "ca.crt"

_SERVICE = """\
[Unit]
Description=Rotate the secrets of the Coreflux MCP server, stack {stack}
Requires=docker.service
After=docker.service

[Service]
Type=oneshot
ExecStart=docker run --rm --hostname %H --network none --user 0:0 --read-only --tmpfs /tmp --cap-drop ALL \\
    --security-opt no-new-privileges --volume {socket}:{socket} --env DOCKER_HOST=unix://{socket} \\
    --volume {folder}:{folder}:ro \\
    {image} tick --scheduled --manifest {folder}/{manifest}
"""


class Timer(BaseModel):
    """What a manager's timer needs: public, both of them."""

    model_config = ConfigDict(frozen=True)

    manifest: Manifest
    ca: str | None
    socket: str


class Program(BaseModel):
    """What the program says of a stack of a Swarm. Never a value."""

    model_config = ConfigDict(frozen=True)

    name: str
    """What `docker stack deploy` calls it."""
    service: str
    """The server's, whose secrets secretops moves."""
    compose: dict[str, Any]
    files: dict[str, str]
    timer: Timer
    registry_login: bool
    """Whether nodes pull with the login of whoever deploys."""

    def deploy(self, file: Path | str) -> str:
        """The command that deploys `file`."""
        login = " --with-registry-auth" if self.registry_login else ""
        return f"docker stack deploy{login} --compose-file {file} {self.name}"


def ask(stack: str | None) -> Program:
    """What the program makes of the stack file of `stack`. Raises UsageError with all that is wrong with that."""
    project = project_folder()
    file = _stack_file(project, stack)
    done = subprocess.run(
        [sys.executable, "-m", PROGRAM, str(file)], cwd=project, capture_output=True, text=True, check=False
    )
    if done.returncode:
        if "ModuleNotFoundError" in done.stderr:
            raise UsageError(
                "this installation of secretops has no Pulumi program beside it",
                rule="the program says what the services are",
                remedy=f"run the project's own: {project}/.venv/bin/secretops export",
            )
        raise UsageError(
            done.stderr.strip() or f"{file.name}: the program printed nothing",
            rule="the program checks the stack file",
            remedy="correct what it names; docs/settings.md has each setting",
        )
    return Program.model_validate_json(done.stdout)


def _stack_file(project: Path, stack: str | None) -> Path:
    there = sorted(path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in project.glob("Pulumi.*.yaml"))
    if stack in there:
        return project / f"Pulumi.{stack}.yaml"
    raise UsageError(
        f"there is no Pulumi.{stack}.yaml in {project}" if stack else "which stack?",
        rule=f"an export is made of a stack file; there are those of {', '.join(there) or 'none'}",
        remedy="give --stack NAME, or copy one of examples/ beside Pulumi.yaml",
    )


def delivered(program: Program) -> tuple[MountedSecret, ...]:
    """The secrets that the server's service has now. Raises StoreError, UnreachableError."""
    with with_extra("swarm"):
        from secretops.platforms.swarm.mounted_secrets import mounted_secrets
    return mounted_secrets(program.service)


def compose_files(program: Program, secrets: Sequence[MountedSecret]) -> dict[str, str]:
    """Name -> text: the compose file, and the public files that it makes configs of."""
    with with_extra("swarm"):
        import yaml
    document = json.loads(json.dumps(program.compose))
    if secrets:
        document["secrets"] = {one.secret_name: {"external": True} for one in secrets}
        document["services"]["server"]["secrets"] = [
            {"source": one.secret_name, "target": one.file_name, "uid": one.uid, "gid": one.gid, "mode": one.mode}
            for one in secrets
        ]
    head = (
        f"# Written by secretops export compose; {program.deploy(COMPOSE)}\n"
        "# It names the versions that were current then: write it anew before it is deployed again.\n"
    )
    text = yaml.safe_dump(_literal(document), sort_keys=False, width=120)
    return {**program.files, COMPOSE: head + text}


def _literal(entry: Any) -> Any:
    """With nothing in it that docker would take for a variable."""
    match entry:
        case str():
            return entry.replace("$", "$$")
        case dict():
            return {key: _literal(inner) for key, inner in entry.items()}
        case list():
            return [_literal(inner) for inner in entry]
    return entry


def timer_files(program: Program, at: str | None) -> dict[str, str]:
    """Name -> text: the units, and what a tick reads. `at` is where they will lie on the manager."""
    folder = at or f"/etc/{program.name}"
    if not folder.startswith("/") or set(folder) & set(" \t\n\"'\\$%:"):
        raise UsageError(
            f"--at {folder!r}",
            rule="an absolute path on the manager, without spaces and signs that systemd or docker takes apart",
            remedy=f"take it out for /etc/{program.name}",
        )
    manifest = program.timer.manifest
    if program.timer.ca:
        broker = manifest.broker.model_copy(update={"ca_file": f"{folder}/{CA_FILE}"})
        manifest = manifest.model_copy(update={"broker": broker})
    name = f"{program.name}-tick"
    words = {
        "stack": manifest.stack,
        "folder": folder,
        "socket": program.timer.socket,
        "image": program.compose["services"]["server"]["image"],
        "manifest": MANIFEST,
    }
    files = {
        MANIFEST: manifest.model_dump_json(indent=1) + "\n",
        f"{name}.service": _SERVICE.format(**words),
        f"{name}.timer": TIMER.format(**words),
    }
    return files | ({CA_FILE: program.timer.ca} if program.timer.ca else {})


def turn_on(program: Program, folder: Path, at: str | None) -> tuple[str, ...]:
    """The commands that start the timer, on a manager that has `folder`."""
    place = at or f"/etc/{program.name}"
    unit = f"{place}/{program.name}-tick"
    copy = () if folder.resolve() == Path(place) else (f"sudo cp -rT {shlex.quote(str(folder))} {place}",)
    return (*copy, f"sudo systemctl link {unit}.service", f"sudo systemctl enable --now {unit}.timer")


def lay(folder: Path, files: Mapping[str, str]) -> None:
    """Write each file, whole or not at all, mode 644; the last one last. Raises UsageError where it can't be written.

    Whatever the umask: a manifest that others can write to is refused.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            new = folder / f".{name}.new"
            new.unlink(missing_ok=True)
            with new.open("x", encoding="utf-8") as file:
                file.write(text)
            new.chmod(PUBLIC)
            new.replace(folder / name)
    except OSError as error:
        raise UsageError(
            f"{error.filename or folder}: {error.strerror}",
            rule="an export is written into a folder",
            remedy="name one that you may write to",
        ) from None
