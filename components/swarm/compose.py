"""Convert a stack file to a compose file for `docker stack deploy`, without Pulumi's engine, state or a Docker daemon.

`python -m components.swarm.compose Pulumi.<stack>.yaml` prints JSON. `secretops export` adds the secrets that the
service mounts, and prints YAML.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from secretops.errors import ExitCode, UsageError

from ..core.broker import ca_bundle
from ..core.references import MountedFiles
from ..settings.settings import ConfigurationError, Settings
from ..settings.stack_file import StackFile, StackFileError
from .names import names_of
from .platform import server_args, store_args
from .server_spec import server_shape
from .service_spec import TMP, TMP_BYTES, Shape, Update, seconds
from .settings import SwarmServer, SwarmStore
from .store_spec import SOURCE, manifest_of, rotator_shape

# Key of the stack's network in the compose file.
NETWORK = "mcp"

# The newest version of the format that Docker's client accepts without its compose plugin.
VERSION = "3.8"


def compose(settings: Settings) -> dict[str, Any]:
    """Return what `secretops export` needs: the compose file without secrets, its files, the manifest, CA certificates,
    socket, service and registry login. Raises UsageError unless store and server are on a Swarm."""
    store, server, broker = settings.store, settings.server, settings.broker.args
    if not isinstance(store, SwarmStore) or not isinstance(server, SwarmServer):
        raise UsageError(
            f"stack {settings.stack}: store {settings.store.kind} with server {settings.server.kind}",
            rule="secretops export requires a stack with store swarm and server swarm",
            remedy="select such a stack with --stack; examples/Pulumi.prod-swarm.yaml shows its stack file",
            code="export-needs-swarm",
        )
    names = names_of(settings.stack)
    args = store_args(store, server, settings)
    manifest = manifest_of(names, args)
    reads = MountedFiles(source=SOURCE, secrets=())
    shapes = [server_shape(names, server_args(server, settings, references=reads))]
    if store.rotator == "service":
        shapes.append(rotator_shape(manifest, socket=args.socket, log_driver=args.log_driver))
    labels = dict(names.labels)
    network = {
        "name": names.network(encrypted=server.encrypted),
        "driver": "overlay",
        "attachable": True,
        "labels": labels,
    }
    if server.encrypted:
        network["driver_opts"] = {"encrypted": "true"}
    others = {each: {"external": True, "name": each} for each in server.networks}
    files = [(f"{shape.key}-{file.key}", file) for shape in shapes for file in shape.files]
    return {
        "name": names.base,
        "compose": {
            "version": VERSION,
            "services": {shape.key: _service(shape) for shape in shapes},
            "networks": {NETWORK: network, **others},
            **(
                {"configs": {key: {"name": one.name, "file": f"./{key}", "labels": labels} for key, one in files}}
                if files
                else {}
            ),
        },
        "files": {key: one.text for key, one in files},
        "manifest": manifest.model_dump(mode="json"),
        "ca": ca_bundle(broker.ca_file) if broker.ca_file else None,
        "socket": store.socket,
        "service": names.of("server"),
        "registry_login": server.registry_login,
    }


def _service(shape: Shape) -> dict[str, Any]:
    mounts: list[dict[str, Any]] = [{"type": "tmpfs", "target": TMP, "tmpfs": {"size": TMP_BYTES}}]
    mounts += [{"type": "bind", "source": path, "target": path} for path in shape.sockets]
    made: dict[str, Any] = {
        "image": shape.image,
        "command": list(shape.args),
        "user": shape.user,
        "environment": dict(shape.environment),
        "labels": dict(shape.labels),
        "read_only": True,
        "cap_drop": ["ALL"],
        "init": False,
        "stop_grace_period": seconds(shape.stop_within),
        "volumes": mounts,
        "networks": {NETWORK: {"aliases": list(shape.aliases)}, **{str(each): {} for each in shape.networks}},
        "configs": [
            {"source": f"{shape.key}-{file.key}", "target": file.target, "uid": "0", "gid": "0", "mode": 0o444}
            for file in shape.files
        ],
        "deploy": _deploy(shape),
    }
    if shape.command:
        made["entrypoint"] = list(shape.command)
    if shape.hostname:
        made["hostname"] = shape.hostname
    if shape.health:
        made["healthcheck"] = {
            "test": ["CMD", *shape.health.command],
            "interval": seconds(shape.health.interval),
            "timeout": seconds(shape.health.timeout),
            "start_period": seconds(shape.health.start_period),
            "retries": shape.health.retries,
        }
    if shape.publish:
        port = {"target": shape.target, "protocol": "tcp", "mode": shape.publish}
        made["ports"] = [port | ({"published": shape.port} if shape.port else {})]
    if shape.log_driver:
        made["logging"] = {"driver": shape.log_driver.name, "options": dict(shape.log_driver.options)}
    return {key: entry for key, entry in made.items() if entry not in ([], {})}


def _deploy(shape: Shape) -> dict[str, Any]:
    deploy: dict[str, Any] = {
        "mode": "replicated",
        "replicas": shape.replicas,
        "endpoint_mode": shape.endpoint,
        "labels": dict(shape.labels),
        "update_config": _update(shape.update),
        "restart_policy": {"condition": "any", "delay": "5s"},
        "placement": {
            "constraints": list(shape.constraints),
            "preferences": [{"spread": each} for each in shape.spread],
        },
        "resources": {
            "limits": {"cpus": f"{shape.resources.cpu / 1000:g}", "memory": str(shape.resources.memory)},
            "reservations": {"cpus": f"{shape.reserved.cpu / 1000:g}", "memory": str(shape.reserved.memory)},
        },
    }
    if shape.rollback:
        deploy["rollback_config"] = _update(shape.rollback)
    return deploy


def _update(update: Update) -> dict[str, Any]:
    return {
        "parallelism": 1,
        "delay": "0s",
        "order": update.order,
        "failure_action": update.failure_action,
        "monitor": seconds(update.monitor),
        "max_failure_ratio": 0,
    }


def main() -> None:
    """Print the JSON for `secretops export`. Exit with 2 for an invalid stack file."""
    try:
        file = StackFile.read(Path(sys.argv[1]))
        settings = Settings.parse(file.stack, file.entries, encrypted=file.encrypted, others=file.others)
        print(json.dumps(compose(settings)))  # noqa: T201 - for secretops
    except UsageError as error:
        parts = {name: getattr(error, name) for name in ("what", "rule", "remedy", "code")}
        print(json.dumps({"error": parts}))  # noqa: T201 - for secretops
        sys.exit(int(ExitCode.USAGE))
    except (StackFileError, ConfigurationError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - for secretops
        sys.exit(int(ExitCode.USAGE))


if __name__ == "__main__":
    main()
