"""Stack files: what a good one means, and what a person is told about a broken one."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.sections import PROJECT_FOLDER, DotenvStore, EmbeddedBroker, Environment, OutsideBroker, Rotation
from settings import ConfigurationError, Settings
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


ONE_LEVEL = "one of NONE, DEBUG, INFO, WARNING, ERROR, CRITICAL"
ONE_STORE = "one of dotenv, kubernetes, aws"
DAYS = "from 1 to 90 days (Secret Management Guide, Rotation)"
A_HOST = "a host's name or IPv4 address alone"
A_NAME = "lower-case letters, digits and dashes, at most 40"
AN_IMAGE = "an image by its tag or digest"
A_SECTION = "a section: keys, each with its entry"
ALL_SECTIONS = "one of environment, store, server, broker, rotation, secrets, log_level"

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
        store="{kind: aws}",
        server="{kind: ecs}",
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
    broken("a topic is there twice", ("broker.topics: a list", "once", "twice"), broker=broker("topics: [a, a]")),
    broken(
        "fields are empty", ("secrets.db.fields: an empty list", "at least one", "add"), secrets="{db: {fields: []}}"
    ),
    broken("a field is there twice", ("secrets.db.fields: a list", "once", "twice"), secrets="{db: {fields: [a, a]}}"),
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
        store="{kind: aws, region: Frankfurt}",
        server="{kind: ecs}",
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
        server="{kind: ecs}",
    ),
    broken(
        "a pair is planned",
        ("store aws with server local: arrives with aws", "planned", "store dotenv with server local"),
        store="{kind: aws, region: eu-central-1}",
    ),
    broken(
        "a store is planned",
        ("store vault with server local: arrives with vault", "planned", "store dotenv with server local"),
        store="{kind: vault}",
    ),
    broken(
        "a server of a planned platform cannot work with the store",
        ("store dotenv with server containerapp: cannot work", "on one machine", "goes with store azure"),
        server="{kind: containerapp}",
    ),
    broken(
        "a pair of planned platforms cannot work",
        ("store azure with server ecs: cannot work", "no Azure identity", "store azure goes with server local"),
        store="{kind: azure, name: x}",
        server="{kind: ecs}",
    ),
    broken(
        "a store is planned and the server unknown",
        ("store.kind: vault arrives with vault", "not built yet", "store dotenv with server local"),
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
    # All at once
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
        assert all(part in text for part in (problem.what, problem.rule, problem.remedy))
    assert CANARY not in text
    assert CANARY not in repr(caught.value.problems)


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
        on_kubernetes(", copilot_cidrs: [], client_cidrs: ['::/0'], pull_secrets: [registry.example.com]"),
        on_kubernetes() | {"rotation": "{grace_seconds: 180}"},
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
    assert settings.next_step == "secretops broker start, then secretops tick, then secretops status"


def test_what_make_up_lays_down_in_dev_is_ignored_by_git() -> None:
    store = shipped("dev").parse("dev").store

    assert isinstance(store, DotenvStore)
    assert f"/{store.root}/" in (PROJECT_FOLDER / ".gitignore").read_text().splitlines()


def test_the_staging_stack_is_good_but_for_a_file_that_is_your_own() -> None:
    with pytest.raises(ConfigurationError) as caught:
        shipped("staging").parse("staging")

    (problem,) = caught.value.problems
    assert problem.what.startswith("broker.ca_file: /etc/ssl/certs/staging-ca.crt: ")
    assert "take it out if a public CA" in problem.remedy


@pytest.mark.parametrize(("stack", "platform"), [("prod", "aws")])
def test_a_shipped_stack_is_refused_only_because_its_platform_is_not_built_yet(stack: str, platform: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        shipped(stack).parse(stack)

    (problem,) = caught.value.problems
    assert problem.what.endswith(f": arrives with {platform}")


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
    assert settings.next_step.startswith("secretops put broker-admin")


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
