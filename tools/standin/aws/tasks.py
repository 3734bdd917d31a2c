"""ECS tasks: Fargate's sizes, and secrets of containers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tools.standin.problems import MISSING, Problem
from tools.standin.wire import UNKNOWNS, is_unknown

TASK_DEFINITION = "aws:ecs/taskDefinition:TaskDefinition"

Inputs = Mapping[str, Any]

# CPU units -> MiB (ECS developer guide, task size).
FARGATE_MEMORY: Mapping[int, tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: tuple(range(1024, 4097, 1024)),
    1024: tuple(range(2048, 8193, 1024)),
    2048: tuple(range(4096, 16385, 1024)),
    4096: tuple(range(8192, 30721, 1024)),
    8192: tuple(range(16384, 61441, 4096)),
    16384: tuple(range(32768, 122881, 8192)),
}

_PLACE = "arn:aws:secretsmanager:region:account:secret:name-XXXXXX"
_PLACE_OF_ONE_KEY = f"{_PLACE}:json-key:version-stage:version-id"
# The parts between an ARN's colons (ECS developer guide, Pass Secrets Manager secrets through environment variables).
_WHOLE_PARTS, _KEYED_PARTS = 7, 10


def problems(inputs: Inputs) -> Iterator[Problem]:
    on_fargate = "FARGATE" in (inputs.get("requiresCompatibilities") or ())
    if on_fargate:
        yield from _size(inputs)
    listed = _containers(inputs.get("containerDefinitions"))
    for index, container in enumerate(listed):
        yield from _container(container, f"containerDefinitions[{index}]")
    if inputs.get("executionRoleArn") is None:
        yield from _without_execution_role(listed, on_fargate=on_fargate)


def _size(inputs: Inputs) -> Iterator[Problem]:
    network = inputs.get("networkMode")
    if network != "awsvpc" and not is_unknown(network):
        yield Problem(
            "networkMode", inputs.get("networkMode", MISSING), "Fargate supports only awsvpc", 'write "awsvpc"'
        )
    cpu, memory = inputs.get("cpu"), inputs.get("memory")
    if is_unknown(cpu) or is_unknown(memory):
        return
    allowed = FARGATE_MEMORY.get(_units(cpu, "vCPU"), ())
    if not allowed:
        given = MISSING if cpu is None else cpu
        yield Problem(
            "cpu", given, f"Fargate supports {', '.join(map(str, FARGATE_MEMORY))}", "write one of these numbers"
        )
    elif _units(memory, "GB") not in allowed:
        yield Problem(
            "memory",
            MISSING if memory is None else memory,
            f"with {cpu} CPU units Fargate supports certain sizes from {allowed[0]} to {allowed[-1]} MiB",
            f"write {allowed[0]}",
        )


def _units(text: Any, word: str) -> int:
    # Units of 1024 per vCPU or GB (ECS API reference, RegisterTaskDefinition); -1 if invalid.
    read = re.fullmatch(rf"(\d*\.?\d+)\s*({word})?", str(text), re.IGNORECASE)
    if not read:
        return -1
    return int(float(read[1]) * (1024 if read[2] else 1))


def _containers(text: Any) -> list[Mapping[str, Any]]:
    try:
        read = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return []
    return [one for one in read if isinstance(one, Mapping)] if isinstance(read, list) else []


def _container(container: Mapping[str, Any], at: str) -> Iterator[Problem]:
    for name in ("name", "image"):
        if not container.get(name):
            yield Problem(f"{at}.{name}", MISSING, f"a container must have {name}", f"add {name}")
    plain = {one.get("name") for one in _entries(container, "environment")}
    for index, secret in enumerate(_entries(container, "secrets")):
        place = f"{at}.secrets[{index}]"
        if secret.get("name") in plain:
            yield Problem(
                f"{place}.name",
                secret["name"],
                "a variable must not be in both environment and secrets",
                "remove it from environment",
            )
        if wrong := _wrong_place(str(secret.get("valueFrom", ""))):
            yield Problem(f"{place}.valueFrom", secret["valueFrom"], *wrong)


def _wrong_place(text: str) -> tuple[str, str] | None:
    if any(word in text for word in UNKNOWNS) or not text.startswith("arn:"):
        return None  # a parameter's name
    parts = text.split(":")
    service = parts[2] if len(parts) > 2 else ""  # noqa: PLR2004
    if service == "ssm":
        return (
            None
            if ":parameter/" in text
            else ("a parameter's ARN must end with :parameter/NAME", "write the parameter's ARN")
        )
    if service != "secretsmanager":
        return "a secret must be in Secrets Manager, or be a parameter of Systems Manager", "write the secret's ARN"
    if len(parts) not in (_WHOLE_PARTS, _KEYED_PARTS) or not re.fullmatch(
        r"[a-z0-9-]+:\d{12}:secret:.+", ":".join(parts[3:_WHOLE_PARTS])
    ):
        return (
            f"a secret's location must have the form {_PLACE} or {_PLACE_OF_ONE_KEY}",
            "write every colon of the location",
        )
    if len(parts) == _KEYED_PARTS and parts[8] and parts[9]:
        return "only one of version-stage and version-id may be set", "remove one of the two"
    return None


def _without_execution_role(listed: list[Mapping[str, Any]], *, on_fargate: bool) -> Iterator[Problem]:
    # The role reads secrets and, on Fargate, writes the log (ECS developer guide).
    if any(_entries(container, "secrets") for container in listed):
        why = "ECS reads the containers' secrets with this role"
    elif on_fargate and any((one.get("logConfiguration") or {}).get("logDriver") == "awslogs" for one in listed):
        why = "Fargate writes the containers' logs with this role"
    else:
        return
    yield Problem("executionRoleArn", MISSING, why, "add execution_role_arn")


def _entries(container: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    given = container.get(name)
    return [one for one in given if isinstance(one, Mapping)] if isinstance(given, list) else []
