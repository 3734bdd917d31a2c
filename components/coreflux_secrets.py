"""A whole stack as one component, for a Pulumi program that has other resources, too."""

# Without `from __future__ import annotations`: Pulumi reads the types of arguments and outputs at run time.

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import pulumi

from secretops.registry import install_command

from .arguments import CorefluxSecretsArgs
from .core import registry
from .core.component import ComponentError, is_mocked
from .settings.plain_values import encrypted_entry
from .settings.problems import Problem
from .settings.section import OUTPUT
from .settings.settings import ConfigurationError, Settings, kept_encrypted
from .settings.stack_file import handed_over
from .stack import open_stack, run_preflight

# Stack -> its component. A process may run several stacks, one after the other (the Automation API).
_opened: WeakKeyDictionary[pulumi.Resource, str] = WeakKeyDictionary()


class CorefluxSecrets(pulumi.ComponentResource):
    """All resources of `__main__.py` as one component. A stack can have only one: resources are named after the
    stack."""

    environment: pulumi.Output[str]
    """development, staging or production."""
    secretops: pulumi.Output[dict[str, Any]]
    """The manifest. The command `secretops` finds it if you export it under this name."""
    references: pulumi.Output[dict[str, Any]]
    """Where the server reads each secret."""
    schedule: pulumi.Output[str]
    """The command that enables the rotator; "" if it is enabled."""
    trail: pulumi.Output[dict[str, Any]]
    """Where accesses are recorded."""
    gaps: pulumi.Output[dict[str, Any]]
    """Limitations of the store, by feature."""
    server: pulumi.Output[str]
    """How an MCP client reaches the server."""
    next: pulumi.Output[str]
    """What an operator does after `pulumi up`."""

    def __init__(self, name: str, args: CorefluxSecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        with _missing_extra_reported(name):
            settings = _settings(name, args)
            for sdk in registry.sdks(settings.store.kind, settings.server.kind):
                importlib.import_module(sdk)  # before preflight, which imports a platform's other packages
            if not is_mocked():
                run_preflight(settings)
            _check_providers(name, settings, opts)
            _check_it_is_the_only_one(name)
            super().__init__("coreflux-mcp-secrets:index:CorefluxSecrets", name, None, opts)
            declared = open_stack(settings, parent=self)
        for output, entry in declared.items():  # `declared` also has `csr` for some stores
            setattr(self, output, pulumi.Output.from_input(entry))
        self.register_outputs(declared)


@contextmanager
def _missing_extra_reported(name: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        sdk = (error.name or "").partition(".")[0]
        if sdk not in registry.extras():
            raise
        raise ComponentError(
            f"CorefluxSecrets {name}: {sdk} is not installed",
            "the Python packages for the platforms of the store and the server must be installed",
            install_command(registry.extras()[sdk]),
            code="extra-missing",
        ) from None


def _check_providers(name: str, settings: Settings, opts: pulumi.ResourceOptions | None) -> None:
    """Raise pulumi.RunError for a provider that no resource would use. Components check their own providers."""
    if (
        opts is None or pulumi.runtime.get_root_resource() is None
    ):  # in a plugin, `opts` also contains the providers of its parents
        return
    several = opts.providers or []
    given = [*(several.values() if isinstance(several, Mapping) else several)]
    given += [opts.provider] if opts.provider else []
    used = registry.packages(settings.store.kind, settings.server.kind)
    for package in dict.fromkeys(one.package for one in given):
        if package not in used:
            stack = f"store {settings.store.kind} and server {settings.server.kind}"
            raise ComponentError(
                f"CorefluxSecrets {name}: unused provider of package {package}",
                f"a stack with {stack} may only use providers of these packages: {' and '.join(used) or 'none'}",
                "remove this provider from the component's options",
                code="provider-unused",
            )


def _check_it_is_the_only_one(name: str) -> None:
    stack = pulumi.runtime.get_root_resource()
    if stack is None:  # in a plugin, only the engine knows the stack
        return
    if first := _opened.get(stack):
        raise ComponentError(
            f"CorefluxSecrets {name}: this stack already has a CorefluxSecrets, {first}",
            "a stack must have only one CorefluxSecrets, because resources are named after the stack",
            "declare each server in a stack of its own",
            code="component-twice",
        )
    _opened[stack] = name


def _settings(name: str, args: Mapping[str, Any]) -> Settings:
    by = f"CorefluxSecrets {name}"
    if not isinstance(args, Mapping):
        found = "missing" if args is None else f"of type {type(args).__name__}, not a mapping"
        remedy = "pass a mapping with the keys store, server and broker, for example from pulumi.Config"
        raise ConfigurationError(
            by,
            [
                Problem(
                    f"the arguments are {found}",
                    "the arguments must be a mapping with the sections of a stack file",
                    remedy,
                    code="arguments-missing",
                )
            ],
        )
    sections = {section: entry for section, entry in args.items() if entry is not None}
    outputs: dict[str, pulumi.Output[Any]] = {}
    sections = {section: _without_outputs(section, entry, outputs) for section, entry in sections.items()}
    found = [problem for section, entry in sections.items() for problem in _not_plain(section, entry)]
    if found := found or list(_of_encrypted(sections)):
        raise ConfigurationError(by, found)
    return Settings.from_args(by, {section: handed_over(_whole(entry)) for section, entry in sections.items()}, outputs)


def _without_outputs(where: str, entry: Any, found: dict[str, pulumi.Output[Any]]) -> Any:
    """Return a copy of `entry` with a placeholder for each output. Add the outputs to `found`, by the paths of their
    keys."""
    match entry:
        case pulumi.Output():
            found[where] = entry
            return {OUTPUT: where}
        case Mapping():
            return {key: _without_outputs(f"{where}.{key}", inner, found) for key, inner in entry.items()}
        case list() | tuple():
            return [_without_outputs(f"{where}.{at}", inner, found) for at, inner in enumerate(entry)]
    return entry


def _of_encrypted(sections: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each encrypted (`secure:`) entry of the configuration that the program decrypted and passed
    as an argument.

    Pulumi marks whole sections as encrypted, so an argument is such an entry if an encrypted section contains an equal
    mapping.
    """
    given = list(_mappings(sections)), list(_texts(sections))
    for key, kept in kept_encrypted():
        if any(one in given[0] for one in _mappings(kept)) or kept in given[1]:
            yield encrypted_entry(key)


def _mappings(entry: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(entry, Mapping) and entry:
        yield entry
    for inner in _below(entry):
        yield from _mappings(inner)


def _texts(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    for inner in _below(entry):
        yield from _texts(inner)


def _below(entry: Any) -> Iterator[Any]:
    match entry:
        case Mapping():
            yield from entry.values()
        case list() | tuple():
            yield from entry


def _whole(entry: Any) -> Any:
    """Return an entry with whole numbers as integers, since the engine passes all numbers to a plugin as floats."""
    match entry:
        case float() if entry.is_integer():
            return int(entry)
        case Mapping():
            return {key: _whole(inner) for key, inner in entry.items()}
        case list() | tuple():
            return [_whole(inner) for inner in entry]
    return entry


def _not_plain(where: str, entry: Any) -> Iterator[Problem]:
    match entry:
        case Mapping():
            for key, inner in entry.items():
                if isinstance(key, str):
                    yield from _not_plain(f"{where}.{key}", inner)
                else:
                    yield Problem(
                        f"{where}: a key of type {type(key).__name__}",
                        "each key must be text",
                        "write the key in quotes",
                        code="key-not-text",
                    )
        case list() | tuple():
            for at, inner in enumerate(entry):
                yield from _not_plain(f"{where}.{at}", inner)
        case None | bool() | int() | float() | str():
            return
        case _:
            rule = "the entry must be plain data, as in a stack file"
            remedy = "pass text, a number, true or false, or a list or mapping of these"
            yield Problem(f"{where}: an entry of type {type(entry).__name__}", rule, remedy, code="entry-not-plain")
