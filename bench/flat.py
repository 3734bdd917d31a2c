"""The flat program: what a stack registers and exports, written out one after another, without a component.

It is what somebody would write by hand who knew every input beforehand: literals, json.dumps, references to what the
engine knows later. It is made from what the shipped program registers under mocks, so that it can't fall behind; a test
runs it and compares (tests/unit/test_flat_programs.py).
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from tests.unit.aws_arns import arn_of
from tests.unit.harness import Deployed, Registered

COMPONENT = "coreflux-mcp-secrets:"
FOLDER = "pulumi-python:dynamic/coreflux-mcp-secrets:Folder"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SIGNATURE = "4dabf18193072939515e22adb298388d"
_TAKEN = {"aws", "json", "kubernetes", "pulumi"}


def flat_program(deployed: Deployed, previewed: Deployed) -> str:
    """The text of the flat program of a stack, from two runs of it under mocks: as `up`, which knows everything, and as
    `preview`, which knows what can be written out."""
    kept = {name: one for name, one in deployed.resources.items() if not one.type.startswith(COMPONENT)}
    statements = [
        _Statement(one, previewed.resources[name], kept, inherited(one, deployed) & kept.keys()).text()
        for name, one in kept.items()
    ]
    packages = {_package(one) for one in kept.values()} - {""}
    imports = ["import json", "", "import pulumi", *(f"import pulumi_{name} as {name}" for name in sorted(packages))]
    if any(one.type == FOLDER for one in kept.values()):
        imports += ["", "from components.dotenv.folder import Folder"]
    return "\n".join([*imports, "", *statements, *_exports(deployed, previewed, kept)]) + "\n"


def _exports(deployed: Deployed, previewed: Deployed, kept: Mapping[str, Registered]) -> Iterator[str]:
    """The stack's outputs, which may refer to any resource."""
    outputs = replace(next(iter(kept.values())), name="an output", depends_on=frozenset(kept))
    for name, value in deployed.exports.items():
        written = _Statement(outputs, outputs, kept, frozenset())
        yield f"pulumi.export({name!r}, {written.value(value, previewed.exports[name])})"


def inherited(one: Registered, deployed: Deployed) -> set[str]:
    """What has to be there before a component that this lies in, unless something beside it waits for that already."""
    above = one.parent
    while above:
        component = deployed.resources[above]
        if not any(_lies_in(above, name, deployed) for name in one.depends_on):
            return set(component.depends_on) | inherited(component, deployed)
        above = component.parent
    return set()


def _lies_in(component: str, name: str, deployed: Deployed) -> bool:
    while name and name != component:
        name = deployed.resources[name].parent
    return name == component


def _package(one: Registered) -> str:
    if one.type == FOLDER:
        return ""
    return one.type.split(":")[2 if one.type.startswith("pulumi:providers:") else 0]


def _class(kind: str) -> str:
    """`aws:iam/role:Role` -> aws.iam.Role; `kubernetes:rbac.authorization.k8s.io/v1:Role` -> kubernetes.rbac.v1.Role"""
    if kind == FOLDER:
        return "Folder"
    package, module, name = kind.split(":")
    if package == "pulumi":
        return f"{name}.Provider"
    group, _, version = module.partition("/")
    place = group.partition(".")[0]
    parts = [package, f"{place}_" if keyword.iskeyword(place) else place]
    return ".".join([*parts, *([version] if package == "kubernetes" else []), name])


def _variable(name: str) -> str:
    made = re.sub(r"\W", "_", name)
    return f"{made}_" if made in _TAKEN or keyword.iskeyword(made) else made


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


@dataclass
class _Statement:
    """One resource as a line of Python."""

    known: Registered
    previewed: Registered
    all: Mapping[str, Registered]
    inherited: Set[str]
    _used: set[str] = field(default_factory=set, init=False)
    """Resources that its inputs refer to."""

    def text(self) -> str:
        one, arguments = self.known, [repr(self.known.name)]
        for key in sorted(one.inputs.keys() - {"__provider"}):
            known, previewed = one.inputs[key], self.previewed.inputs[key]
            if one.type.startswith("pulumi:providers:"):
                known = previewed = _opened(known)
            arguments.append(f"{_snake(key)}={self.value(known, previewed)}")
        if options := list(self._options()):
            arguments.append(f"opts=pulumi.ResourceOptions({', '.join(options)})")
        return f"{_variable(one.name)} = {_class(one.type)}({', '.join(arguments)})"

    def _options(self) -> Iterator[str]:
        one = self.known
        if one.provider in self.all:
            yield f"provider={_variable(one.provider)}"
        if one.protected:
            yield "protect=True"
        if one.kept:
            yield "retain_on_delete=True"
        if one.ignored:
            yield f"ignore_changes={list(one.ignored)!r}"
        if others := sorted((one.depends_on & self.all.keys() | self.inherited) - self._used):
            yield f"depends_on=[{', '.join(map(_variable, others))}]"

    def value(self, known: Any, previewed: Any) -> str:
        """An input or output: what the engine knows only later is a reference, and the rest is written out."""
        if previewed == UNKNOWN:
            return self._later(known)
        match known:
            case dict() if SIGNATURE in known:
                return self._file(known)
            case dict():
                items = (f"{key!r}: {self.value(one, previewed[key])}" for key, one in known.items())
                return f"{{{', '.join(items)}}}"
            case list():
                return f"[{', '.join(self.value(one, two) for one, two in zip(known, previewed, strict=True))}]"
            case float() if known.is_integer():
                return repr(int(known))
        document = _document(known)
        return repr(known) if document is None else f"json.dumps({document!r})"

    def _file(self, given: Mapping[str, Any]) -> str:
        """An asset or archive."""
        match given:
            case {"assets": dict() as assets}:
                inside = (f"{name!r}: {self._file(one)}" for name, one in assets.items())
                return f"pulumi.AssetArchive({{{', '.join(inside)}}})"
            case {"path": path}:
                return f"pulumi.FileArchive({path!r})"
            case {"text": text}:
                return f"pulumi.StringAsset({text!r})"
        raise ValueError(f"{self.known.name}: no asset that this knows")

    def _later(self, known: Any) -> str:
        """What holds something that the engine knows only once another resource is made."""
        if (document := _document(known)) is not None:
            return f"pulumi.Output.json_dumps({self._referring(document)})"
        text = self._referring(known)
        if text == repr(known):
            raise ValueError(f"{self.known.name}: nothing that it depends on has {text}")
        return text

    def _referring(self, known: Any) -> str:
        match known:
            case dict():
                return f"{{{', '.join(f'{key!r}: {self._referring(one)}' for key, one in known.items())}}}"
            case list():
                return f"[{', '.join(map(self._referring, known))}]"
            case str():
                parts = list(self._parts(known))
                return parts[0] if len(parts) == 1 else f"pulumi.Output.concat({', '.join(parts)})"
        return repr(known)

    def _parts(self, text: str) -> Iterator[str]:
        """A text cut where another resource's output begins and ends."""
        found = max(
            ((made, name, place) for name, made, place in self._outputs if made in text),
            key=lambda one: len(one[0]),
            default=None,
        )
        if found is None:
            yield repr(text)
            return
        made, name, place = found
        self._used.add(name)
        before, _, after = text.partition(made)
        if before:
            yield from self._parts(before)
        yield f"{_variable(name)}{place}"
        if after:
            yield from self._parts(after)

    @cached_property
    def _outputs(self) -> list[tuple[str, str, str]]:
        """Resource, output, and how one writes it, of each that this one depends on."""
        return [
            (name, made, place)
            for name in sorted(self.known.depends_on & self.all.keys())
            for made, place in _outputs_of(self.all[name])
        ]


# Ends of the types whose ARN in tests.unit.aws_arns is that of the resource that they belong to.
_PARTS = ("Policy", "InvokeConfig", "Permission", "EventTarget", "MetricFilter")


def _outputs_of(one: Registered) -> Iterator[tuple[str, str]]:
    """What the mocks made of a resource: its ARN, its id, and its name. Parts of others have no ARN of their own."""
    if one.type.startswith("aws:") and not one.type.endswith(_PARTS):
        yield arn_of(one.type, one.name, one.inputs), ".arn"
    yield f"{one.name}-id", ".id"
    for key, value in one.inputs.items():
        match value:
            case str() if key in ("bucket", "name"):
                yield value, f".{key}"
            case {"name": str() as name} if key == "metadata":
                yield name, '.metadata["name"]'


def _document(text: Any) -> Any:
    """What a JSON document says; None if it is none."""
    if not isinstance(text, str) or not text.startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _opened(text: Any) -> Any:
    """A provider's inputs are JSON on the wire, but for its texts."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text
