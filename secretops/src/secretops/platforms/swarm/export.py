"""Write a stack as files for `docker stack deploy`: a compose file, and a systemd timer that runs ticks.

`components.swarm.compose` derives the services from the stack file, without Pulumi's engine and state.
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
    from secretops.platforms.swarm.location import MountedSecret

PROGRAM = "components.swarm.compose"

COMPOSE, MANIFEST, CA_FILE = "compose.yaml", "secretops.json", "ca.crt"

_SERVICE = """\
[Unit]
Description=Rotate the secrets of the Coreflux MCP server, stack {stack}
Requires=docker.service
After=docker.service

[Service]
Type=oneshot
# Longer than the updates of the service for all secrets.
TimeoutStartSec=3h
ExecStart=docker run --rm --name {container} --hostname %H --network none --user 0:0 --read-only --tmpfs /tmp \\
    --cap-drop ALL --security-opt no-new-privileges --volume {socket}:{socket} --env DOCKER_HOST=unix://{socket} \\
    --volume {folder}:{folder}:ro \\
    {image} tick --scheduled --manifest {folder}/{manifest}
# Without its client, a container that hangs would keep the lease.
ExecStopPost=-sh -c 'docker rm --force {container} 2>/dev/null'
"""


class Program(BaseModel):
    """A stack as its Pulumi program exports it, without values."""

    model_config = ConfigDict(frozen=True)

    # Name for `docker stack deploy`.
    name: str
    # The server's service.
    service: str
    compose: dict[str, Any]
    files: dict[str, str]
    # For the timer: the manifest, the broker's CA, and the path of the daemon's socket on the manager.
    manifest: Manifest
    ca: str | None
    socket: str
    # Whether nodes pull images with the login of the deploying account.
    registry_login: bool

    def deploy(self, file: Path | str) -> str:
        login = " --with-registry-auth" if self.registry_login else ""
        return f"docker stack deploy{login} --compose-file {file} {self.name}"


def load_program(stack: str | None) -> Program:
    project = project_folder()
    file = _stack_file(project, stack)
    done = subprocess.run(
        [sys.executable, "-m", PROGRAM, str(file)], cwd=project, capture_output=True, text=True, check=False
    )
    if done.returncode:
        if "ModuleNotFoundError" in done.stderr:
            raise UsageError(
                "this installation of secretops has no Pulumi program",
                rule="an export requires the Pulumi program, which describes the services",
                remedy=f"run the project's own secretops: {project}/.venv/bin/secretops export",
                code="program-missing",
            )
        if done.stdout:
            raise UsageError(**json.loads(done.stdout)["error"])
        if reason := done.stderr.strip():
            raise UsageError(
                f"{reason}",
                rule="the stack file must pass the program's checks",
                remedy=f"correct {file.name} as this message states, then try again",
                code="stack-file-invalid",
            )
        raise UsageError(
            f"{file.name}: the program that checks this file exited with {done.returncode} and printed nothing",
            rule="the program must end with a result or with an error message",
            remedy=f"try again; if the program ends in this way again, check the file: pulumi preview --stack {stack}",
            code="stack-file-invalid",
        )
    return Program.model_validate_json(done.stdout)


def _stack_file(project: Path, stack: str | None) -> Path:
    stacks = sorted(path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in project.glob("Pulumi.*.yaml"))
    if stack in stacks:
        return project / f"Pulumi.{stack}.yaml"
    raise UsageError(
        f"there is no Pulumi.{stack}.yaml in {project}" if stack else "--stack is missing",
        rule=f"an export requires the stack's file; stacks that have a file: {', '.join(stacks) or 'none'}",
        remedy="pass --stack NAME; for a new stack, copy a file of examples/ to Pulumi.NAME.yaml",
        code="stack-file-missing",
    )


def current_secrets(program: Program) -> tuple[MountedSecret, ...]:
    with with_extra("swarm"):
        from secretops.platforms.swarm.mounted_secrets import mounted_secrets
    return mounted_secrets(program.service)


def compose_files(program: Program, secrets: Sequence[MountedSecret]) -> dict[str, str]:
    """Return the compose file and its configs: name -> text."""
    with with_extra("swarm"):
        import yaml
    document = json.loads(json.dumps(program.compose))
    if secrets:
        document["secrets"] = {each.secret_name: {"external": True} for each in secrets}
        document["services"]["server"]["secrets"] = [
            {"source": each.secret_name, "target": each.file_name, "uid": each.uid, "gid": each.gid, "mode": each.mode}
            for each in secrets
        ]
    head = (
        f"# Written by secretops export compose; {program.deploy(COMPOSE)}\n"
        "# It names the versions that were current then: export it again before the next deployment.\n"
    )
    text = yaml.safe_dump(_escape(document), sort_keys=False, width=120)
    return {**program.files, COMPOSE: head + text}


def _escape(entry: Any) -> Any:
    match entry:
        case str():
            return entry.replace("$", "$$")
        case dict():
            return {key: _escape(inner) for key, inner in entry.items()}
        case list():
            return [_escape(inner) for inner in entry]
    return entry


def timer_files(program: Program, at: str | None) -> dict[str, str]:
    """Return the systemd units, and the files that a tick needs: name -> text. `at`: their folder on the manager."""
    folder = at or f"/etc/{program.name}"
    if not folder.startswith("/") or set(folder) & set(" \t\n\"'\\$%:"):
        raise UsageError(
            f"--at {folder!r}: invalid folder",
            rule="--at must be an absolute path on the manager, without spaces, quotes, and the characters \\ $ % :",
            remedy=f"omit --at to use /etc/{program.name}",
            code="folder-invalid",
        )
    manifest = program.manifest
    if program.ca:
        broker = manifest.broker.model_copy(update={"ca_file": f"{folder}/{CA_FILE}"})
        manifest = manifest.model_copy(update={"broker": broker})
    name = f"{program.name}-tick"
    words = {
        "stack": manifest.stack,
        "container": name,
        "folder": folder,
        "socket": program.socket,
        "image": program.compose["services"]["server"]["image"],
        "manifest": MANIFEST,
    }
    files = {
        MANIFEST: manifest.model_dump_json(indent=1) + "\n",
        f"{name}.service": _SERVICE.format(**words),
        f"{name}.timer": TIMER.format(**words),
    }
    return files | ({CA_FILE: program.ca} if program.ca else {})


def enable_commands(program: Program, folder: Path, at: str | None) -> tuple[str, ...]:
    target = at or f"/etc/{program.name}"
    unit = f"{target}/{program.name}-tick"
    copy = () if folder.resolve() == Path(target) else (f"sudo cp -rT {shlex.quote(str(folder))} {target}",)
    return (*copy, f"sudo systemctl link {unit}.service", f"sudo systemctl enable --now {unit}.timer")


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write each file atomically, with mode 644, since secretops rejects a manifest that others can write to. Raises
    UsageError."""
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
        path = error.filename or folder
        raise UsageError(
            f"{path}: {error.strerror}",
            rule="this account must be able to write to the folder of the export",
            remedy="pass another folder: --to FOLDER",
            code="export-not-writable",
        ) from None
