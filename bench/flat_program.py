"""Generate the flat program: a stack's resources and outputs as literals, one after another, without components.

It has the resources that the shipped program registers under Pulumi's mocks; tests/unit/test_flat_programs.py compares
both programs. An input that is another resource's output becomes a literal and a `depends_on`, which is faster. So the
comparison favors the flat program.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterator
from typing import Any

from components.core.naming import PROJECT
from tests.unit.harness import Deployed, Registered

COMPONENT = f"{PROJECT}:"
SIGNATURE = "4dabf18193072939515e22adb298388d"
FOLDER = f"pulumi-python:dynamic/{PROJECT}:Folder"


def flat_program(deployed: Deployed) -> str:
    """Return the source of the flat program. `deployed` records a run of the shipped program under mocks."""
    resources = {name: one for name, one in deployed.resources.items() if not one.type.startswith(COMPONENT)}
    packages = {_class(one.type).partition(".")[0] for one in resources.values()}
    return "\n".join([
        "import pulumi",
        *(
            "from components.dotenv.folder import Folder" if name == "Folder" else f"import pulumi_{name} as {name}"
            for name in sorted(packages)
        ),
        "made = {}",
        *(_statement(one, resources) for one in resources.values()),
        *(f"pulumi.export({name!r}, {_literal(value)})" for name, value in deployed.exports.items()),
        "",
    ])  # fmt: skip


def _statement(one: Registered, resources: dict[str, Registered]) -> str:
    words = [repr(one.name)]
    for key in sorted(one.inputs.keys() - {"__provider"}):
        value = one.inputs[key]
        words.append(f"{_snake(key)}={_literal(_parsed(value) if one.type.startswith('pulumi:') else value)}")
    words.append(f"opts=pulumi.ResourceOptions({', '.join(_options(one, resources))})")
    return f"made[{one.name!r}] = {_class(one.type)}({', '.join(words)})"


def _options(one: Registered, resources: dict[str, Registered]) -> Iterator[str]:
    if one.provider in resources:
        yield f"provider=made[{one.provider!r}]"
    yield f"protect={one.protected}, retain_on_delete={one.retained}, ignore_changes={list(one.ignored)}"
    yield f"depends_on=[{', '.join(f'made[{name!r}]' for name in sorted(one.depends_on & resources.keys()))}]"


def _class(kind: str) -> str:
    """Return the Python class of a resource type: `aws:iam/role:Role` -> aws.iam.Role;
    `kubernetes:rbac.authorization.k8s.io/v1:Role` -> kubernetes.rbac.v1.Role."""
    if kind == FOLDER:
        return "Folder"
    package, module, name = kind.split(":")
    if package == "pulumi":
        return f"{name}.Provider"
    group, _, version = module.partition("/")
    place = group.partition(".")[0]
    parts = [package, f"{place}_" if keyword.iskeyword(place) else place]
    return ".".join([*parts, *([version] if package == "kubernetes" else []), name])


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _literal(value: Any) -> str:
    match value:
        case {"assets": dict() as assets} if SIGNATURE in value:
            return f"pulumi.AssetArchive({{{', '.join(f'{name!r}: {_literal(one)}' for name, one in assets.items())}}})"
        case {"path": path} if SIGNATURE in value:
            return f"pulumi.FileArchive({path!r})"
        case {"text": text} if SIGNATURE in value:
            return f"pulumi.StringAsset({text!r})"
    return repr(_plain(value))


def _plain(value: Any) -> Any:
    # Pulumi's protocol sends every number as a float.
    match value:
        case dict():
            return {key: _plain(one) for key, one in value.items()}
        case list():
            return [_plain(one) for one in value]
        case float() if value.is_integer():
            return int(value)
    return value


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text
