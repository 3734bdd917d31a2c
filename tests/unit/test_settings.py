"""Stack files: what a good one means, and what a person is told about a broken one."""

from __future__ import annotations

import json
import re
import secrets
import ssl
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pulumi
import pytest
from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

from components.broker import ca_bundle
from components.contradictions import doubts
from components.dotenv.sections import DotenvStore, LocalServer
from components.matrix import PAIRS, StoreKind, can_be_deployed
from components.next_step import next_step
from components.problems import WIDTH
from components.section import PROJECT_FOLDER
from components.sections import EmbeddedBroker, Environment, OutsideBroker, Rotation
from settings import ConfigurationError, Settings
from tests.unit.harness import ca_file
from tests.unit.stack_file import StackFile

CANARY = f"Canary{secrets.token_hex(8)}"
"""Stands for a secret that somebody wrote into a stack file. Made anew each time."""

USER = "user"
LOGIN = f"{USER}:{CANARY}"

IMAGE = "registry.example.com/coreflux-mcp-secrets:0.1.0"

GOOD = {
    "store": "{kind: dotenv}",
    "server": "{kind: local}",
    "broker": "{kind: coreflux, host: mqtt.example.com}",
}

NO_VALUE = "no value is configuration"
NOT_SHOWN = "what looks like a secret's value (not shown)"
BROKER_KEYS = "a broker of kind coreflux has kind, host, port, tls"

Told = tuple[str, str, str]
"""The value and where it is; a part of the rule; a part of the remedy."""


def stack_file(**sections: str | None) -> StackFile:
    """The good file with each of `sections` in its place, or without it where it is None."""
    lines = [
        f"  coreflux-mcp-secrets:{name}: {text}" for name, text in {**GOOD, **sections}.items() if text is not None
    ]
    return StackFile.read("\n".join(["config:", *lines]))


def broker(entry: str) -> str:
    """The good file's broker with one more entry."""
    return f"{{kind: coreflux, host: mqtt.example.com, {entry}}}"


def host(text: str) -> str:
    return f"{{kind: coreflux, host: {text}}}"


def broken(sentence: str, *told: Told, stack: str = "dev", **sections: str | None) -> Any:
    return pytest.param(stack, sections, told, id=sentence)


def on_kubernetes(entry: str = "") -> dict[str, str]:
    """The Kubernetes platform's two sections, the server's with more entries."""
    return {"store": "{kind: kubernetes}", "server": f'{{kind: kubernetes, image: "{IMAGE}"{entry}}}'}


def with_image(image: str) -> dict[str, str]:
    return on_kubernetes() | {"server": f"{{kind: kubernetes, image: '{image}'}}"}


OPERATOR = "arn:aws:iam::123456789012:role/secrets-operator"
AWS_STORE = f"{{kind: aws, region: eu-central-1, account: '123456789012', operators: ['{OPERATOR}']}}"
GUID = "11111111-2222-3333-4444-555555555555"
AZURE_STORE = f"{{kind: azure, tenant: {GUID}, subscription: {GUID}, location: westeurope, operators: [{GUID}]}}"
SUBNET, GROUP = "subnet-0123456789abcdef0", "sg-0123456789abcdef0"


OTHER_SUBNET = "subnet-0123456789abcdef1"


def on_aws(store: str = "", server: str = "", *, subnets: str = f"{SUBNET}, {OTHER_SUBNET}") -> dict[str, str]:
    """The AWS platform's two sections, each with more entries."""
    network = f"subnets: [{subnets}], security_groups: [{GROUP}]"
    return {
        "store": f"{AWS_STORE.removesuffix('}')}{store}}}",
        "server": f'{{kind: ecs, image: "{IMAGE}", {network}{server}}}',
    }


def balanced(*, place: str = "eu-central-1:123456789012", kind: str = "acm", tasks: str = ", replicas: 1") -> str:
    """A server's load balancer, and what it asks for."""
    return (
        f"{tasks}, allowed_hosts: [mcp.example.com], load_balancer: {{vpc: vpc-0123456789abcdef0, "
        f"security_groups: [{GROUP}], certificate: 'arn:aws:{kind}:{place}:certificate/0'}}"
    )


READER = "arn:aws:iam::123456789012:role/developer"
OIDC = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF"


def aws_with(server: str) -> dict[str, str]:
    """The AWS store with another platform's server."""
    return {"store": AWS_STORE, "server": server}


def aws_with_kubernetes(entry: str = f", oidc_provider: '{OIDC}'") -> dict[str, str]:
    return aws_with(on_kubernetes(entry)["server"])


def in_account(account: str) -> dict[str, str]:
    return on_aws() | {"store": AWS_STORE.replace("'123456789012', ", f"{account}, ", 1)}


def operated_by(*operators: str) -> dict[str, str]:
    return on_aws() | {"store": AWS_STORE.replace(f"['{OPERATOR}']", str(list(operators)))}


def in_govcloud() -> str:
    store = AWS_STORE.replace("arn:aws:", "arn:aws-us-gov:").replace("eu-central-1", "us-gov-west-1")
    return f"{store.removesuffix('}')}, alert_topic: 'arn:aws-us-gov:sns:us-gov-west-1:123456789012:alarms'}}"


ONE_LEVEL = "one of NONE, DEBUG, INFO, WARNING, ERROR, CRITICAL"
ONE_STORE = "one of dotenv, kubernetes, aws"
DAYS = "from 1 to 90 days (Secret Management Guide, Rotation)"
A_HOST = "a host's name or IPv4 address alone"
A_NAME = "lower-case letters, digits and dashes, at most 40"
AN_IMAGE = "an image by its tag or digest"
A_SECTION = "a section: keys, each with its entry"
ALL_SECTIONS = "one of environment, store, server, broker, agent, issuer, rotation, secrets, log_level"

BROKEN = [
    # What is not there
    broken("no broker is named", ("broker: missing", "which broker", "add a section broker with a kind"), broker=None),
    broken("a store has nothing below it", ("store: missing", "where secrets live", "add a section store"), store=""),
    broken("a server is null", ("server: missing", "where the server runs", "add a section server"), server="~"),
    broken("a rotation is null", ("rotation: empty", "filled in", "take it out for its default"), rotation="~"),
    broken("a log level is null", ("log_level: empty", "filled in", "take it out for its default"), log_level="null"),
    broken("declared secrets are null", ("secrets: empty", "filled in", "take it out"), secrets=""),
    broken("a store has no kind", ("store.kind: missing", "no default", "add kind: " + ONE_STORE), store="{root: x}"),
    broken("a store is an empty section", ("store.kind: missing", "no default", "add kind"), store="{}"),
    broken("a store's kind is null", ("store.kind: nothing", ONE_STORE, "name one of them"), store="{kind: }"),
    broken("a broker has no host", ("broker.host: missing", "no default", "add host"), broker="{kind: mosquitto}"),
    broken("a broker's host is null", ("broker.host: nothing", "text", "fill it in"), broker=host("~")),
    broken("a store's root is null", ("store.root: nothing", "text", "take it out"), store="{kind: dotenv, root: ~}"),
    broken(
        "the aws store has no region",
        ("store.region: missing", "no default", "add region"),
        **on_aws() | {"store": AWS_STORE.replace("region: eu-central-1, ", "")},
    ),
    broken("a declared secret has no fields", ("secrets.db.fields: missing", "no", "add fields"), secrets="{db: {}}"),
    # What nobody knows
    broken("a section is misspelt", ("rotaton: unknown section", ALL_SECTIONS, "did you mean rotation?"), rotaton="{}"),
    broken("a section is unknown", ("colour: unknown section", ALL_SECTIONS, "take it out"), colour="red"),
    broken(
        "a key is misspelt", ("broker.prt: unknown key", BROKER_KEYS, "did you mean port?"), broker=broker("prt: 1")
    ),
    broken(
        "a key is unknown", ("broker.username: unknown key", BROKER_KEYS, "take it out"), broker=broker("username: a")
    ),
    broken(
        "a key belongs to another kind",
        ("broker.host: unknown key", "a broker of kind embedded has kind, port", "take it out"),
        broker="{kind: embedded, host: mqtt.example.com}",
    ),
    broken(
        "a rotation's key is unknown",
        ("rotation.days: unknown key", "rotation has mqtt_days, broker_admin_days", "take it out"),
        rotation="{days: 30}",
    ),
    broken(
        "a declared secret's key is cut short",
        ("secrets.db.remind: unknown key", "a declared secret has fields, readers", "did you mean remind_after_days?"),
        secrets="{db: {fields: [url], remind: 5}}",
    ),
    broken(
        "a store's kind is misspelt",
        ('store.kind: "dotnev"', ONE_STORE, "did you mean dotenv?"),
        store="{kind: dotnev}",
    ),
    broken("a store's kind is a number", ("store.kind: 5", ONE_STORE, "name one of them"), store="{kind: 5}"),
    broken("a store's kind is a list", ("store.kind: a list", ONE_STORE, "mean dotenv?"), store="{kind: [dotenv]}"),
    broken(
        "a store's kind is a server's",
        ("store.kind: local is a server, not a store", ONE_STORE, "name one of them"),
        store="{kind: local}",
    ),
    broken(
        "a server's kind is a store's",
        ("server.kind: dotenv is a store, not a server", "one of local, kubernetes, ecs", "name one of them"),
        server="{kind: dotenv}",
    ),
    broken(
        "a broker is unknown",
        ('broker.kind: "hivemq"', "one of embedded, coreflux, mosquitto", "name one of them"),
        broker="{kind: hivemq, host: mqtt.example.com}",
    ),
    broken(
        "a broker is misspelt",
        ('broker.kind: "mosquito"', "one of embedded, coreflux, mosquitto", "did you mean mosquitto?"),
        broker="{kind: mosquito, host: mqtt.example.com}",
    ),
    broken(
        "an environment is unknown",
        ('environment: "live"', "one of development, staging, production", "write one of them"),
        environment="live",
    ),
    broken("an environment is cut short", ('environment: "prod"', "one of", "mean production?"), environment="prod"),
    broken("a log level is unknown", ('log_level: "TRACE"', ONE_LEVEL, "write one of them"), log_level="TRACE"),
    broken("a log level is in small letters", ('log_level: "debug"', ONE_LEVEL, "mean DEBUG?"), log_level="debug"),
    broken(
        "a reader is unknown",
        ('secrets.db.readers.0: "pulumi"', "one of server, rotator", "write one of them"),
        secrets="{db: {fields: [url], readers: [pulumi]}}",
    ),
    broken(
        "values are delivered neither way",
        ('store.deliver: "neither"', "one of variables, files", "write one of them"),
        store="{kind: dotenv, deliver: neither}",
    ),
    # What has the wrong type
    broken("a section is a word", ("store: text", A_SECTION, "put keys below store:"), store="dotenv"),
    broken("a section is a list", ("server: a list", A_SECTION, "put keys below server:"), server="[local]"),
    broken("a section is a number", ("rotation: 90", A_SECTION, "put keys below rotation:"), rotation="90"),
    broken("declared secrets are a list", ("secrets: a list", A_SECTION, "put keys below secrets:"), secrets="[db]"),
    broken("a declared secret is a word", ("secrets.db: text", A_SECTION, "put keys below db:"), secrets="{db: url}"),
    broken(
        "a port is text", ('broker.port: "8883"', "a whole number", "without quotes"), broker=broker("port: '8883'")
    ),
    broken("a port is a truth value", ("broker.port: true", "a whole number", "digits"), broker=broker("port: true")),
    broken("a port is a fraction", ("broker.port: 1883.5", "a whole number", "digits"), broker=broker("port: 1883.5")),
    broken("days have a unit", ('rotation.mqtt_days: "90d"', "a whole number", "digits"), rotation="{mqtt_days: 90d}"),
    broken("tls is a yes-no word", ('broker.tls: "no"', "true or false", "without quotes"), broker=broker("tls: no")),
    broken(
        "client_certificate is a yes-no word",
        ('broker.client_certificate: "yes"', "true or false", "write true or false"),
        broker=broker("client_certificate: yes"),
    ),
    broken("a host is a number", ("broker.host: 5", "text", "put it in quotes"), broker=host("5")),
    broken("topics are a word", ('broker.topics: "#"', "a list", "topics: [...]"), broker=broker("topics: '#'")),
    broken("a topic is a number", ("broker.topics.0: 5", "text", "in quotes"), broker=broker("topics: [5]")),
    broken(
        "a protocol is a number",
        ("broker.protocol: 5", "one of 5, 3.1.1", 'write it in quotes: "5"'),
        broker=broker("protocol: 5"),
    ),
    broken("a protocol is 4", ("broker.protocol: 4", "one of 5, 3.1.1", "write one"), broker=broker("protocol: 4")),
    # What is out of range
    broken("a port is 0", ("broker.port: 0", "from 1 to 65535", "in that range"), broker=broker("port: 0")),
    broken("a port is 65536", ("broker.port: 65536", "from 1 to 65535", "in that range"), broker=broker("port: 65536")),
    broken(
        "the embedded broker's port is negative",
        ("broker.port: -1", "from 1 to 65535", "in that range"),
        broker="{kind: embedded, port: -1}",
    ),
    broken("days are negative", ("rotation.mqtt_days: -1", DAYS, "in that range"), rotation="{mqtt_days: -1}"),
    broken("days are 0", ("rotation.mqtt_days: 0", DAYS, "in that range"), rotation="{mqtt_days: 0}"),
    broken("days are 91", ("rotation.mqtt_days: 91", DAYS, "in that range"), rotation="{mqtt_days: 91}"),
    broken(
        "the admin's days are 91", ("rotation.broker_admin_days: 91", DAYS, "range"), rotation="{broker_admin_days: 91}"
    ),
    broken(
        "an agent key is kept for 184 days",
        ("rotation.agent_key_days: 184", "from 1 to 183 days: 6 months", "range"),
        rotation="{agent_key_days: 184}",
    ),
    broken(
        "a grace is negative",
        ("rotation.grace_seconds: -1", "from 0 to 604800 seconds", "range"),
        rotation="{grace_seconds: -1}",
    ),
    broken(
        "a grace is longer than a week",
        ("rotation.grace_seconds: 604801", "a week at most", "range"),
        rotation="{grace_seconds: 604801}",
    ),
    broken(
        "a reminder is due at once",
        ("secrets.db.remind_after_days: 0", "from 1 to 366 days", "range"),
        secrets="{db: {fields: [url], remind_after_days: 0}}",
    ),
    broken("there are no topics", ("broker.topics: an empty list", "at least one", "add"), broker=broker("topics: []")),
    broken("a topic is empty", ('broker.topics.0: ""', "a topic filter", "write one"), broker=broker("topics: ['']")),
    broken("a topic is there twice", ('broker.topics: "a" twice', "once", "take out"), broker=broker("topics: [a, a]")),
    broken(
        "fields are empty", ("secrets.db.fields: an empty list", "at least one", "add"), secrets="{db: {fields: []}}"
    ),
    broken(
        "a field is there twice", ('secrets.db.fields: "a" twice', "once", "take out"), secrets="{db: {fields: [a, a]}}"
    ),
    # What is malformed
    broken("a host is empty", ('broker.host: ""', A_HOST, "like mqtt.example.com"), broker=host("''")),
    broken(
        "a host has a space", ('broker.host: "my broker"', A_HOST, "like mqtt.example.com"), broker=host("my broker")
    ),
    broken(
        "a host has a scheme",
        ('broker.host: "mqtts://mqtt.example.com"', "no scheme", "like mqtt.example.com"),
        broker=host("'mqtts://mqtt.example.com'"),
    ),
    broken(
        "a host has a port",
        ('broker.host: "mqtt.example.com:8883"', "no scheme, port", "the port goes into broker.port"),
        broker=host("'mqtt.example.com:8883'"),
    ),
    broken(
        "a CA file is relative",
        ('broker.ca_file: "ca.crt"', "an absolute path", "from / on"),
        broker=broker("ca_file: ca.crt"),
    ),
    broken(
        "a source is relative",
        ('server.source: "./upstream"', "an absolute path", "from / on"),
        server="{kind: local, source: ./upstream}",
    ),
    broken(
        "a root is empty", ('store.root: ""', "a path on one line", "name a folder"), store="{kind: dotenv, root: ''}"
    ),
    broken(
        "a root is below a home",
        ('store.root: "~/mcp"', "~ is not expanded", "/etc/coreflux-mcp"),
        store="{kind: dotenv, root: ~/mcp}",
    ),
    broken(
        "a root has a line break",
        (r'store.root: "a\nb"', "a path on one line", "name a folder"),
        store=r'{kind: dotenv, root: "a\nb"}',
    ),
    broken(
        "a region is a city",
        ('store.region: "Frankfurt"', "an AWS region's code", "like eu-central-1"),
        **on_aws() | {"store": AWS_STORE.replace("eu-central-1", "Frankfurt", 1)},
    ),
    broken(
        "a secret's name has capitals",
        ("secrets.Db_Url: its name", A_NAME, "rename it"),
        secrets="{Db_Url: {fields: [a]}}",
    ),
    broken(
        "a secret's name is 41 characters long",
        (f"secrets.{'x' * 41}: its name", A_NAME, "rename it"),
        secrets=f"{{{'x' * 41}: {{fields: [a]}}}}",
    ),
    broken(
        "a secret's name ends in a dash", ("secrets.db-: its name", A_NAME, "rename"), secrets="{db-: {fields: [a]}}"
    ),
    broken(
        "a secret called like a store has a bad field",
        ('secrets.vault.fields.0: "A b"', A_NAME, "rename it"),
        secrets="{vault: {fields: [A b]}}",
    ),
    # What is right by itself and wrong together
    broken(
        "TLS is off in production",
        ("broker.tls: false in production", "only sent over TLS", "take it out"),
        stack="prod",
        broker=broker("tls: false"),
    ),
    broken(
        "TLS is off in staging",
        ("broker.tls: false in staging", "only sent over TLS", "take it out"),
        stack="staging",
        broker=broker("tls: false"),
    ),
    broken(
        "TLS is off in a stack whose name says nothing",
        ("broker.tls: false in production", "only sent over TLS", "take it out"),
        stack="devices",
        broker=broker("tls: false"),
    ),
    broken(
        "the embedded broker is in production",
        ("broker.kind: embedded in production", "for development", "kind coreflux or mosquitto"),
        environment="production",
        broker="{kind: embedded}",
    ),
    broken(
        "a CA file goes with no TLS",
        ("broker.tls: false with ca_file", "nothing without TLS", "take out tls: false"),
        broker=broker("tls: false, ca_file: /etc/ca.crt"),
    ),
    broken(
        "a client certificate goes with no TLS",
        ("broker.tls: false with", "nothing without TLS", "or the certificates"),
        broker=broker("tls: false, client_certificate: true"),
    ),
    broken(
        "a grace outlasts the cadence",
        ("rotation.grace_seconds: 86400", "before the next rotation is due", "shorten it"),
        rotation="{grace_seconds: 86400, mqtt_days: 1}",
    ),
    broken(
        "a grace outlasts the admin's cadence",
        ("rotation.grace_seconds: 90000", "before the next rotation is due", "shorten it"),
        rotation="{grace_seconds: 90000, broker_admin_days: 1}",
    ),
    broken(
        "a declared secret has the guide's name",
        ("secrets.mqtt: declared", "in every stack", "another name"),
        secrets="{mqtt: {fields: [url]}}",
    ),
    broken(
        "the bearer token has fields of its own",
        ("secrets.http-token: fields key, readers server", "bearer token", "write http-token: {fields: [token]}"),
        secrets="{http-token: {fields: [key]}}",
    ),
    broken(
        "the bearer token is not for the server",
        ("secrets.http-token: fields token, readers rotator", "the server reads", "another name"),
        secrets="{http-token: {fields: [token], readers: [rotator]}}",
    ),
    broken(
        "another secret takes the bearer token's variable",
        ("secrets.mcp-http: its field token is the variable MCP_HTTP_TOKEN", "used by secrets.http-token", "rename"),
        secrets="{http-token: {fields: [token]}, mcp-http: {fields: [token]}}",
    ),
    broken(
        "a declared secret is a variable of the server",
        ("secrets.log: its field level is the variable LOG_LEVEL", "the server's own settings", "rename"),
        secrets="{log: {fields: [level]}}",
    ),
    broken(
        "two declared secrets are one variable",
        ("secrets.a-b: its field c is the variable A_B_C", "used by secrets.a", "rename"),
        secrets="{a: {fields: [b-c]}, a-b: {fields: [c]}}",
    ),
    broken(
        "a pair cannot work",
        ("store dotenv with server ecs: cannot work", "on one machine", "store dotenv goes with server local"),
        server=on_aws()["server"],
    ),
    broken(
        "a pair is not built, though both of its sides are",
        ("store vault with server ecs: is not built", "OpenBao has no such auth method", "goes with server local"),
        store="{kind: vault, address: 'https://vault.example.com:8200', operators: [userpass/alice]}",
        server=on_aws()["server"],
    ),
    broken(
        "a server of Azure cannot work with the store",
        ("store dotenv with server containerapp: cannot work", "on one machine", "goes with store azure"),
        server=f"{{kind: containerapp, image: {IMAGE}}}",
    ),
    broken(
        "a pair of two clouds cannot work",
        ("store azure with server ecs: cannot work", "no Azure identity", "store azure goes with server local"),
        store=AZURE_STORE,
        server=on_aws()["server"],
    ),
    broken(
        "a store of Vault says nothing and the server is unknown",
        ("store.address: missing", "no default", "add address"),
        ("store.operators: missing", "no default", "add operators"),
        ("server.kind", "one of local", "did you mean local"),
        store="{kind: vault}",
        server="{kind: locall}",
    ),
    broken(
        "a declared secret is what the server reads as its client id",
        ("secrets.mqtt-client: its field id is the variable MQTT_CLIENT_ID", "the server's own settings", "rename"),
        secrets="{mqtt-client: {fields: [id]}}",
    ),
    broken(
        "a declared secret is a variable of secretops",
        ("secrets.secretops: its field version-mqtt is the variable", "secretops itself", "rename"),
        secrets="{secretops: {fields: [version-mqtt]}}",
    ),
    # What is a secret's value
    broken("a password is a section", (f"password: {NOT_SHOWN}", NO_VALUE, "secretops put mqtt"), password=CANARY),
    broken("an API key is a section", (f"api_key: {NOT_SHOWN}", NO_VALUE, "secretops put agent-key"), api_key=CANARY),
    broken(
        "a password is the broker's",
        (f"broker.password: {NOT_SHOWN}", NO_VALUE, "secretops put mqtt"),
        broker=broker(f"password: {CANARY}"),
    ),
    broken(
        "a password lies deeper",
        (f"broker.admin.password: {NOT_SHOWN}", NO_VALUE, "secretops put broker-admin"),
        ("broker.admin: unknown key", BROKER_KEYS, "take it out"),
        broker=broker(f"admin: {{user: root, password: {CANARY}}}"),
    ),
    broken(
        "a password is a number",
        (f"broker.password: {NOT_SHOWN}", NO_VALUE, "secretops put mqtt"),
        broker=broker("password: 12345678"),
    ),
    broken(
        "an API key is the server's variable",
        (f"server.env.DO_AGENT_API_KEY: {NOT_SHOWN}", NO_VALUE, "secretops put agent-key"),
        ("server.env: unknown key", "a server of kind local has kind, source", "take it out"),
        server=f"{{kind: local, env: {{DO_AGENT_API_KEY: {CANARY}}}}}",
    ),
    broken(
        "tokens are a list",
        (f"server.tokens.0: {NOT_SHOWN}", NO_VALUE, "secretops put agent-key"),
        server=f"{{kind: local, tokens: [{CANARY}]}}",
    ),
    broken(
        "a token lies in a list of something else",
        (f"broker.topics.1: {NOT_SHOWN}", NO_VALUE, "secretops put mqtt"),
        broker=broker(f"topics: [a, dop_v1_{CANARY}]"),
    ),
    broken(
        "a PEM text stands for its path",
        (f"broker.ca_file: {NOT_SHOWN}", NO_VALUE, "secretops put client-cert"),
        broker=broker(f"ca_file: '-----BEGIN CERTIFICATE----- {CANARY}'"),
    ),
    broken(
        "a host is a URL with a password",
        (f"broker.host: {NOT_SHOWN}", NO_VALUE, "secretops put mqtt"),
        broker=host(f"'mqtts://{LOGIN}@mqtt.example.com'"),
    ),
    broken(
        "a host is a URL with a password that has a slash",
        (f"broker.host: {NOT_SHOWN}", NO_VALUE, "secretops put mqtt"),
        broker=host(f"'mqtts://{USER}:/{CANARY}@mqtt.example.com'"),
    ),
    broken(
        "a host has a password before it",
        (f"broker.host: {NOT_SHOWN}", NO_VALUE, "secretops put mqtt"),
        broker=host(f"'user:{CANARY}@mqtt.example.com'"),
    ),
    broken(
        "a URL with a password lies in the middle of a text",
        (f"broker.topics.0: {NOT_SHOWN}", NO_VALUE, "secretops put mqtt"),
        broker=broker(f"topics: ['see mqtts://{USER}:/{CANARY}@mqtt.example.com']"),
    ),
    broken(
        "a section has two values",
        (f"broker.password: {NOT_SHOWN}", NO_VALUE, "secretops put mqtt"),
        (f"broker.api_key: {NOT_SHOWN}", NO_VALUE, "secretops put agent-key"),
        broker=broker(f"password: {CANARY}, api_key: {CANARY}"),
    ),
    broken(
        "a whole section is a URL with a password",
        (f"log_level: {NOT_SHOWN}", NO_VALUE, "secretops put NAME"),
        log_level=f"'mqtts://{LOGIN}@mqtt.example.com'",
    ),
    broken(
        "a declared secret has its value",
        (f"secrets.db.connection_string: {NOT_SHOWN}", NO_VALUE, "secretops put db"),
        ("secrets.db.fields: missing", "no default", "add fields"),
        secrets=f"{{db: {{connection_string: {CANARY}}}}}",
    ),
    broken(
        "a declared field has its value",
        (f"secrets.db.fields.url: {NOT_SHOWN}", NO_VALUE, "secretops put db"),
        ("secrets.db.fields: a section", "a list", "fields: [...]"),
        secrets=f"{{db: {{fields: {{url: 'postgres://{LOGIN}@db.example.com'}}}}}}",
    ),
    broken(
        "an entry is encrypted",
        ("broker: a secure: entry", NO_VALUE, "secretops put mqtt"),
        broker=broker(f"password: {{secure: {CANARY}}}"),
    ),
    broken(
        "a whole section is encrypted",
        ("store: a secure: entry", NO_VALUE, "secretops put NAME"),
        store=f"{{secure: {CANARY}}}",
    ),
    # What is wrong on Kubernetes
    broken(
        "a server on kubernetes has no image",
        ("server.image: missing", "no default", "add image"),
        **on_kubernetes() | {"server": "{kind: kubernetes}"},
    ),
    *(
        broken(f"an image {how}", ("server.image: ", AN_IMAGE, "0.1.0"), **with_image(image))
        for how, image in {
            "is the latest": "registry.example.com/mcp:latest",
            "is the latest and has a digest": f"registry.example.com/mcp:latest@sha256:{'0' * 64}",
            "has no tag": "registry.example.com:5000/mcp",
            "has capitals": "registry.example.com/MCP:1",
            "has a space": "registry.example.com/mcp :1",
            "has a digest cut short": "registry.example.com/mcp@sha256:0123",
        }.items()
    ),
    *(
        broken(
            f"a namespace is {name}",
            (f'server.namespace: "{name[:50]}', "a namespace of its own", "like coreflux-mcp"),
            **on_kubernetes(f", namespace: {name}"),
        )
        for name in ("default", "kube-system", "kube-mcp", "Plant", "plant_7", "-plant", "x" * 64)
    ),
    broken(
        "a context is empty",
        ('server.context: ""', "a context of the kubeconfig", "kubectl config get-contexts"),
        **on_kubernetes(", context: ''"),
    ),
    broken(
        "no replica is asked for", ("server.replicas: 0", "from 1 to 100", "range"), **on_kubernetes(", replicas: 0")
    ),
    broken(
        "an allowed host has a port",
        ('server.allowed_hosts.0: "mcp.example.com:443"', "as clients write it", "like mcp.example.com"),
        **on_kubernetes(", allowed_hosts: ['mcp.example.com:443']"),
    ),
    broken(
        "a network is an address range",
        ('server.broker_cidrs.1: "10.0.0.1-10.0.0.9"', "CIDR notation", "10.20.0.0/16"),
        **on_kubernetes(", broker_cidrs: [10.0.0.0/8, 10.0.0.1-10.0.0.9]"),
    ),
    broken(
        "a network has host bits",
        ('server.api_server_cidrs.0: "10.0.0.1/8"', "its host bits zero", "10.20.0.0/16"),
        **on_kubernetes(", api_server_cidrs: [10.0.0.1/8]"),
    ),
    broken(
        "a client's network has host bits",
        ('server.client_cidrs.0: "10.0.0.1/8"', "its host bits zero", "10.20.0.0/16"),
        **on_kubernetes(", client_cidrs: [10.0.0.1/8]"),
    ),
    broken(
        "half of all addresses are clients",
        ('server.client_cidrs.1: "128.0.0.0/1"', "not everybody's", "10.20.0.0/16"),
        **on_kubernetes(", client_cidrs: [10.0.0.0/8, 128.0.0.0/1]"),
    ),
    broken(
        "a pull secret is no name",
        ('server.pull_secrets.0: "Docker Hub"', "a Kubernetes name", "as kubectl shows it"),
        **on_kubernetes(", pull_secrets: [Docker Hub]"),
    ),
    broken(
        "a token stands where a pull secret's name belongs",
        (f"server.pull_secrets.0: {NOT_SHOWN}", NO_VALUE, "secretops put"),
        **on_kubernetes(f", pull_secrets: [dop_v1_{CANARY}]"),
    ),
    broken(
        "a grace ends before a kubelet has brought the new value",
        ("rotation.grace_seconds: 179 with store kubernetes", "at least 180: a new value takes up to", "lengthen it"),
        **on_kubernetes(),
        rotation="{grace_seconds: 179}",
    ),
    broken(
        "no network is the broker's",
        ("server.broker_cidrs: an empty list", "at least one", "add"),
        **on_kubernetes(", broker_cidrs: []"),
    ),
    broken(
        "an operator has no name",
        ('store.operators.0: " "', "as the API server names it", "kubectl auth whoami"),
        **on_kubernetes() | {"store": "{kind: kubernetes, operators: [' ']}"},
    ),
    broken(
        "an operator's name is control characters",
        ("store.operators.0: ", "as the API server names it", "kubectl auth whoami"),
        **on_kubernetes() | {"store": '{kind: kubernetes, operators: ["\\a\\a"]}'},
    ),
    broken(
        "a password stands where an operator's name belongs",
        (f"store.operators.0: {NOT_SHOWN}", NO_VALUE, "secretops put"),
        **on_kubernetes() | {"store": f"{{kind: kubernetes, operators: ['https://{LOGIN}@idp.example.com']}}"},
    ),
    broken(
        "an issuer's kind is misspelt",
        ('server.certificate_issuer.kind: "ClusterIsuer"', "one of Issuer, ClusterIssuer", "mean ClusterIssuer?"),
        **on_kubernetes(", certificate_issuer: {kind: ClusterIsuer, name: ca}"),
        broker=broker("client_certificate: true"),
    ),
    broken(
        "an issuer has a key too many and no name",
        ("server.certificate_issuer.nam: unknown key", "certificate_issuer has kind, name", "did you mean name?"),
        ("server.certificate_issuer.name: missing", "no default", "add name"),
        **on_kubernetes(", certificate_issuer: {kind: Issuer, nam: ca}"),
        broker=broker("client_certificate: true"),
    ),
    broken(
        "a key is unknown beside an issuer",
        ("server.replica: unknown key", "a server of kind kubernetes has kind, image", "did you mean replicas?"),
        **on_kubernetes(", certificate_issuer: {kind: Issuer, name: ca}, replica: 3"),
        broker=broker("client_certificate: true"),
    ),
    broken(
        "a CA of the stack's own signs a certificate that no broker asks for",
        (
            "issuer.kind: private-ca, and the broker asks for no client certificate",
            "an issuer signs what the broker asks for",
            "add broker.client_certificate: true",
        ),
        issuer="{kind: private-ca}",
    ),
    broken(
        "a CA of the stack's own signs beside cert-manager",
        (
            "issuer.kind: private-ca, and server.certificate_issuer",
            "the client certificate has one issuer",
            "take out server.certificate_issuer, or the section issuer",
        ),
        **on_kubernetes(", certificate_issuer: {kind: Issuer, name: ca}"),
        broker=broker("client_certificate: true"),
        issuer="{kind: private-ca}",
    ),
    broken(
        "a CA ends before what it signs",
        (
            "issuer.ca_days: 200, with days 90",
            "a CA is replaced at two thirds of its life",
            "write 270 or more, or fewer days",
        ),
        broker=broker("client_certificate: true"),
        issuer="{kind: private-ca, days: 90, ca_days: 200}",
    ),
    broken(
        "a certificate is good for longer than the guide lets a secret be",
        ("issuer.days: 91", "from 1 to 90 days", "a number in that range"),
        broker=broker("client_certificate: true"),
        issuer="{kind: private-ca, days: 91}",
    ),
    broken(
        "a private CA's kind is misspelt",
        ('issuer.kind: "privat-ca"', "one of external, private-ca", "did you mean private-ca?"),
        broker=broker("client_certificate: true"),
        issuer="{kind: privat-ca}",
    ),
    broken(
        "an issuer signs a certificate that no broker asks for",
        (
            "server.certificate_issuer: without broker.client_certificate",
            "asks the server for",
            "client_certificate: true",
        ),
        **on_kubernetes(", certificate_issuer: {kind: Issuer, name: ca}"),
    ),
    broken(
        "the embedded broker is on another machine than the pods",
        ("broker.kind: embedded with server kubernetes", "no pod reaches", "kind coreflux or mosquitto"),
        **on_kubernetes(),
        broker="{kind: embedded}",
    ),
    broken(
        "a CA file for the pods is not there",
        ("broker.ca_file: /nowhere/ca.crt: No such file", "it is read here", "put it there"),
        **on_kubernetes(),
        broker=broker("ca_file: /nowhere/ca.crt"),
    ),
    broken(
        "a CA file for the pods is a folder",
        ("broker.ca_file: /: Is a directory", "it is read here", "name another"),
        **on_kubernetes(),
        broker=broker("ca_file: /"),
    ),
    broken(
        "a CA file for the pods has no certificate",
        ("broker.ca_file: /dev/null: no certificate in it", "a PEM file", "take it out if a public CA"),
        **on_kubernetes(),
        broker=broker("ca_file: /dev/null"),
    ),
    broken(
        "a declared secret's field is a file of the client certificate",
        ("secrets.client: its field key is the file client.key", "its client certificate", "rename"),
        **on_kubernetes(),
        secrets="{client: {fields: [key, id]}}",
    ),
    # What is wrong on AWS
    broken(
        "an account is a number",
        ("store.account: a number", "its twelve digits, in quotes: YAML reads", "put quotes around them"),
        **in_account("123456789012"),
    ),
    broken(
        "an account is a number that YAML reads as an octal one",
        ("store.account: a number", "its twelve digits, in quotes: YAML reads", "put quotes around them"),
        **in_account("012345670123"),
    ),
    broken(
        "an account is cut short",
        ('store.account: "12345678901"', "twelve digits", "aws sts get-caller-identity"),
        **in_account("'12345678901'"),
    ),
    broken(
        "a server on ecs has neither image nor network",
        ("server.image: missing", "no default", "add image"),
        ("server.subnets: missing", "no default", "add subnets"),
        ("server.security_groups: missing", "no default", "add security_groups"),
        **on_aws() | {"server": "{kind: ecs}"},
    ),
    broken("nobody operates", ("store.operators: an empty list", "at least one", "add"), **operated_by()),
    broken(
        "an operator is a name",
        ('store.operators.0: "alice"', "the ARN of a role or a user", "write it like arn:aws:iam"),
        **operated_by("alice"),
    ),
    broken(
        "an operator is everybody",
        ('store.operators.0: "arn:aws:iam::123456789012:role/*"', "no wildcard", "write it like"),
        **operated_by("arn:aws:iam::123456789012:role/*"),
    ),
    broken(
        "an operator is of another account",
        ("store.operators.0: of account 210987654321", "own account, 123456789012", "name a role there"),
        **operated_by("arn:aws:iam::210987654321:role/ops"),
    ),
    broken(
        "there are more operators than the alarm's filter takes",
        ("store.operators: 20 of them", "1024 characters", "name one role"),
        **operated_by(*(f"arn:aws:iam::123456789012:role/operator-{at}" for at in range(20))),
    ),
    broken(
        "a password stands where an operator belongs",
        (f"store.operators.0: {NOT_SHOWN}", NO_VALUE, "secretops put"),
        **operated_by(f"https://{LOGIN}@idp.example.com"),
    ),
    broken(
        "a replica is where the secret is",
        ("store.replicas: eu-central-1", "another region", "take it out"),
        **on_aws(", replicas: [eu-central-1]"),
    ),
    broken(
        "a replica is a city",
        ('store.replicas.0: "Dublin"', "an AWS region's code", "like eu-central-1"),
        **on_aws(", replicas: [Dublin]"),
    ),
    broken(
        "a function in a VPC has no way out",
        ("store.vpc: neither an endpoint nor a NAT", "only by one of them", "add way_out"),
        **on_aws(f", vpc: {{subnets: [{SUBNET}], security_groups: [{GROUP}]}}"),
    ),
    broken(
        "a way out is an internet gateway",
        ('store.vpc.way_out: "igw-0123456789abcdef0"', "or the NAT gateway", "vpce-0123456789abcdef0"),
        **on_aws(f", vpc: {{subnets: [{SUBNET}], security_groups: [{GROUP}], way_out: igw-0123456789abcdef0}}"),
    ),
    broken(
        "a VPC's key is misspelt",
        ("store.vpc.subnet: unknown key", "vpc has subnets, security_groups, way_out", "did you mean subnets?"),
        ("store.vpc.subnets: missing", "no default", "add subnets"),
        **on_aws(f", vpc: {{subnet: [{SUBNET}], security_groups: [{GROUP}], way_out: nat-0123456789abcdef0}}"),
    ),
    broken(
        "a security group stands for a subnet",
        (f'server.subnets.0: "{GROUP}"', "the id of a subnet", "like subnet-0123456789abcdef0"),
        **on_aws(subnets=GROUP),
    ),
    broken(
        "records are kept for a number of days that CloudWatch does not know",
        ("store.retention_days: 100", "CloudWatch Logs can keep", "write 120"),
        **on_aws(", retention_days: 100"),
    ),
    broken(
        "records are kept for longer than CloudWatch does",
        ("store.retention_days: 4000", "CloudWatch Logs can keep", "write 3653"),
        **on_aws(", retention_days: 4000"),
    ),
    broken(
        "a VPC's key stands beside it",
        ("store.way_out: unknown key", "a store of kind aws has kind", "did you mean store.vpc.way_out?"),
        **on_aws(", way_out: nat-0123456789abcdef0"),
    ),
    broken(
        "a subnet is there twice",
        (f'server.subnets: "{SUBNET}" twice', "each entry once", "take out"),
        **on_aws(subnets=f"{SUBNET}, {OTHER_SUBNET}, {SUBNET}"),
    ),
    broken(
        "an operator is the session of a role",
        (
            'store.operators.0: "arn:aws:sts::123456789012:assumed-role/ops/me"',
            "the ARN of a role",
            "write arn:aws:iam::123456789012:role/ops, with its path",
        ),
        **operated_by("arn:aws:sts::123456789012:assumed-role/ops/me"),
    ),
    broken("a generation is 0", ("store.generation: 0", "from 1 to 999", "range"), **on_aws(", generation: 0")),
    broken(
        "an e-mail address is a name",
        ('store.alert_emails.0: "ops"', "an e-mail address", "like ops@example.com"),
        **on_aws(", alert_emails: [ops]"),
    ),
    broken(
        "somebody else's topic has the stack's subscribers",
        ("store.alert_emails: with store.alert_topic", "whoever keeps a topic", "take the topic out"),
        **on_aws(", alert_emails: [ops@example.com], alert_topic: 'arn:aws:sns:eu-central-1:123456789012:alarms'"),
    ),
    broken(
        "a topic is a name",
        ('store.alert_topic: "alarms"', "the ARN of an SNS topic", "aws sns list-topics"),
        **on_aws(", alert_topic: alarms"),
    ),
    broken(
        "a topic is a queue",
        ('store.alert_topic: "arn:aws:sqs', "the ARN of an SNS topic", "aws sns list-topics"),
        **on_aws(", alert_topic: 'arn:aws:sqs:eu-central-1:123456789012:alarms'"),
    ),
    broken(
        "a topic is of another region",
        ("store.alert_topic: of region eu-west-1", "own region, eu-central-1", "name one there"),
        **on_aws(", alert_topic: 'arn:aws:sns:eu-west-1:123456789012:alarms'"),
    ),
    broken(
        "a topic is of another account",
        ("store.alert_topic: of account 210987654321", "own account, 123456789012", "name one there"),
        **on_aws(", alert_topic: 'arn:aws:sns:eu-central-1:210987654321:alarms'"),
    ),
    broken(
        "a trail is a bucket",
        ('store.existing_trail.arn: "arn:aws:s3', "the ARN of a CloudTrail trail", "describe-trails"),
        **on_aws(", existing_trail: {arn: 'arn:aws:s3:eu-central-1:123456789012:bucket', log_group: all}"),
    ),
    *(
        broken(
            f"the region {region} is of another partition",
            (f'store.region: "{region}"', "of the partition aws or aws-us-gov", "like eu-central-1"),
            **on_aws() | {"store": AWS_STORE.replace("eu-central-1", region, 1)},
        )
        for region in ("cn-north-1", "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "eusc-de-east-1")
    ),
    broken(
        "an operator is of another partition",
        ("store.operators.0: of partition aws-us-gov", "own partition, aws", "name a role there"),
        **operated_by("arn:aws-us-gov:iam::123456789012:role/ops"),
    ),
    broken(
        "an operator is of a partition that is not known",
        ('store.operators.0: "arn:aws-cn:iam', "the ARN of a role or a user", "write it like arn:aws:iam"),
        **operated_by("arn:aws-cn:iam::123456789012:role/ops"),
    ),
    broken(
        "a replica is of another partition",
        ("store.replicas: us-gov-west-1 of partition aws-us-gov", "within a partition", "take it out"),
        **on_aws(", replicas: [us-gov-west-1]"),
    ),
    broken(
        "a bucket is to be locked in a way that S3 does not know",
        ('store.object_lock: "legal"', "one of governance, compliance", "write one of them"),
        **on_aws(", object_lock: legal"),
    ),
    broken(
        "a load balancer has one subnet",
        ("server.subnets: one, with server.load_balancer", "at least two availability zones", "another zone"),
        **on_aws(server=balanced(), subnets=SUBNET),
    ),
    broken(
        "a load balancer has as many tasks as the default",
        ("server.replicas: 2 with server.load_balancer", "keep no cookie", "write replicas: 1"),
        **on_aws(server=balanced(tasks="")),
    ),
    broken(
        "a load balancer's certificate is of another region",
        ("server.load_balancer.certificate: of region us-east-1", "own region, eu-central-1", "ask ACM"),
        **on_aws(server=balanced(place="us-east-1:123456789012")),
    ),
    broken(
        "a load balancer's certificate is of another account",
        ("server.load_balancer.certificate: of account 210987654321", "own account, 123456789012", "ask ACM"),
        **on_aws(server=balanced(place="eu-central-1:210987654321")),
    ),
    broken(
        "a load balancer's certificate is another service's",
        ('server.load_balancer.certificate: "arn:aws:sns', "the ARN of a certificate of ACM", "list-certificates"),
        **on_aws(server=balanced(kind="sns")),
    ),
    broken(
        "a grace is over before a new deployment has brought the new value",
        ("rotation.grace_seconds: 1019 with reference NativeRef", "at least 1020: a new value waits 120 s", "lengthen"),
        rotation="{grace_seconds: 1019}",
        **on_aws(),
    ),
    broken(
        "a grace is over before a launcher has looked",
        ("rotation.grace_seconds: 239 with reference Fetched", "at least 240: the launcher looks", "lengthen it"),
        rotation="{grace_seconds: 239}",
        **on_aws(server=", reference: Fetched"),
    ),
    broken(
        "an existing trail has no log group",
        ("store.existing_trail.log_group: missing", "no default", "add log_group"),
        **on_aws(", existing_trail: {arn: 'arn:aws:cloudtrail:eu-central-1:123456789012:trail/org'}"),
    ),
    broken(
        "a reference is misspelt",
        ('server.reference: "Fetch"', "one of NativeRef, Fetched", "mean Fetched?"),
        **on_aws(server=", reference: Fetch"),
    ),
    broken(
        "a certificate is to be injected",
        ("server.reference: NativeRef with broker.client_certificate", "injects variables", "reference: Fetched"),
        **on_aws(),
        broker=broker("client_certificate: true"),
    ),
    broken(
        "a secret of the stack's own is to be fetched",
        ("secrets.db: read by the server, with reference Fetched", "sees no other", "reference: NativeRef"),
        **on_aws(server=", reference: Fetched"),
        secrets="{db: {fields: [url]}, licence: {fields: [key], readers: [rotator]}}",
    ),
    broken(
        "a load balancer's certificate is for no name",
        ("server.load_balancer: without server.allowed_hosts", "which the launcher has to know", "add allowed_hosts"),
        **on_aws(
            server=f", replicas: 1, load_balancer: {{vpc: vpc-0123456789abcdef0, security_groups: [{GROUP}], "
            "certificate: 'arn:aws:acm:eu-central-1:123456789012:certificate/0'}"
        ),
    ),
    broken(
        "a load balancer's key is unknown",
        ("server.load_balancer.port: unknown key", "load_balancer has vpc, security_groups, certificate", "take it"),
        **on_aws(server=balanced().replace("{vpc", "{port: 443, vpc")),
    ),
    broken(
        "a cluster is an ARN",
        ('server.cluster: "arn:aws:ecs', "a cluster's name", "write x"),
        **on_aws(server=", cluster: 'arn:aws:ecs:eu-central-1:123456789012:cluster/x'"),
    ),
    broken(
        "a cluster has a space",
        ('server.cluster: "my x"', "a cluster's name", "the stack makes one"),
        **on_aws(server=", cluster: my x"),
    ),
    broken(
        "the embedded broker is on another machine than the tasks",
        ("broker.kind: embedded with server ecs", "no task reaches", "kind coreflux or mosquitto"),
        **on_aws(),
        broker="{kind: embedded}",
    ),
    broken(
        "a CA file for the tasks is not there",
        ("broker.ca_file: /nowhere/ca.crt: No such file", "the tasks and the functions", "put it there"),
        **on_aws(),
        broker=broker("ca_file: /nowhere/ca.crt"),
    ),
    # What is wrong between AWS and a server elsewhere
    broken(
        "nobody is named whom the launcher reads as",
        ("server.reader: missing with store aws", "the launcher reads as", "add reader: arn:aws:iam"),
        **aws_with("{kind: local}"),
    ),
    broken(
        "a reader has no ARN",
        ('server.reader: "developer"', "the ARN of a role or a user", "write it like arn:aws:iam"),
        **aws_with("{kind: local, reader: developer}"),
    ),
    broken(
        "a reader is of another account",
        ("server.reader: of account 210987654321", "own account, 123456789012", "name one there"),
        **aws_with("{kind: local, reader: 'arn:aws:iam::210987654321:user/alice'}"),
    ),
    broken(
        "a folder's store is told of a reader and a place",
        ("server.reader: with store dotenv", "for store aws", "take it out"),
        ("server.folder: with store dotenv", "for store aws", "take it out"),
        server=f"{{kind: local, reader: '{READER}', folder: /srv/mcp}}",
    ),
    broken(
        "a local server's broker is where no function reaches it, and more",
        ("broker.kind: embedded with store aws", "no function reaches", "kind coreflux or mosquitto"),
        ("server.reader: missing with store aws", "has to know", "add reader"),
        broker="{kind: embedded}",
        **aws_with("{kind: local, folder: /srv/mcp}"),
    ),
    broken(
        "a declared secret is for a server on this machine that fetches",
        ("secrets.db: read by the server, with store aws and server local", "sees no other", "readers: [rotator]"),
        secrets="{db: {fields: [url]}}",
        **aws_with(f"{{kind: local, reader: '{READER}'}}"),
    ),
    broken(
        "the filter of the alarm has no room for the reader",
        ("store.operators: 10 of them", "1024 characters", "name one role"),
        **operated_by(*(f"arn:aws:iam::123456789012:role/operator-{at}" for at in range(10)))
        | {"server": f"{{kind: local, reader: '{READER}'}}"},
    ),
    broken(
        "AWS does not know the cluster's service accounts",
        ("server.oidc_provider: missing with store aws", "whose tokens AWS has to know", "list-open-id-connect"),
        **aws_with_kubernetes(""),
    ),
    broken(
        "an OIDC provider is given by its address",
        ('server.oidc_provider: "https://oidc.eks', "the ARN of the account's OIDC provider", "shows it"),
        **aws_with_kubernetes(", oidc_provider: 'https://oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF'"),
    ),
    broken(
        "an OIDC provider is of another account",
        ("server.oidc_provider: of account 210987654321", "own account, 123456789012", "name one there"),
        **aws_with_kubernetes(f", oidc_provider: '{OIDC.replace('123456789012', '210987654321')}'"),
    ),
    broken(
        "a cluster's own store is told of an OIDC provider",
        ("server.oidc_provider: with store kubernetes", "for store aws", "take it out"),
        **on_kubernetes(f", oidc_provider: '{OIDC}'"),
    ),
    broken(
        "a grace is over before a copy is in the pods",
        ("rotation.grace_seconds: 239 with store aws", "at least 240: a new value takes up to three", "lengthen it"),
        rotation="{grace_seconds: 239}",
        **aws_with_kubernetes(),
    ),
    # All at once
    broken(
        "a section has keys of another kind, and lacks what its own needs with the store",
        ("server.image: unknown key", "a server of kind local has", "take it out"),
        ("server.subnets: unknown key", "a server of kind local has", "take it out"),
        ("server.reader: missing with store aws", "the launcher reads as", "add reader: arn:aws:iam"),
        **aws_with(f"{{kind: local, image: '{IMAGE}', subnets: [{SUBNET}]}}"),
    ),
    broken(
        "a section within a section has a key too many, and contradicts another",
        ("server.load_balancer.port: unknown key", "load_balancer has vpc", "take it"),
        ("server.replicas: 2 with server.load_balancer", "keep no cookie", "write replicas: 1"),
        **on_aws(server=balanced(tasks="").replace("{vpc", "{port: 443, vpc")),
    ),
    broken(
        "two things are wrong",
        ("broker.port: 0", "from 1 to 65535", "range"),
        ('log_level: "LOUD"', ONE_LEVEL, "write one of them"),
        broker=broker("port: 0"),
        log_level="LOUD",
    ),
    broken(
        "seven things are wrong",
        ("broker: missing", "which broker", "add a section"),
        ("store.root: 5", "text", "quotes"),
        ("store.colour: unknown key", "has kind, root, deliver", "take it out"),
        (f"server.token: {NOT_SHOWN}", NO_VALUE, "secretops put agent-key"),
        ('server.source: "upstream"', "an absolute path", "from / on"),
        ("rotation.mqtt_days: 91", DAYS, "range"),
        ("shade: unknown section", ALL_SECTIONS, "take it out"),
        broker=None,
        store="{kind: dotenv, root: 5, colour: red}",
        server=f"{{kind: local, token: {CANARY}, source: upstream}}",
        rotation="{mqtt_days: 91}",
        shade="{}",
    ),
    broken(
        "an error and a contradiction",
        ("rotation.mqtt_days: 0", DAYS, "range"),
        ("broker.tls: false in production", "only sent over TLS", "take it out"),
        ("store dotenv with server kubernetes: cannot work", "one machine", "goes with"),
        stack="prod",
        broker=broker("tls: false"),
        server=on_kubernetes()["server"],
        rotation="{mqtt_days: 0}",
    ),
]


@pytest.mark.parametrize(("stack", "sections", "told"), BROKEN)
def test_a_broken_stack_file_is_refused_with_value_rule_and_remedy_when(
    stack: str, sections: dict[str, str | None], told: tuple[Told, ...]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        stack_file(**sections).parse(stack)

    text = str(caught.value)
    found = sorted(caught.value.problems, key=lambda problem: problem.what)
    assert len(found) == len(told), text
    for problem, (what, rule, remedy) in zip(found, sorted(told), strict=True):
        assert problem.what.startswith(what)
        assert rule in problem.rule
        assert remedy in problem.remedy
        assert all(part in " ".join(text.split()) for part in (problem.what, problem.rule, problem.remedy))
    assert CANARY not in text
    assert CANARY not in repr(caught.value.problems)


OWN_BROKER = "name your broker: kind coreflux or mosquitto, and its host"
NO_TLS = "take it out; a private CA goes into broker.ca_file"
BY_NAME = ", which follows from the stack's name"


@pytest.mark.parametrize(
    ("stack", "environment", "entry", "what", "remedy"),
    [
        (
            "plant",
            None,
            "{kind: embedded}",
            f"kind: embedded in production{BY_NAME}",
            f"{OWN_BROKER}; or write environment: development",
        ),
        (
            "staging",
            None,
            "{kind: embedded}",
            f"kind: embedded in staging{BY_NAME}",
            f"{OWN_BROKER}; or write environment: development",
        ),
        ("plant", "production", "{kind: embedded}", "kind: embedded in production", OWN_BROKER),
        ("dev", "staging", "{kind: embedded}", "kind: embedded in staging", OWN_BROKER),
        ("plant", None, broker("tls: false"), f"tls: false in production{BY_NAME}", NO_TLS),
        ("plant", "production", broker("tls: false"), "tls: false in production", NO_TLS),
    ],
)
def test_what_an_environment_forbids_says_so_when_the_stacks_name_alone_made_it_that_environment(
    stack: str, environment: str | None, entry: str, what: str, remedy: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        stack_file(environment=environment, broker=entry).parse(stack)

    (problem,) = caught.value.problems
    assert (problem.what, problem.remedy) == (f"broker.{what}", remedy)


def test_the_embedded_broker_is_for_a_stack_of_any_name_that_says_it_is_for_development() -> None:
    stack_file(environment="development", broker="{kind: embedded}").parse("plant")


@pytest.mark.parametrize(("certificates", "good"), [(40, True), (150, False)])
def test_a_whole_bundle_of_cas_is_refused_where_it_goes_into_a_task_definition(
    tmp_path: Path, certificates: int, good: bool
) -> None:
    bundle = tmp_path / "bundle.crt"
    bundle.write_bytes(ca_file(tmp_path).read_bytes() * certificates)
    file = stack_file(**on_aws(), broker=broker(f"ca_file: {bundle}"))

    if good:
        file.parse("prod")
        return
    with pytest.raises(ConfigurationError, match=r"\d+ bytes of certificates\n +at most 49152(.|\n)*the one CA's"):
        file.parse("prod")


def test_a_whole_bundle_of_cas_is_good_where_it_is_a_file(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.crt"
    bundle.write_bytes(ca_file(tmp_path).read_bytes() * 150)

    stack_file(**on_kubernetes(), broker=broker(f"ca_file: {bundle}")).parse("prod")


@pytest.mark.parametrize(
    ("store", "told"),
    [
        (AWS_STORE.replace("eu-central-1", "eu-wset-1"), ["store.region: eu-wset-1", "did you mean eu-west-1?"]),
        (f"{AWS_STORE.removesuffix('}')}, replicas: [sa-esat-1]}}", ["store.replicas: sa-esat-1", "mean sa-east-1?"]),
        (in_govcloud().replace("us-gov-west-1", "us-gov-wset-1"), ["us-gov-wset-1", "did you mean us-gov-west-1?"]),
        (AWS_STORE.replace("eu-central-1", "mx-northwest-9"), ["store.region: mx-northwest-9", "If it is newer"]),
        (f"{AWS_STORE.removesuffix('}')}, replicas: [eu-west-1]}}", []),
        (in_govcloud(), []),
        ("{kind: dotenv}", []),
    ],
)
def test_a_region_that_the_sdk_does_not_know_is_warned_of_and_goes_on(store: str, told: list[str]) -> None:
    server = {} if "dotenv" in store else {"server": on_aws()["server"]}

    found = list(doubts(stack_file(store=store, **server).parse("prod").store))

    assert len(found) == bool(told)
    assert all(part in one for one in found for part in told)


def test_the_engine_is_told_of_a_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the engine's log."""
    warned: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warned.append)
    file = stack_file(**on_aws() | {"store": AWS_STORE.replace("eu-central-1", "eu-wset-1")})
    before = dict(pulumi.runtime.config.CONFIG.get())
    pulumi.runtime.set_all_config({f"coreflux-mcp-secrets:{name}": text for name, text in file.entries.items()})
    try:
        Settings.load()
    finally:
        pulumi.runtime.set_all_config(before, [])

    (one,) = warned
    assert "did you mean eu-west-1?" in one


def test_a_refusal_fits_a_terminal_and_breaks_no_word() -> None:
    file = stack_file(**on_aws(", colour: red") | {"secrets": "{db: {fields: [url], readers: [x]}}"})
    with pytest.raises(ConfigurationError) as caught:
        file.parse("prod")

    lines = str(caught.value).splitlines()
    assert len(lines) > 7, "the keys of the store need more than one line"
    assert all(len(line) <= WIDTH for line in lines)
    for problem in caught.value.problems:
        assert problem.rule in " ".join(str(problem).split())


def test_what_is_wrong_at_the_end_of_an_arn_is_shown() -> None:
    path = "x" * 40
    with pytest.raises(ConfigurationError) as caught:
        stack_file(**operated_by(f"arn:aws:iam::123456789012:role/{path}/secrets-operator*")).parse("prod")
    assert f"role/{path}/secrets-operator*" in str(caught.value)

    with pytest.raises(ConfigurationError) as caught:
        stack_file(**operated_by(f"arn:aws:iam::123456789012:role/{'x' * 512}/secrets-operator*")).parse("prod")
    assert re.search(
        r'"arn:aws:iam::123456789012:role/x+ \.\.\. x+/secrets-operator\*"', " ".join(str(caught.value).split())
    )
    assert "x" * 100 not in str(caught.value)


def test_a_ca_of_an_old_bundle_is_read_without_a_word(tmp_path: Path) -> None:
    """Its serial number is negative, which RFC 5280 forbids and cryptography warns of."""
    written = ca_file(tmp_path)
    der = ssl.PEM_cert_to_DER_cert(written.read_text())
    version = bytes.fromhex("a003020102")
    before, after = der.split(version, 1)
    assert after[0] == 2, "an integer comes next: the serial number, its length and its first byte"
    old = before + version + after[:2] + bytes([after[2] | 0x80]) + after[3:]
    written.write_text(ssl.DER_cert_to_PEM_cert(old))
    with pytest.warns(CryptographyDeprecationWarning):
        x509.load_pem_x509_certificates(written.read_bytes())

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ca_bundle(str(written)).count("BEGIN CERTIFICATE") == 1


def pem(label: str, body: str) -> str:
    """A block, whatever is in it. Its label is put together here: a scanner takes a whole one for a key."""
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"


@pytest.mark.parametrize("label", ["CERTIFICATE", "X509 CERTIFICATE"])
def test_of_a_file_the_certificates_are_taken_and_nothing_that_lies_beside_them(tmp_path: Path, label: str) -> None:
    written = ca_file(tmp_path)
    one = written.read_text()
    key = pem("PRIVATE " + "KEY", "A" * 64)
    written.write_text(f"Bag Attributes\n{key}{one.replace('CERTIFICATE', label)}{key}{one}")
    assert ca_bundle(str(written)) == one + one


@pytest.mark.parametrize("wrong", ["...", "MIIC", "A" * 64, "MIIC" + "9" * 96])
@pytest.mark.parametrize("where", [0, 1, 2])
def test_a_bundle_with_a_block_that_is_no_certificate_is_refused(tmp_path: Path, wrong: str, where: int) -> None:
    written = ca_file(tmp_path)
    blocks = [written.read_text()] * 2
    written.write_text("".join([*blocks[:where], pem("CERTIFICATE", wrong), *blocks[where:]]))
    with pytest.raises(ValueError, match=r"\S"):
        ca_bundle(str(written))


def test_a_certificate_without_its_end_is_refused_and_not_read_on_into_what_follows(tmp_path: Path) -> None:
    written = ca_file(tmp_path)
    one = written.read_text()
    begun = one.partition("-----END")[0]
    for text in (begun, begun + one, begun + pem("PRIVATE " + "KEY", "A" * 64) + one):
        written.write_text(text)
        with pytest.raises(ValueError, match="without its end"):
            ca_bundle(str(written))


def test_what_follows_a_certificate_in_its_block_is_refused(tmp_path: Path) -> None:
    written = ca_file(tmp_path)
    der = ssl.PEM_cert_to_DER_cert(written.read_text())
    written.write_text(ssl.DER_cert_to_PEM_cert(der + b"\x30\x89" + b"more" * 8))
    with pytest.raises(ValueError, match=r"\S"):
        ca_bundle(str(written))


def test_there_are_at_least_forty_broken_stack_files() -> None:
    assert len(BROKEN) >= 40


def test_a_refusal_is_a_run_error_so_that_the_engine_shows_no_traceback() -> None:
    with pytest.raises(pulumi.RunError) as caught:
        stack_file(broker=None, log_level="LOUD").parse("dev")

    assert str(caught.value).startswith("Pulumi.dev.yaml has 2 errors; nothing was changed:")
    assert caught.value.__cause__ is None


def test_no_message_speaks_as_the_validation_library_does() -> None:
    for case in BROKEN:
        stack, sections, _ = case.values
        with pytest.raises(ConfigurationError) as caught:
            stack_file(**sections).parse(stack)
        for phrase in ("nput should", "pattern", "tuple", "pydantic", "validation", "None", "[key]", "^"):
            assert phrase not in str(caught.value), case.id


@pytest.mark.parametrize(
    "sections",
    [
        {"secrets": "{api-key: {fields: [token, password]}, token: {fields: [connection-string]}}"},
        {"secrets": "{}"},
        {"rotation": "{}"},
        {"broker": broker("port: ~")},
        {"broker": broker("topics: ['plant/+/#']")},
        {"store": "{kind: dotenv, root: '/srv/my secrets'}"},
        {"rotation": "{mqtt_days: 90, broker_admin_days: 1, agent_key_days: 183, grace_seconds: 0}"},
        {"broker": broker("port: 65535, protocol: 3.1.1, client_certificate: true")},
        on_kubernetes(", namespace: plant-7, replicas: 1, broker_cidrs: ['2001:db8::/32'], context: 'arn:aws:eks:x/y'"),
        on_kubernetes() | {"store": "{kind: kubernetes, operators: ['oidc:alice@example.com', x]}"},
        with_image(f"{IMAGE}@sha256:{'0' * 64}"),
        with_image(f"registry.example.com:5000/a/b-c/mcp@sha256:{'0' * 64}"),
        with_image("mcp:1"),
        on_aws(
            ", replicas: [eu-west-1, us-east-1], generation: 2, retention_days: 3653", ", cluster: a-b_c, replicas: 1"
        ),
        on_aws(f", vpc: {{subnets: [{SUBNET}], security_groups: [{GROUP}], way_out: nat-0123456789abcdef0}}"),
        operated_by("arn:aws:iam::123456789012:user/ops/alice@example.com", OPERATOR),
        on_aws(server=balanced()),
        on_aws(", object_lock: compliance") | {"rotation": "{grace_seconds: 1020}"},
        on_aws(server=", reference: Fetched") | {"rotation": "{grace_seconds: 240}"},
        on_aws() | {"store": in_govcloud()},
        on_kubernetes(", copilot_cidrs: [], client_cidrs: ['fd00::/8'], pull_secrets: [registry.example.com]"),
        on_kubernetes() | {"rotation": "{grace_seconds: 180}"},
        aws_with_kubernetes() | {"rotation": "{grace_seconds: 240}", "secrets": "{db: {fields: [url]}}"},
        aws_with(f"{{kind: local, reader: '{READER}', folder: /srv/mcp}}") | {"rotation": "{grace_seconds: 1}"},
    ],
    ids=lambda sections: "; ".join(f"{name}: {text}" for name, text in sections.items()),
)
def test_a_stack_file_at_the_edge_of_the_rules_is_good(sections: dict[str, str]) -> None:
    stack_file(**sections).parse("dev")


def shipped(stack: str) -> StackFile:
    return StackFile.read((PROJECT_FOLDER / f"Pulumi.{stack}.yaml").read_text())


def test_the_dev_stack_is_a_folder_a_local_server_and_the_embedded_broker() -> None:
    settings = shipped("dev").parse("dev")

    assert settings.environment is Environment.DEVELOPMENT
    assert settings.store == DotenvStore(kind="dotenv", root=".coreflux-mcp", deliver="variables")
    assert settings.server.kind == "local"
    assert settings.broker == EmbeddedBroker(kind="embedded", port=1883)
    assert settings.log_level == "DEBUG"
    assert {secret.name: secret.cadence_days for secret in settings.catalogue} == {
        "broker-admin": 90,
        "mqtt": 90,
        "agent-key": 180,
    }
    assert next_step(settings) == "secretops broker start, then secretops tick, then secretops status"


def test_what_make_up_lays_down_in_dev_is_ignored_by_git() -> None:
    store = shipped("dev").parse("dev").store

    assert isinstance(store, DotenvStore)
    laid = [store.root, str(LocalServer(kind="local").entry_folder.relative_to(PROJECT_FOLDER))]
    asked = ["git", "-C", str(PROJECT_FOLDER), "check-ignore", *(f"{folder}/any" for folder in laid)]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert told.split() == [f"{folder}/any" for folder in laid]


EXAMPLES = sorted((PROJECT_FOLDER / "examples").glob("Pulumi.*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short_says_what_to_change_and_is_good_but_for_a_file_that_is_your_own(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# Copy it beside Pulumi.yaml; put your ")
    assert len(text.splitlines()) <= 20

    with pytest.raises(ConfigurationError) as caught:
        StackFile.read(text).parse(path.name.split(".")[1])

    wrong = [problem.what.partition(": ")[0] for problem in caught.value.problems]
    assert wrong and set(wrong) <= {"broker.ca_file", "store.ca_file"}


def test_there_is_an_example_of_each_pair_that_no_shipped_stack_is() -> None:
    def pair(path: Path) -> tuple[str, str]:
        entries = StackFile.read(path.read_text()).entries
        return json.loads(entries["store"])["kind"], json.loads(entries["server"])["kind"]

    shipped_pairs = {pair(PROJECT_FOLDER / f"Pulumi.{stack}.yaml") for stack in ("dev", "staging", "prod")}
    wired = {(store, server) for store in StoreKind for server in PAIRS[store] if can_be_deployed(store, server)}
    assert shipped_pairs | {pair(path) for path in EXAMPLES} == wired


@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_a_shipped_stack_is_good_but_for_a_file_that_is_your_own(stack: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        shipped(stack).parse(stack)

    (problem,) = caught.value.problems
    assert problem.what.startswith(f"broker.ca_file: /etc/ssl/certs/{stack}-ca.crt: ")
    assert "take it out if a public CA" in problem.remedy


@pytest.mark.parametrize(("stack", "server"), [("staging", "staging"), ("prod", "prod")])
def test_a_shipped_stack_on_a_built_platform_is_as_the_guide_has_it(stack: str, server: str) -> None:
    entries = {**shipped(stack).entries, "store": '{"kind": "dotenv"}', "server": '{"kind": "local"}'}

    settings = Settings.parse(stack, entries)

    assert isinstance(settings.broker, OutsideBroker)
    assert settings.broker.host == f"{server}-mqtt.example.com"
    assert settings.broker.ca_file == f"/etc/ssl/certs/{server}-ca.crt"
    assert (settings.broker.tls, settings.broker.listening_port) == (True, 8883)
    assert settings.log_level == {"staging": "INFO", "prod": "WARNING"}[stack]


def test_what_a_stack_file_does_not_say_has_the_guides_default() -> None:
    settings = stack_file().parse("prod")

    assert settings.rotation == Rotation(mqtt_days=90, broker_admin_days=90, agent_key_days=180, grace_seconds=3600)
    assert isinstance(settings.broker, OutsideBroker)
    assert settings.broker.tls
    assert settings.broker.listening_port == 8883
    assert settings.broker.protocol.value == "5"
    assert not settings.broker.client_certificate
    assert next_step(settings).startswith("secretops put broker-admin")


def test_without_tls_a_broker_listens_on_1883_unless_told() -> None:
    def port(entry: str) -> int:
        found = stack_file(broker=broker(entry)).parse("dev").broker
        assert isinstance(found, OutsideBroker)
        return found.listening_port

    assert [port("tls: false"), port("tls: false, port: 1884"), port("port: 1884")] == [1883, 1884, 1884]


@pytest.mark.parametrize(
    ("stack", "environment", "level"),
    [
        ("dev", "development", "DEBUG"),
        ("dev-alice", "development", "DEBUG"),
        ("development", "development", "DEBUG"),
        ("Dev2", "development", "DEBUG"),
        ("staging", "staging", "INFO"),
        ("stage.eu", "staging", "INFO"),
        ("prod", "production", "WARNING"),
        ("devices", "production", "WARNING"),
        ("plant-7", "production", "WARNING"),
    ],
)
def test_a_stacks_name_says_its_environment_and_the_strictest_if_it_says_nothing(
    stack: str, environment: str, level: str
) -> None:
    settings = stack_file().parse(stack)

    assert (settings.environment, settings.log_level) == (environment, level)


def test_what_is_said_wins_over_the_name_and_the_default() -> None:
    settings = stack_file(environment="staging", log_level="ERROR").parse("dev")

    assert (settings.environment, settings.log_level) == (Environment.STAGING, "ERROR")


def test_a_client_certificate_is_a_secret_only_where_the_broker_asks_for_one() -> None:
    def names(**sections: str) -> list[str]:
        return [secret.name for secret in stack_file(**sections).parse("dev").catalogue]

    assert "client-cert" in names(broker=broker("client_certificate: true"))
    assert "client-cert" not in names()


def test_the_engines_reading_of_yaml_is_what_the_stand_in_says() -> None:
    """The very text that `pulumi preview` 3.272 was given, and what it handed to a program."""
    text = """
config:
  coreflux-mcp-secrets:a: ~
  b:
  c: {port: 1883, tls: no, q: "no", t: true, n: null, l: [1, two, {x: 3}], e: "", p: 3.1.1}
  d: 5
  e: true
  f: word
  g: {password: {secure: AAAA}}
"""
    file = StackFile.read(text)

    assert file.entries == {
        "a": "",
        "b": "",
        "c": '{"port": 1883, "tls": "no", "q": "no", "t": true, "n": null, "l": [1, "two", {"x": 3}], "e": "", '
        '"p": "3.1.1"}',
        "d": "5",
        "e": "true",
        "f": "word",
        "g": '{"password": "AAAA"}',
    }
    assert file.encrypted == ["g"]


def test_the_program_reads_the_engines_configuration_of_its_own_project(tmp_path: Path) -> None:
    file = stack_file(log_level="ERROR")
    given = {f"coreflux-mcp-secrets:{name}": text for name, text in file.entries.items()} | {"aws:region": "eu-west-1"}
    before = dict(pulumi.runtime.config.CONFIG.get())
    pulumi.runtime.set_all_config(given)
    try:
        assert Settings.load().log_level == "ERROR"
        pulumi.runtime.set_all_config(given, ["coreflux-mcp-secrets:broker"])
        with pytest.raises(ConfigurationError, match="broker: a secure: entry"):
            Settings.load()
    finally:
        pulumi.runtime.set_all_config(before, [])
