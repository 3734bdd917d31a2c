"""Containers of a task, for RegisterTaskDefinition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from ..core.broker import BrokerArgs, ca_bundle
from ..core.references import Fetched, NativeRef

# Port of the launcher in the image. Port 8000 is for the verifier that the server's tool verify_lot_snippet calls.
PORT = 8080

# uid and gid of the image.
USER = "10001:10001"

# Seconds from SIGTERM to SIGKILL. The launcher ends within 5 (docs/operations/http.md).
END_WITHIN = 15

# Seconds after the start of a task in which failed health checks don't count.
START_WITHIN = 60

# Seconds between health checks, and failed checks until ECS replaces a task. The launcher answers checks even while a
# tool blocks (docs/operations/http.md).
CHECK_EVERY, CHECKS = 30, 5

# Seconds until each task has a new version (docs/operations/aws.md, How a new version arrives): the delay of a message
# in the queue, the window in which Lambda collects messages, and a deployment, about 5 minutes, or 15 with retries.
DELAY, WINDOW, ROLLOUT = 60, 60, 900

# The sum of these delays, which applies with NativeRef.
REDEPLOYED = DELAY + WINDOW + ROLLOUT

# Maximum bytes of CA certificates: a task definition has at most 64 KiB (AWS, Amazon ECS service quotas).
CA_LIMIT = 48 * 1024

STACK = "stack"
STACK_FOLDER = "/etc/coreflux-mcp/stack"
CA_FILE = f"{STACK_FOLDER}/ca.crt"

# The health check of docs/operations/image.md. Not /readyz: ECS must not replace a task that waits for its broker.
_HEALTH = "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/healthz', timeout=4)"

_WRITE_CA = f"import os; open('{CA_FILE}', 'w').write(os.environ['CA_BUNDLE'])"


def containers(
    *,
    image: pulumi.Input[str],
    variables: Mapping[str, str],
    secrets: NativeRef | Fetched,
    allowed_hosts: Sequence[str],
    connection_tools: bool,
    broker: BrokerArgs,
    log: Mapping[str, pulumi.Input[str]],
) -> list[dict[str, Any]]:
    """Return the server's container and, if the broker has a CA file, the container that writes it."""
    command = ["run", "--from", secrets.source, "--transport", "http", "--listen", f"0.0.0.0:{PORT}"]
    for host in allowed_hosts:
        command += ["--allowed-host", host]
    if connection_tools:
        command.append("--allow-connection-tools")
    injected = secrets.variables if isinstance(secrets, NativeRef) else {}
    server: dict[str, Any] = {
        "name": "server",
        "image": image,
        "essential": True,
        "command": command,
        "user": USER,
        "environment": [{"name": name, "value": value} for name, value in sorted(variables.items())],
        "secrets": [{"name": name, "valueFrom": place} for name, place in sorted(injected.items())],
        "portMappings": [{"name": "http", "containerPort": PORT, "hostPort": PORT, "protocol": "tcp"}],
        "healthCheck": {
            "command": ["CMD", "/opt/secretops/bin/python", "-c", _HEALTH],
            "interval": CHECK_EVERY,
            "timeout": 5,
            "retries": CHECKS,
            "startPeriod": START_WITHIN,
        },
        "stopTimeout": END_WITHIN,
        **_closed(log, "server"),
    }
    if not broker.ca_file:
        return [server]
    server["dependsOn"] = [{"containerName": "ca-file", "condition": "SUCCESS"}]
    server["mountPoints"] = [{"sourceVolume": STACK, "containerPath": STACK_FOLDER, "readOnly": True}]
    return [server, _ca_file(image, broker.ca_file, log)]


def _ca_file(image: pulumi.Input[str], path: str, log: Mapping[str, pulumi.Input[str]]) -> dict[str, Any]:
    """Return the container that writes the CA certificates. It runs as root, which owns the volume."""
    return {
        "name": "ca-file",
        "image": image,
        "essential": False,
        "entryPoint": ["/opt/secretops/bin/python", "-c", _WRITE_CA],
        "user": "0:0",
        "environment": [{"name": "CA_BUNDLE", "value": ca_bundle(path)}],
        "mountPoints": [{"sourceVolume": STACK, "containerPath": STACK_FOLDER, "readOnly": False}],
        **_closed(log, "ca-file"),
    }


def _closed(log: Mapping[str, pulumi.Input[str]], stream: str) -> dict[str, Any]:
    return {
        "readonlyRootFilesystem": True,
        "linuxParameters": {"capabilities": {"drop": ["ALL"]}, "initProcessEnabled": False},
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": log["group"],
                "awslogs-region": log["region"],
                "awslogs-stream-prefix": stream,
            },
        },
    }
