"""A stack file, parsed once: `Pulumi.<stack>.yaml` becomes `Settings`, or every one of its errors at once.

What a file does not say has the Secret Management Guide's default. The only module that reads configuration.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pulumi
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from components import catalogue, matrix, problems
from components.catalogue import Catalogue
from components.naming import NAME, variable_of
from components.problems import Problem, between, distinct, matching, says_secret
from secretops.manifest import MqttProtocol, Reader, Secret

PROJECT = "coreflux-mcp-secrets"
PROJECT_FOLDER = Path(__file__).resolve().parent


class Section(BaseModel):
    """One section of a stack file. Frozen; an unknown key is an error, and so is a string where a number belongs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Name = Annotated[
    str,
    matching(NAME, "lower-case letters, digits and dashes, at most 40, a letter first and no dash last", "rename it"),
]
Port = Annotated[int, between(1, 65535, "")]
Days = Annotated[int, between(1, 90, "days (Secret Management Guide, Rotation)")]
Host = Annotated[
    str,
    matching(
        r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?",
        "a host's name or IPv4 address alone: no scheme, port, path or space",
        "write it like mqtt.example.com; the port goes into broker.port",
    ),
]
AbsolutePath = Annotated[
    str, matching(r"/[^\x00-\x1f\x7f]*", "an absolute path on this machine", "write the whole path, from / on")
]
Topic = Annotated[str, matching(r"[^\x00]+", "a topic filter, for example plant/#", "write one, or take the entry out")]
LogLevel = Literal["NONE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


class Environment(StrEnum):
    """Which of the guide's three environments a stack is. Not its name."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


class DotenvStore(Section):
    """A folder on this machine, as the guide draws it."""

    kind: Literal["dotenv"]
    root: Annotated[
        str,
        matching(
            r"[^~\x00-\x1f\x7f][^\x00-\x1f\x7f]*",
            "a path on one line; ~ is not expanded",
            "name a folder, for example .coreflux-mcp (below the project) or /etc/coreflux-mcp",
        ),
    ] = ".coreflux-mcp"
    """Relative to the project, or absolute, for example /etc/coreflux-mcp."""
    deliver: Literal["variables", "files"] = "variables"
    """Whether config/.env holds the values (MQTT_PASSWORD) or names their files (MQTT_PASSWORD_FILE)."""


class KubernetesStore(Section):
    """Secrets of one namespace."""

    kind: Literal["kubernetes"]


class AwsStore(Section):
    """Secrets Manager in one region."""

    kind: Literal["aws"]
    region: Annotated[str, matching(r"[a-z]{2}(-[a-z]+)+-\d", "an AWS region's code", "write it like eu-central-1")]


class LocalServer(Section):
    """The MCP server on this machine, started by an MCP client over stdio."""

    kind: Literal["local"]
    source: AbsolutePath | None = None
    """The upstream server's folder; None lets the launcher find or clone it."""


class KubernetesServer(Section):
    """The MCP server as a Deployment."""

    kind: Literal["kubernetes"]


class EcsServer(Section):
    """The MCP server on ECS Fargate."""

    kind: Literal["ecs"]


class EmbeddedBroker(Section):
    """`secretops broker`: on this machine, for development. amqtt speaks MQTT 3.1.1 only."""

    kind: Literal["embedded"]
    port: Port = 1883


class OutsideBroker(Section):
    """A broker that somebody runs, and whose users secretops rotates."""

    kind: Literal["coreflux", "mosquitto"]
    host: Host
    port: Port | None = None
    tls: bool = True
    ca_file: AbsolutePath | None = None
    protocol: MqttProtocol = MqttProtocol.V5
    client_certificate: bool = False
    topics: Annotated[tuple[Topic, ...], Field(min_length=1), AfterValidator(distinct)] = ("#", "$SYS/Coreflux/#")

    @property
    def listening_port(self) -> int:
        """MQTT's registered ports: 8883 with TLS, 1883 without (IANA)."""
        return self.port or (8883 if self.tls else 1883)


class Rotation(Section):
    """How often, and how long readers have to follow. The upper bounds are the guide's: 90 days and 6 months."""

    mqtt_days: Days = 90
    broker_admin_days: Days = 90
    agent_key_days: Annotated[int, between(1, 183, "days: 6 months (Secret Management Guide, Rotation)")] = 180
    grace_seconds: Annotated[int, between(0, 604800, "seconds: a week at most")] = 3600


class DeclaredSecret(Section):
    """A secret of the stack's own, for example a connection string; supplied by an operator."""

    fields: Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(distinct)]
    readers: Annotated[tuple[Reader, ...], Field(min_length=1), AfterValidator(distinct)] = (Reader.SERVER,)
    remind_after_days: Annotated[int, between(1, 366, "days")] = 90


StoreSettings = DotenvStore | KubernetesStore | AwsStore
ServerSettings = LocalServer | KubernetesServer | EcsServer
BrokerSettings = EmbeddedBroker | OutsideBroker

_SECTIONS: Mapping[str, TypeAdapter[Any]] = {
    "environment": TypeAdapter(Environment),
    "store": TypeAdapter(Annotated[StoreSettings, Field(discriminator="kind")]),
    "server": TypeAdapter(Annotated[ServerSettings, Field(discriminator="kind")]),
    "broker": TypeAdapter(Annotated[BrokerSettings, Field(discriminator="kind")]),
    "rotation": TypeAdapter(Rotation),
    "secrets": TypeAdapter(dict[Name, DeclaredSecret]),
    "log_level": TypeAdapter(LogLevel),
}
_REQUIRED = ("store", "server", "broker")


def _keys(*models: type[Section]) -> problems.Keys:
    return {
        kind: tuple(model.model_fields)
        for model in models
        for kind in (get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ("",))
    }


_KEYS: Mapping[str, problems.Keys] = {
    "store": _keys(*get_args(StoreSettings)),
    "server": _keys(*get_args(ServerSettings)),
    "broker": _keys(*get_args(BrokerSettings)),
    "rotation": _keys(Rotation),
    "secrets": _keys(DeclaredSecret),
}
_LOG_LEVELS = {Environment.DEVELOPMENT: "DEBUG", Environment.STAGING: "INFO", Environment.PRODUCTION: "WARNING"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A whole, valid stack file."""

    stack: str
    environment: Environment
    store: StoreSettings
    server: ServerSettings
    broker: BrokerSettings
    rotation: Rotation
    log_level: str
    catalogue: Catalogue

    @property
    def next_step(self) -> str:
        """What a person does once `pulumi up` is through."""
        first = "secretops broker start" if isinstance(self.broker, EmbeddedBroker) else "secretops put broker-admin"
        return f"{first}, then secretops tick, then secretops status"

    @classmethod
    def load(cls) -> Settings:
        """The settings of the stack that the engine runs. Raises ConfigurationError with all that is wrong."""
        given = pulumi.runtime.config.CONFIG.get()
        return cls.parse(
            pulumi.get_stack(),
            {key.removeprefix(f"{PROJECT}:"): text for key, text in given.items() if key.startswith(f"{PROJECT}:")},
            encrypted=[key.removeprefix(f"{PROJECT}:") for key in given if pulumi.runtime.is_config_secret(key)],
        )

    @classmethod
    def parse(cls, stack: str, entries: Mapping[str, str], *, encrypted: Collection[str] = ()) -> Settings:
        """Settings from the engine's form: section name -> text, JSON where it is more than a word.

        `encrypted` names the sections with a `secure:` entry. Raises ConfigurationError.
        """
        found = [problems.encrypted(section) for section in encrypted]
        found += [
            Problem(f"{name}: missing", "a stack file says where secrets live, where the server runs, and which broker",
                    f"add a section {name} with a kind")
            for name in _REQUIRED
            if not entries.get(name)
        ]  # fmt: skip
        parsed: dict[str, Any] = {}
        for name, text in entries.items():
            section = _decoded(text)
            if name in encrypted or (name in _REQUIRED and not text):
                continue  # told already
            values = list(problems.values_in(name, section, secret=name not in _SECTIONS and says_secret(name)))
            found += values
            if name not in _SECTIONS:
                found += [] if values else [problems.unknown_section(name, _SECTIONS)]
                continue
            if values and not isinstance(section, Mapping):
                continue
            if not text:
                remedy = "fill it in, or take it out for its default"
                found.append(Problem(f"{name}: empty", "what is named is filled in", remedy))
                continue
            try:
                parsed[name] = _SECTIONS[name].validate_json(
                    json.dumps(_without_values(section) if values else section)
                )
            except ValidationError as error:
                told = [problems.place_of(value) for value in values]
                found += problems.explain(name, error, _KEYS.get(name, {}), told=told)
        environment = parsed.get("environment", _environment_of(stack))
        found += _contradictions(environment, parsed)
        if found:
            raise ConfigurationError(stack, found)
        rotation, broker = parsed.get("rotation", Rotation()), parsed["broker"]
        return cls(
            stack=stack,
            environment=environment,
            store=parsed["store"],
            server=parsed["server"],
            broker=broker,
            rotation=rotation,
            log_level=parsed.get("log_level", _LOG_LEVELS[environment]),
            catalogue=Catalogue(tuple(_secrets(stack, rotation, broker, parsed.get("secrets", {})))),
        )


def _decoded(text: str) -> Any:
    """A section as the engine hands it over: JSON for what is more than a word."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _without_values(section: Mapping[str, Any]) -> dict[str, Any]:
    """The section less what was found to be a value, so that no other message can repeat it."""
    return {
        key: _without_values(entry) if isinstance(entry, Mapping) else entry
        for key, entry in section.items()
        if isinstance(entry, Mapping) or not any(problems.values_in(key, entry, secret=says_secret(key)))
    }


def _environment_of(stack: str) -> Environment:
    """By the first word of the stack's name; one that says nothing is production, the strictest."""
    match re.split(r"[^a-z]", stack.lower())[0]:
        case "dev" | "development":
            return Environment.DEVELOPMENT
        case "stag" | "stage" | "staging":
            return Environment.STAGING
    return Environment.PRODUCTION


def _contradictions(environment: Environment, parsed: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong between sections that are each right."""
    broker, rotation, secrets = parsed.get("broker"), parsed.get("rotation"), parsed.get("secrets", {})
    if isinstance(broker, EmbeddedBroker) and environment is not Environment.DEVELOPMENT:
        yield Problem(
            f"broker.kind: embedded in {environment}",
            "the embedded broker is for development: no TLS, one machine",
            "name your broker: kind coreflux or mosquitto, and its host",
        )
    if isinstance(broker, OutsideBroker):
        if not broker.tls and environment is not Environment.DEVELOPMENT:
            yield Problem(
                f"broker.tls: false in {environment}",
                "secrets are only sent over TLS (Secret Management Guide, Transmission)",
                "take it out; a private CA goes into broker.ca_file",
            )
        if not broker.tls and (broker.client_certificate or broker.ca_file):
            yield Problem(
                "broker.tls: false with ca_file or client_certificate",
                "certificates mean nothing without TLS",
                "take out tls: false, or the certificates",
            )
    if rotation and rotation.grace_seconds >= 86400 * min(rotation.mqtt_days, rotation.broker_admin_days):
        yield Problem(
            f"rotation.grace_seconds: {rotation.grace_seconds}",
            "the grace ends before the next rotation is due",
            "shorten it, or rotate less often",
        )
    for name in sorted(catalogue.GUIDE & set(secrets)):
        yield Problem(
            f"secrets.{name}: declared",
            "the guide's own secrets are in every stack",
            "take it out, or give it another name",
        )
    carried = dict.fromkeys(catalogue.SERVER_VARIABLES, "the server's own settings")
    for name, field in [(name, field) for name, secret in secrets.items() for field in secret.fields]:
        variable = variable_of(name, field)
        other = next((carried[each] for each in (variable, f"{variable}_FILE") if each in carried), None)
        carried |= dict.fromkeys((variable, f"{variable}_FILE"), f"secrets.{name}")
        if other and name not in catalogue.GUIDE:
            yield Problem(
                f"secrets.{name}: its field {field} is the variable {variable}",
                f"a variable carries one thing, and this one is used by {other}",
                "rename the secret or its field",
            )
    if "store" in parsed and "server" in parsed:
        refused = matrix.refusal(parsed["store"].kind, parsed["server"].kind)
        if refused:
            yield Problem(*refused)


def _secrets(
    stack: str, rotation: Rotation, broker: BrokerSettings, declared: Mapping[str, DeclaredSecret]
) -> Iterator[Secret]:
    yield catalogue.broker_admin(stack, rotation.broker_admin_days)
    yield catalogue.mqtt(stack, rotation.mqtt_days)
    yield catalogue.agent_key(rotation.agent_key_days)
    if isinstance(broker, OutsideBroker) and broker.client_certificate:
        yield catalogue.client_cert()
    for name, secret in declared.items():
        yield catalogue.declared(name, secret.fields, secret.readers, secret.remind_after_days)


class ConfigurationError(pulumi.RunError):
    """Everything that is wrong with a stack file. A RunError: the engine shows it without a traceback."""

    def __init__(self, stack: str, found: list[Problem]) -> None:
        self.problems = found
        count = "1 error" if len(found) == 1 else f"{len(found)} errors"
        super().__init__("\n  ".join([f"Pulumi.{stack}.yaml has {count}; nothing was changed:", *map(str, found)]))
