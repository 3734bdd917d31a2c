"""The plan that rules judge: from the engine's analyzer, a preview's JSON, or mocks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

# This project's name, and the prefix of its components' types.
PROJECT = "coreflux-mcp-secrets"

# Type of the stack.
STACK = "pulumi:pulumi:Stack"

# Key of an object's type in the engine's JSON, for objects such as secrets and assets.
_SIGNATURE = "4dabf18193072939515e22adb298388d"
# Content of that key in an encrypted value.
_CONCEALS = "1b47061264138c4ac30d75fd1eb44270"
# Keys that bridged providers and the SDK add. Other keys with this prefix are the program's.
_ENGINE_KEYS = frozenset({"__defaults", "__internal", "__provider", "__pulumi_raw_state_delta"})
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
# The engine's placeholders for unknown properties, one per type.
_UNKNOWNS = frozenset(
    {
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)

_STREAM = "PULUMI_ENABLE_STREAMING_JSON_PREVIEW=true pulumi preview --json"


class Unknown:
    """A property that is unknown until the provider has created the resource."""

    def __repr__(self) -> str:
        return "<known after pulumi up>"

    def __bool__(self) -> bool:
        return False


UNKNOWN: Final = Unknown()


class Concealed:
    """A property that the engine encrypts. Rules see that it exists, but never its value."""

    def __repr__(self) -> str:
        return "<secret>"


CONCEALED: Final = Concealed()


class Environment(StrEnum):
    """The stack's environment. It is defined here, since rules import no settings."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


@dataclass(frozen=True, kw_only=True)
class Resource:
    type: str
    """Type token, such as aws:secretsmanager/secret:Secret."""
    name: str
    urn: str
    properties: Mapping[str, Any]
    """Inputs with names in camelCase; UNKNOWN and CONCEALED may occur at any depth."""
    parent: str = ""
    protect: bool = False
    provider: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    project: str
    stack: str
    environment: Environment
    resources: tuple[Resource, ...]
    """Resources to judge. In another project's program, those below a component of this project."""
    others: tuple[Resource, ...] = ()
    """Resources of a user's own program. Rules only search them for secret values."""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """Stack outputs. `secretops` is the manifest."""

    def of_type(self, *types: str) -> Iterator[Resource]:
        return (resource for resource in self.resources if resource.type in types)

    @property
    def urn(self) -> str:
        return f"urn:pulumi:{self.stack}::{self.project}::pulumi:pulumi:Stack::{self.project}-{self.stack}"

    @property
    def manifest(self) -> Mapping[str, Any]:
        found = self.outputs.get("secretops")
        return found if isinstance(found, Mapping) else {}


@dataclass(frozen=True)
class Finding:
    """A property of a resource or the stack that breaks a rule, or is unknown. A rule without findings is kept."""

    resource: str
    """URN of the resource, or of the stack."""
    message: str
    """What is wrong, the rule and the remedy, but never a secret value."""
    unknown: bool = False
    """Whether the rule is not broken, but can't be judged before the provider creates what it depends on."""


class NoPlanError(Exception):
    """The input is no preview of a whole stack."""


def judged(entry: Any) -> Any:
    """Return an entry without keys that the engine adds, and with UNKNOWN and CONCEALED instead of its placeholders."""
    match entry:
        case str() if entry in _UNKNOWNS:
            return UNKNOWN
        case float() if entry.is_integer():
            return int(entry)
        case Mapping():
            return _mapping(entry)
        case list() | tuple():
            return [judged(inner) for inner in entry]
    return entry


def _mapping(entry: Mapping[str, Any]) -> Any:
    match entry.get(_SIGNATURE):
        case None:
            return {key: judged(inner) for key, inner in entry.items() if key not in _ENGINE_KEYS}
        case signature if signature == _CONCEALS or entry.get("secret"):
            return CONCEALED
        case signature if signature == _OUTPUT:
            return judged(entry["value"]) if "value" in entry else UNKNOWN
    # Of a file or an archive, keep only source and name: previews omit the content.
    return {key: judged(inner) for key, inner in entry.items() if key in ("path", "uri", "assets")}


def resource(
    urn: str, inputs: Mapping[str, Any], *, parent: str = "", protect: bool = False, provider: str = ""
) -> Resource:
    """Return a Resource. Its `parent` is "" directly below the stack, its `provider` "" for a default provider."""
    name = urn.rpartition("::")[2]
    return Resource(
        type=type_of(urn),
        name=name,
        urn=urn,
        properties=judged(inputs),
        parent="" if type_of(parent) == STACK else parent,
        protect=protect,
        provider="" if provider.startswith("default") else provider,
    )


def type_of(urn: str) -> str:
    return urn.rpartition("::")[0].rpartition("::")[2].rpartition("$")[2]


def plan_from(resources: Iterable[Resource], outputs: Mapping[str, Any], *, project: str, stack: str) -> Plan:
    """Return the plan with `resources` sorted by URN, without the stack and default providers."""
    found = sorted((one for one in resources if not _own(one)), key=lambda one: one.urn)
    used = {(f"pulumi:providers:{one.type.partition(':')[0]}", one.provider) for one in found if is_ours(one, project)}
    # Includes the program's own providers that they use.
    ours = {one.urn for one in found if is_ours(one, project) or (one.type, one.name) in used}
    return Plan(
        project=project,
        stack=stack,
        environment=_environment(outputs),
        resources=tuple(one for one in found if one.urn in ours),
        others=tuple(one for one in found if one.urn not in ours),
        outputs={name: _manifest(output) if name == "secretops" else output for name, output in outputs.items()},
    )


def _manifest(output: Any) -> Any:
    # The output `secretops` is a JSON text if the program is in YAML or TypeScript.
    with suppress(ValueError):
        return judged(json.loads(output)) if isinstance(output, str) else output
    return output


def is_ours(one: Resource, project: str) -> bool:
    """Return whether a resource belongs to this project, or is below one of its components, according to its URN."""
    return project == PROJECT or f"{PROJECT}:" in one.urn.split("::")[2]


def _own(one: Resource) -> bool:
    return one.type == STACK or (one.type.startswith("pulumi:providers:") and one.name.startswith("default"))


def _environment(outputs: Mapping[str, Any]) -> Environment:
    name = outputs.get("environment")
    return Environment(name) if name in tuple(Environment) else Environment.PRODUCTION


def plan_of_preview(text: str) -> Plan:
    """Return the plan of a preview's event stream, which has one JSON object per line. Raises NoPlanError."""
    found: dict[str, Resource] = {}
    outputs: Mapping[str, Any] | None = None
    urn = ""
    for event in _events(text):
        kind, new = event
        if type_of(new["urn"]) == STACK:
            urn = new["urn"]
            if kind == "resOutputsEvent":
                outputs = new.get("outputs") or outputs
        elif kind == "resourcePreEvent":
            found[new["urn"]] = resource(
                new["urn"],
                new.get("inputs") or {},
                parent=new.get("parent") or "",
                protect=bool(new.get("protect")),
                provider=(new.get("provider") or "").rpartition("::")[0].rpartition("::")[2],
            )
    if not urn or outputs is None:
        raise NoPlanError(f"the text has no events of a preview that succeeded: {_STREAM}")
    stack, project = urn.split(":", 3)[2], urn.split("::")[1]
    return plan_from(found.values(), judged(outputs), project=project, stack=stack)


def _events(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for line in text.splitlines():
        if not line.startswith("{"):
            continue
        try:
            event = json.loads(line)
        except ValueError:
            raise NoPlanError(f"a line begins like an event of a preview, but is not JSON: {_STREAM}") from None
        for kind in ("resourcePreEvent", "resOutputsEvent"):
            new = event.get(kind, {}).get("metadata", {}).get("new") if isinstance(event.get(kind), Mapping) else None
            if isinstance(new, Mapping) and isinstance(new.get("urn"), str):
                yield kind, new
