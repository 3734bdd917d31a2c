"""A stack file, parsed once: `Pulumi.<stack>.yaml` becomes `Settings`, or every one of its errors at once.

What a file does not say has the Secret Management Guide's default. The only module that reads configuration.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pulumi
from pydantic import ValidationError

from secretops.manifest import Broker, Manifest, StoreLocation

from ..core.naming import PROJECT
from ..core.secrets import Catalogue
from . import validation_errors
from .catalogue import secrets_of
from .cross_field_rules import cross_field_rules, warnings
from .plain_values import encrypted_entry, says_secret, shown_key, values_in, values_of_others
from .problems import Problem, did_you_mean, place_of
from .schema import REQUIRED, SECTIONS, keys, read
from .section import IssuerSection, ServerSection, StoreSection, decoded
from .sections import (
    AgentSettings,
    BrokerSettings,
    Environment,
    Rotation,
)

_LOG_LEVELS = {Environment.DEVELOPMENT: "DEBUG", Environment.STAGING: "INFO", Environment.PRODUCTION: "WARNING"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A whole, valid stack file."""

    stack: str
    environment: Environment
    store: StoreSection
    server: ServerSection
    broker: BrokerSettings
    rotation: Rotation
    agent: AgentSettings | None
    issuer: IssuerSection | None
    log_level: str
    catalogue: Catalogue

    @property
    def agent_url(self) -> str | None:
        """Return the agent that the server asks, if it is not the Coreflux Copilot."""
        return self.agent.url if self.agent else None

    @property
    def tick_alone_signs(self) -> bool:
        """Return whether an operator can't have the client certificate signed: only the rotator's identity may."""
        return self.issuer is not None and self.issuer.only_with is not None

    @property
    def store_args(self) -> dict[str, Any]:
        """Return the arguments that the stores of all platforms take (core.secret_store.SecretStoreArgs)."""
        return {
            "broker": self.broker.args,
            "secrets": self.catalogue.secrets,
            "stack": self.stack,
            "production": self.environment is Environment.PRODUCTION,
            "grace_seconds": self.rotation.grace_seconds,
            "replicas": self.server.expected_replicas,
        }

    @property
    def server_args(self) -> dict[str, Any]:
        """Return the arguments that the servers of all platforms take (core.mcp_server.McpServerArgs)."""
        return {
            "broker": self.broker.args,
            "secrets": self.catalogue.secrets,
            "stack": self.stack,
            "log_level": self.log_level,
            "agent_url": self.agent_url,
        }

    def manifest(self, *, store: StoreLocation, broker: Broker) -> Manifest:
        """What secretops is told of a stack whose values are at `store`."""
        return Manifest(
            project=PROJECT,
            stack=self.stack,
            store=store,
            broker=broker,
            secrets=self.catalogue.secrets,
            grace_seconds=self.rotation.grace_seconds,
            replicas=self.server.expected_replicas,
        )

    @classmethod
    def load(cls) -> Settings:
        """The settings of the stack that the engine runs; warns of what may be meant.

        Raises ConfigurationError with all that is wrong.
        """
        given = pulumi.runtime.config.CONFIG.get()
        settings = cls.parse(
            pulumi.get_stack(),
            {key.removeprefix(f"{PROJECT}:"): text for key, text in given.items() if key.startswith(f"{PROJECT}:")},
            encrypted=[key.removeprefix(f"{PROJECT}:") for key in given if pulumi.runtime.is_config_secret(key)],
            others={key: text for key, text in given.items() if not key.startswith(f"{PROJECT}:")},
        )
        return settings._after_warnings()

    @classmethod
    def given(
        cls, by: str, entries: Mapping[str, str], outputs: Mapping[str, pulumi.Output[Any]] = MappingProxyType({})
    ) -> Settings:
        """The settings that the code of another program gives a stack, in the same form; warns of what may be meant.

        `outputs` are those that stand in the entries, by their places.

        Raises ConfigurationError with all that is wrong, which names `by`.
        """
        return cls.parse(pulumi.get_stack(), entries, by=by, outputs=outputs)._after_warnings()

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
        others: Mapping[str, str] = MappingProxyType({}),
        by: str | None = None,
        outputs: Mapping[str, pulumi.Output[Any]] = MappingProxyType({}),
    ) -> Settings:
        """Settings from the engine's form: section name -> text, JSON where it is more than a word.

        `encrypted` names the sections with a `secure:` entry. `others` is what the file has for other programs, by
        their names: a misspelt section of this one, or a provider's credentials. `by` names the program that gives the
        settings, if it is no file. Raises ConfigurationError.
        """
        found = [encrypted_entry(section) for section in encrypted if section not in others]
        found += values_of_others(others, encrypted)
        found += [
            Problem(f"{name}: missing", "a stack file says where secrets live, where the server runs, and which broker",
                    _how_to_add(name, others), code="section-missing")
            for name in REQUIRED
            if not entries.get(name)
        ]  # fmt: skip
        found += _misspelt(others, told=[name for name in REQUIRED if not entries.get(name)])
        parsed: dict[str, Any] = {}
        kinds: dict[str, Any] = {}
        for name, text in entries.items():
            section = decoded(text)
            if isinstance(section, Mapping) and isinstance(kind := section.get("kind"), str):
                kinds[name] = kind
            if name in encrypted or (name in REQUIRED and not text):
                continue  # told already
            values = list(values_in(name, section, secret=name not in SECTIONS and says_secret(name)))
            found += values
            if name not in SECTIONS:
                found += (
                    []
                    if values
                    else [validation_errors.unknown_section(name, SECTIONS, {each: keys(each) for each in SECTIONS})]
                )
                continue
            if values and not isinstance(section, Mapping):
                continue
            if not text:
                remedy = "fill it in, or take it out for its default"
                found.append(Problem(f"{name}: empty", "what is named is filled in", remedy, code="section-empty"))
                continue
            try:
                parsed[name] = read(name, _without_values(section) if values else section, kinds.get(name), outputs)
            except ValidationError as error:
                told = [place_of(value) for value in values]
                found += validation_errors.explain(name, error, keys(name), told=told)
                rest = validation_errors.without_unknown(
                    _without_values(section) if values else section, error, keys(name)
                )
                if rest is not None:
                    with suppress(ValidationError):  # what is told already would only be told again
                        parsed[name] = read(name, rest, kinds.get(name), outputs)
        environment = parsed.get("environment", _environment_of(stack))
        found += cross_field_rules(stack, environment, parsed, kinds)
        if found:
            raise ConfigurationError(by or f"Pulumi.{stack}.yaml", found)
        return cls(
            stack=stack,
            environment=environment,
            store=parsed["store"],
            server=parsed["server"],
            broker=parsed["broker"],
            rotation=parsed.get("rotation", Rotation()),
            agent=parsed.get("agent"),
            issuer=parsed.get("issuer"),
            log_level=parsed.get("log_level", _LOG_LEVELS[environment]),
            catalogue=Catalogue(tuple(secrets_of(stack, parsed))),
        )


def kept_encrypted() -> Iterator[tuple[str, Any]]:
    """Each entry of the configuration that the engine keeps encrypted, as a program gets it: open, and unmarked."""
    for key, text in pulumi.runtime.config.CONFIG.get().items():
        if pulumi.runtime.is_config_secret(key):
            entry = decoded(text)
            yield key, entry if isinstance(entry, Mapping | list) else text  # digits are a text, too


def _how_to_add(name: str, others: Iterable[str]) -> str:
    misspelt = next((key for key in others if key.partition(":")[2] == name), None)
    return f"write {PROJECT}:{name} for {misspelt}" if misspelt else f"add a section {name} with a kind"


def _misspelt(others: Iterable[str], *, told: Collection[str]) -> Iterator[Problem]:
    """Each key whose project is nearly this one's, which would be passed over in silence. aws: is others' business."""
    for key in others:
        project, _, section = key.partition(":")
        meant = did_you_mean(project, [PROJECT], otherwise="")
        if meant and section not in told:
            yield Problem(
                f"{shown_key(key)}: of another project",
                f"a section of this one has {PROJECT}: before it",
                meant.replace(PROJECT, f"{PROJECT}:{section}"),
                code="other-project",
            )


def _without_values(section: Mapping[str, Any]) -> dict[str, Any]:
    """The section less what was found to be a value, so that no other message can repeat it."""
    return {
        key: _without_values(entry) if isinstance(entry, Mapping) else entry
        for key, entry in section.items()
        if isinstance(entry, Mapping) or not any(values_in(key, entry, secret=says_secret(key)))
    }


def _environment_of(stack: str) -> Environment:
    """By the first word of the stack's name; one that says nothing is production, the strictest."""
    match re.split(r"[^a-z]", stack.lower())[0]:
        case "dev" | "development":
            return Environment.DEVELOPMENT
        case "stag" | "stage" | "staging":
            return Environment.STAGING
    return Environment.PRODUCTION


class ConfigurationError(pulumi.RunError):
    """All errors of a stack file, or of a program's settings. A RunError: printed without a traceback."""

    def __init__(self, where: str, found: list[Problem]) -> None:
        self.problems = found
        count = "1 error" if len(found) == 1 else f"{len(found)} errors"
        lines = [f"{where} has {count}; nothing was changed:", *map(str, found[:MOST_ERRORS])]
        if len(found) > MOST_ERRORS:
            lines.append(f"{len(found) - MOST_ERRORS} more errors are not printed: correct these first")
        super().__init__("\n  ".join(lines))


# Errors that are printed of one file.
MOST_ERRORS = 20
