"""Run the program under Pulumi's mocks, without an engine, a cloud or a process, and inspect what it registers.

`deployed` returns a copy of a cached run: use it unless the environment or a patch changes the run. `deploy` runs the
program each time, can run another `program`, and stores into `into` what was registered before an error. With
`preview=True`, ids and outputs are unknown. A call of a provider's function fails the test. Mocks record what the
engine receives, not what it does.
"""

import asyncio
import copy
import gc
import runpy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pulumi
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from pulumi.runtime import mocks, rpc, stack
from pulumi.runtime.settings import SETTINGS, set_root_resource

from components.core.naming import PROJECT
from components.settings.section import PROJECT_FOLDER
from tests.real.mosquitto import make_ca
from tests.unit.aws_arns import arn_of
from tests.unit.azure_ids import made_by_azure
from tests.unit.stack_file import StackFile
from tests.unit.vault_ids import made_by_vault


@dataclass(frozen=True)
class Registered:
    """A resource that the program registered."""

    type: str
    name: str  # Without the component's name, the prefix of each child.
    parent: str  # The parent's name; the stack's is "".
    depends_on: frozenset[str]  # Names of the resources that it depends on.
    inputs: dict[str, Any]
    protected: bool  # True if protected from deletion.
    retained: bool  # True if the engine keeps it when it leaves the state.
    secret_inputs: tuple[str, ...]  # Inputs, at any depth, that the engine encrypts.
    provider: str = ""  # Name of the provider that makes it, if explicit.
    ignored: tuple[str, ...] = ()  # Paths of inputs whose changes the engine ignores.


@dataclass
class Deployed:
    resources: dict[str, Registered] = field(default_factory=dict)
    exports: dict[str, Any] = field(default_factory=dict)
    secret_exports: tuple[str, ...] = ()

    def of_type(self, kind: str) -> list[Registered]:
        return [resource for resource in self.resources.values() if resource.type == kind]


def _this_program() -> None:
    """Run this project's program. Raises the RunError that ended it."""
    try:
        runpy.run_path(str(PROJECT_FOLDER / "__main__.py"))
    except SystemExit as ended:
        raise ended.__context__ or ended from None
    finally:
        gc.enable()


def deploy(
    file: StackFile,
    name: str,
    *,
    into: Deployed | None = None,
    preview: bool = False,
    program: Callable[[], None] = _this_program,
) -> Deployed:
    """Run `__main__.py` as stack `name` with the stack file `file`. Raises its errors; `into` then has the resources so
    far."""
    config = {f"{PROJECT}:{section}": text for section, text in file.entries.items()}
    deployed = Deployed() if into is None else into
    pulumi.runtime.set_all_config(config, [f"{PROJECT}:{section}" for section in file.encrypted])
    try:
        asyncio.run(_run(name, deployed, preview, program))
    finally:
        _forget()
        pulumi.runtime.set_all_config({}, [])
    return deployed


def deployed(text: str, name: str, *, preview: bool = False) -> Deployed:
    """Return a copy of the run of stack `name` with the stack file `text`. Runs are cached for the process."""
    return copy.deepcopy(_deployed(text, name, preview, PROJECT_FOLDER))


@cache
def _deployed(text: str, name: str, preview: bool, _folder: Path) -> Deployed:
    return deploy(StackFile.read(text), name, preview=preview)


async def _run(name: str, deployed: Deployed, preview: bool, program: Callable[[], None]) -> None:
    _forget()
    echo = _Echo(preview)
    mocks.set_mocks(echo, project=PROJECT, stack=name, preview=preview, monitor=_Recorder(deployed, echo))
    await stack.wait_for_rpcs()  # set_mocks has made a stack of its own
    set_root_resource(None)  # type: ignore[arg-type]
    await stack.run_in_stack(program)


def before(deployed: Deployed, name: str) -> set[str]:
    resource = deployed.resources[name]
    wanted = set(resource.depends_on) | ({resource.parent} if resource.parent else set())
    return wanted.union(*(before(deployed, each) for each in wanted))


def texts(entry: Any) -> Iterator[str]:
    match entry:
        case dict():
            for key, inner in entry.items():
                yield key
                yield from texts(inner)
        case list():
            for inner in entry:
                yield from texts(inner)
        case str():
            yield entry


def ca_file(folder: Path) -> Path:
    return make_ca(folder)[2]


def _forget() -> None:
    SETTINGS.rpc_manager.clear()
    SETTINGS.outputs.clear()
    set_root_resource(None)  # type: ignore[arg-type]


class _Echo(mocks.Mocks):
    def __init__(self, preview: bool) -> None:
        self._preview = preview
        self.short: dict[str, str] = {}  # Name -> the name without that of the component.

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"{args.token}: no look-up belongs in this program")

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        name = self.short.get(args.name, args.name)
        if self._preview:  # A bridged provider plans the program's inputs, and knows neither an id nor an ARN.
            return "", dict(args.inputs) if args.typ.startswith("aws:") else {}
        if args.typ.startswith("azure-native:"):
            return made_by_azure(args.typ, name, args.inputs)
        if args.typ.startswith("vault:"):
            return made_by_vault(args.typ, name, args.inputs)
        made = {"arn": arn_of(args.typ, name, args.inputs)} if args.typ.startswith("aws:") else {}
        return f"{name}-id", {**made, **args.inputs}


class _Recorder(mocks.MockMonitor):
    def __init__(self, deployed: Deployed, echo: _Echo) -> None:
        super().__init__(echo)
        self._deployed = deployed
        self._short = echo.short

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  the engine's name for it
        inputs = MessageToDict(request.object)
        name = next((alias.spec.name for alias in request.aliases if alias.spec.name), request.name)
        self._short[request.name] = name
        if name in self._deployed.resources:
            raise AssertionError(f"{name}: registered twice")
        if request.type != "pulumi:pulumi:Stack":
            self._deployed.resources[name] = Registered(
                type=request.type, name=name,
                parent=self._name(request.parent) if "pulumi:pulumi:Stack::" not in request.parent else "",
                depends_on=frozenset(map(self._name, request.dependencies)), inputs=inputs,
                protected=request.protect, retained=request.retainOnDelete,
                secret_inputs=tuple(_secrets("", inputs)),
                provider=self._name(request.provider.rpartition("::")[0]), ignored=tuple(request.ignoreChanges),
            )  # fmt: skip
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]

    def _name(self, urn: str) -> str:
        name = urn.rpartition("::")[2]
        return self._short.get(name, name)

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802  the engine's name for it
        if "pulumi:pulumi:Stack::" in request.urn:
            self._deployed.exports = MessageToDict(request.outputs)
            self._deployed.secret_exports = tuple(_secrets("", self._deployed.exports))
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


def _secrets(where: str, entry: Any) -> Iterator[str]:
    if isinstance(entry, dict):
        if rpc.is_rpc_secret(entry):
            yield where
        for key, inner in entry.items():
            yield from _secrets(f"{where}.{key}".lstrip("."), inner)
    elif isinstance(entry, list):
        for at, inner in enumerate(entry):
            yield from _secrets(f"{where}.{at}", inner)
