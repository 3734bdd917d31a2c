"""A whole stack as one component, for a Pulumi program that is about more than these secrets."""

# No annotation is put off here (`from __future__`): Pulumi reads the types of arguments and outputs as they are.

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import pulumi

from secretops.registry import how_to_install

from .arguments import CorefluxSecretsArgs
from .core import registry
from .core.component import is_mocked
from .settings.plain_values import encrypted_entry
from .settings.problems import Problem
from .settings.section import OUTPUT
from .settings.settings import ConfigurationError, Settings, kept_encrypted
from .settings.stack_file import handed_over
from .stack import open_stack, run_preflight

_opened: WeakKeyDictionary[pulumi.Resource, str] = WeakKeyDictionary()
"""The component of each stack. A process may run several, one after the other (the Automation API)."""


class CorefluxSecrets(pulumi.ComponentResource):
    """All that `__main__.py` declares, below one resource. One a stack: everything is called after the stack."""

    environment: pulumi.Output[str]
    """development, staging or production."""
    secretops: pulumi.Output[dict[str, Any]]
    """The manifest. Exported under this name, `secretops` finds it by itself."""
    references: pulumi.Output[dict[str, Any]]
    """How the server reaches each secret."""
    schedule: pulumi.Output[dict[str, Any]]
    """When the rotator runs, and the command that turns it on."""
    trail: pulumi.Output[dict[str, Any]]
    """Where reads are recorded."""
    gaps: pulumi.Output[dict[str, Any]]
    """What the store does not do by itself."""
    server: pulumi.Output[str]
    """How an MCP client reaches the server."""
    next: pulumi.Output[str]
    """What a person does once `pulumi up` is through."""

    def __init__(self, name: str, args: CorefluxSecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        with _told_without_its_extra(name):
            settings = _settings(name, args)
            if not is_mocked():
                run_preflight(settings)
            _check_providers(name, settings, opts)
            _check_it_is_the_only_one(name)
            super().__init__("coreflux-mcp-secrets:index:CorefluxSecrets", name, None, opts)
            told = open_stack(settings, parent=self)
        for output, entry in told.items():
            setattr(self, output, pulumi.Output.from_input(entry))
        self.register_outputs(told)


@contextmanager
def _told_without_its_extra(name: str) -> Iterator[None]:
    """A platform's SDK is imported when its first resource is declared, or before."""
    try:
        yield
    except ModuleNotFoundError as error:
        sdk = (error.name or "").partition(".")[0]
        if sdk not in registry.extras():
            raise
        raise pulumi.RunError(
            f"CorefluxSecrets {name}: this installation has no {sdk}"
            "\n    each platform comes with its extra, the store's and the server's"
            f"\n    -> {how_to_install(registry.extras()[sdk])}"
        ) from None


def _check_providers(name: str, settings: Settings, opts: pulumi.ResourceOptions | None) -> None:
    """Refuse a provider that no resource of the stack would use. Those of its platforms are used, and checked there."""
    if opts is None or pulumi.runtime.get_root_resource() is None:  # a plugin is handed its parents' providers, too
        return
    several = opts.providers or []
    given = [*(several.values() if isinstance(several, Mapping) else several)]
    given += [opts.provider] if opts.provider else []
    used = registry.packages(settings.store.kind, settings.server.kind)
    for package in dict.fromkeys(one.package for one in given):
        if package not in used:
            raise pulumi.RunError(
                f"CorefluxSecrets {name}: a provider of package {package}"
                f"\n    store {settings.store.kind} and server {settings.server.kind} use "
                f"{' and '.join(used) or 'no provider'}"
                "\n    -> take it out"
            )


def _check_it_is_the_only_one(name: str) -> None:
    """Left to itself the engine would find the same URN twice, or below other parents two owners of the same names."""
    stack = pulumi.runtime.get_root_resource()
    if stack is None:  # a plugin's: only the engine knows the stack
        return
    if first := _opened.get(stack):
        raise pulumi.RunError(
            f"CorefluxSecrets {name}: the stack has one already, {first}"
            "\n    a stack has one server and its secrets: whatever is made of them is called after the stack"
            "\n    -> give the other server a stack of its own"
        )
    _opened[stack] = name


def _settings(name: str, args: Mapping[str, Any]) -> Settings:
    """Raises ConfigurationError, before anything is registered."""
    by = f"CorefluxSecrets {name}"
    if not isinstance(args, Mapping):
        kind = "nothing" if args is None else f"a {type(args).__name__}"
        remedy = "write them, or read them from your program's configuration"
        raise ConfigurationError(by, [Problem(f"arguments: {kind}", "a mapping of a stack file's sections", remedy)])
    sections = {section: entry for section, entry in args.items() if entry is not None}
    outputs: dict[str, pulumi.Output[Any]] = {}
    sections = {section: _without_outputs(section, entry, outputs) for section, entry in sections.items()}
    found = [problem for section, entry in sections.items() for problem in _not_plain(section, entry)]
    if found := found or list(_of_encrypted(sections)):
        raise ConfigurationError(by, found)
    return Settings.given(by, {section: handed_over(_whole(entry)) for section, entry in sections.items()}, outputs)


def _without_outputs(where: str, entry: Any, found: dict[str, pulumi.Output[Any]]) -> Any:
    """Return an entry with a mapping in place of each output, which goes to `found` by its place."""
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
    """Each `secure:` entry of the program's configuration that is among the arguments, where it lost its mark.

    One that encrypts a word of many is known by the mapping that it stands in.
    """
    given = list(_mappings(sections)), list(_texts(sections))
    for key, kept in kept_encrypted():
        if any(one in given[0] for one in _mappings(kept)) or kept in given[1]:
            yield encrypted_entry(key)


def _mappings(entry: Any) -> Iterator[Mapping[str, Any]]:
    """Each that says something, at any depth."""
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
    """With numbers as a stack file has them: the engine hands each to a plugin as a fraction."""
    match entry:
        case float() if entry.is_integer():
            return int(entry)
        case Mapping():
            return {key: _whole(inner) for key, inner in entry.items()}
        case list() | tuple():
            return [_whole(inner) for inner in entry]
    return entry


def _not_plain(where: str, entry: Any) -> Iterator[Problem]:
    """Each entry that no stack file could hold: above all what the engine alone knows, and only later."""
    match entry:
        case Mapping():
            for key, inner in entry.items():
                if isinstance(key, str):
                    yield from _not_plain(f"{where}.{key}", inner)
                else:
                    yield Problem(f"{where}: a key that is a {type(key).__name__}", "keys are text", "write text")
        case list() | tuple():
            for at, inner in enumerate(entry):
                yield from _not_plain(f"{where}.{at}", inner)
        case None | bool() | int() | float() | str():
            return
        case _:
            yield Problem(f"{where}: a {type(entry).__name__}", "what a stack file can say", "write text, a number, "
                          "true or false, or a list or mapping of these")  # fmt: skip
