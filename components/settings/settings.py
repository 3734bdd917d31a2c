"""The stack file as `Settings`: parsed once, with all of its errors reported together.

Missing entries have the Secret Management Guide's defaults. Only this module reads Pulumi's configuration.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pulumi
from pydantic import ValidationError

from secretops.formats import counted
from secretops.manifest import Secret

from ..core.naming import PROJECT
from . import validation_errors
from .cross_field_rules import cross_field_rules, warnings
from .plain_values import encrypted_entry, says_secret, shown_key, values_in, values_of_others
from .problems import Problem, did_you_mean, place_of
from .schema import REQUIRED, SECTIONS, keys, read
from .section import IssuerSection, ServerSection, StoreSection, decoded
from .sections import AgentSettings, BrokerSettings, Environment, Rotation, secrets_of

_LOG_LEVELS = {Environment.DEVELOPMENT: "DEBUG", Environment.STAGING: "INFO", Environment.PRODUCTION: "WARNING"}
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Settings:
    stack: str
    environment: Environment
    store: StoreSection
    server: ServerSection
    broker: BrokerSettings
    rotation: Rotation
    agent: AgentSettings | None
    issuer: IssuerSection | None
    log_level: str
    secrets: tuple[Secret, ...]

    @property
    def tick_alone_signs(self) -> bool:
        """Return whether only the rotator's identity, and no operator, can have the client certificate signed."""
        return self.issuer is not None and self.issuer.only_with is not None

    @property
    def store_args(self) -> dict[str, Any]:
        """Return the keyword arguments of SecretStoreArgs."""
        return {
            "broker": self.broker.args,
            "secrets": self.secrets,
            "stack": self.stack,
            "production": self.environment is Environment.PRODUCTION,
            "grace_seconds": self.rotation.grace_seconds,
            "replicas": self.server.expected_replicas,
        }

    @property
    def server_args(self) -> dict[str, Any]:
        """Return the keyword arguments of McpServerArgs."""
        return {
            "broker": self.broker.args,
            "secrets": self.secrets,
            "stack": self.stack,
            "log_level": self.log_level,
            "agent_url": self.agent.url if self.agent else None,
        }

    @classmethod
    def load(cls) -> Settings:
        """Return the settings of the stack that the engine deploys, and print warnings. Raises ConfigurationError."""
        config = pulumi.runtime.config.CONFIG.get()
        own = {key: key.removeprefix(f"{PROJECT}:") for key in config if key.startswith(f"{PROJECT}:")}
        return cls.parse(
            pulumi.get_stack(),
            {section: config[key] for key, section in own.items()},
            encrypted=[own.get(key, key) for key in config if pulumi.runtime.is_config_secret(key)],
            others={key: text for key, text in config.items() if key not in own},
        )._after_warnings()

    @classmethod
    def from_args(
        cls, program: str, entries: Mapping[str, str], outputs: Mapping[str, pulumi.Output[Any]] = _NOTHING
    ) -> Settings:
        """Return the settings for a component's arguments, and print warnings.

        `program` names the component in errors. `outputs` maps the paths of keys to outputs. Raises ConfigurationError.
        """
        return cls.parse(pulumi.get_stack(), entries, program=program, outputs=outputs)._after_warnings()

    def _after_warnings(self) -> Settings:
        for warning in warnings(self.environment, self.store):
            pulumi.log.warn(warning)
        return self

    @classmethod
    def parse(
        cls,
        stack: str,
        entries: Mapping[str, str],
        *,
        encrypted: Collection[str] = (),
        others: Mapping[str, str] = _NOTHING,
        program: str | None = None,
        outputs: Mapping[str, pulumi.Output[Any]] = _NOTHING,
    ) -> Settings:
        """Return the settings. `entries` has the text of each section as the engine passes it: a word or JSON.

        `encrypted` names the sections with a `secure:` entry. `others` has the keys of other projects, which may be
        misspelt sections or a provider's credentials. Raises ConfigurationError with all errors.
        """
        missing = [name for name in REQUIRED if not entries.get(name)]
        found = [encrypted_entry(section) for section in encrypted if section not in others]
        found += values_of_others(others, encrypted)
        found += [_missing(name, others) for name in missing]
        found += _misspelt(others, reported=missing)
        reader = _Reader(outputs)
        for name, text in entries.items():
            if name in encrypted or name in missing:
                reader.note_kind(name, decoded(text))
            else:
                reader.read(name, text)
        environment = reader.parsed.get("environment", _environment_of(stack))
        found += [*reader.problems, *cross_field_rules(stack, environment, reader.parsed, reader.kinds)]
        if found:
            raise ConfigurationError(program or f"Pulumi.{stack}.yaml", found)
        sections = {"rotation": Rotation(), "agent": None, "issuer": None, **reader.parsed}
        sections.setdefault("log_level", _LOG_LEVELS[environment])
        declared = tuple(secrets_of(stack, sections))
        return cls(stack=stack, **{**sections, "environment": environment, "secrets": declared})


@dataclass(frozen=True)
class _Reader:
    outputs: Mapping[str, pulumi.Output[Any]]
    parsed: dict[str, Any] = field(default_factory=dict)
    kinds: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def note_kind(self, name: str, section: Any) -> None:
        if isinstance(section, Mapping) and isinstance(kind := section.get("kind"), str):
            self.kinds[name] = kind

    def read(self, name: str, text: str) -> None:
        section = decoded(text)
        self.note_kind(name, section)
        values = list(values_in(name, section, secret=name not in SECTIONS and says_secret(name)))
        self.problems.extend(values)
        if name not in SECTIONS:
            if not values:
                every = {each: keys(each) for each in SECTIONS}
                self.problems.append(validation_errors.unknown_section(name, SECTIONS, every))
        elif not text:
            rule, remedy = "a section must have entries", "write entries, or remove the section to use its defaults"
            self.problems.append(Problem(f"{name}: empty", rule, remedy, code="section-empty"))
        elif not values or isinstance(section, Mapping):
            self._parse(name, _without_values(section) if values else section, [place_of(value) for value in values])

    def _parse(self, name: str, section: Any, reported: list[str]) -> None:
        try:
            self.parsed[name] = read(name, section, self.kinds.get(name), self.outputs)
        except ValidationError as error:
            self.problems.extend(validation_errors.explain(name, error, keys(name), reported=reported))
            rest = validation_errors.without_unknown(section, error, keys(name))
            if rest is not None:
                with suppress(ValidationError):  # the errors of `rest` are among those above
                    self.parsed[name] = read(name, rest, self.kinds.get(name), self.outputs)


def kept_encrypted() -> Iterator[tuple[str, Any]]:
    """Yield the key and the decrypted entry of each encrypted entry in the configuration."""
    for key, text in pulumi.runtime.config.CONFIG.get().items():
        if pulumi.runtime.is_config_secret(key):
            entry = decoded(text)
            # A number stays text, since an argument may be the same text.
            yield key, entry if isinstance(entry, Mapping | list) else text


def _missing(name: str, others: Iterable[str]) -> Problem:
    rule = "a stack file must have the sections store, server and broker"
    misspelt = next((key for key in others if key.partition(":")[2] == name), None)
    remedy = (
        f"rename {misspelt} to {PROJECT}:{name}"
        if misspelt
        else f"add the section {name} with a kind, as in the files of examples/"
    )
    return Problem(f"{name}: missing", rule, remedy, code="section-missing")


def _misspelt(others: Iterable[str], *, reported: Collection[str]) -> Iterator[Problem]:
    for key in others:
        project, _, section = key.partition(":")
        meant = did_you_mean(project, [PROJECT], otherwise="")
        if meant and section not in reported:
            yield Problem(
                f"{shown_key(key)}: its prefix is not this project's name",
                f"a section of this project must start with {PROJECT}:",
                meant.replace(PROJECT, f"{PROJECT}:{section}"),
                code="other-project",
            )


def _without_values(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section without entries that look like secret values, so that no later message can print them."""
    return {
        key: _without_values(entry) if isinstance(entry, Mapping) else entry
        for key, entry in section.items()
        if isinstance(entry, Mapping) or not any(values_in(key, entry, secret=says_secret(key)))
    }


def _environment_of(stack: str) -> Environment:
    match re.split(r"[^a-z]", stack.lower())[0]:
        case "dev" | "development":
            return Environment.DEVELOPMENT
        case "stag" | "stage" | "staging":
            return Environment.STAGING
    return Environment.PRODUCTION


class ConfigurationError(pulumi.RunError):
    """All errors of a stack file, or of a component's arguments. As a RunError, it is printed without a traceback."""

    def __init__(self, where: str, found: list[Problem]) -> None:
        self.problems = found
        count = counted(len(found), "error", "errors")
        lines = [f"{where} has {count}; nothing was changed:", *map(str, found[:MOST_ERRORS])]
        if len(found) > MOST_ERRORS:
            more = counted(len(found) - MOST_ERRORS, "more error is", "more errors are")
            lines.append(f"{more} not printed: correct the errors above first")
        super().__init__("\n  ".join(lines))


# Maximum number of errors that are printed.
MOST_ERRORS = 20
