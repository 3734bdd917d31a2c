"""Cross-field rules of a stack file that JSON Schema can express, as lines `conditions => requirement`.

A condition or requirement is a key of a section. `KEY` must be set, and `!KEY` must not be set. `KEY: A|B` must be one
of these. Other tests also allow a KEY that is not set: `KEY ~ A|B` (one of these), `KEY >= N` (at least N), `KEY =~
REGEX` (matches), and `KEY {}` (matches another schema).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from components.aws.task import REDEPLOYED
from components.core import matrix
from components.core.naming import DAY, PROJECT
from components.core.registry import kinds
from components.core.secrets import GUIDE, SERVER_VARIABLES
from components.kubernetes.cross_field_rules import BY_AN_AGENT, TO_A_POD
from components.kubernetes.pod_args import CERT_MANAGER, CHANGE_OVER
from components.settings.remote_constraints import FETCHED
from components.settings.schema import kinds_of, models
from components.settings.section import decoded
from components.swarm.cross_field_rules import A_REPLICA, ROLLED
from components.vault.cross_field_rules import METHODS
from secretops.formats import RESERVED_PREFIXES
from secretops.manifest import HTTP_TOKEN, Reader

# A grace period is a week at most.
LONGEST_GRACE = 7 * DAY

NOT_SET: list[Any] = [None, False, "", []]

_LOCALHOST = "".join(f"[{letter}{letter.upper()}]" for letter in "localhost")
_LOOPBACK = rf"(.*\.)?{_LOCALHOST}\.?|(::ffff:)?127(\.[0-9]+){{3}}|::1"
_BROKERS = f"^(?!({_LOOPBACK})$)"
_NO_AZURE_REGISTRY = r"^(?![^/]*\.azurecr\.io/)"
_TOKEN, _FIELD = HTTP_TOKEN
_ROTATORS = json.dumps(
    {
        "properties": {_TOKEN: True},
        "additionalProperties": {"required": ["readers"], "properties": {"readers": {"const": [Reader.ROTATOR]}}},
    }
)
_TOLERATIONS = json.dumps(
    {
        "items": {
            "if": {"required": ["operator"], "properties": {"operator": {"const": "Exists"}}},
            "then": {"properties": {"value": {"const": None}}},
            "else": {"required": ["key"]},
        }
    }
)
_ISSUER = "server.certificate_issuer"
_AGENT = "store.kind: vault & server.kind: kubernetes & server.reference ~ MountedFiles|null"
_SYNCED = "store.kind: vault & server.kind: kubernetes & server.reference: SyncedKey"

# Where the launcher fetches secrets itself.
_FETCHES = (
    "server.kind: ecs & server.reference ~ Fetched",
    "server.kind: containerapp",
    "server.kind: swarm & store.kind: aws|vault",
    "server.kind: local & store.kind: vault",
)

RULES = f"""
broker => broker.tls ~ true
broker.groups => broker.kind: coreflux
issuer => broker.client_certificate: true
issuer => !store.pki
issuer => !server.certificate_issuer
secrets.{_TOKEN} => secrets.{_TOKEN}.fields: ["{_FIELD}"]
secrets.{_TOKEN} => secrets.{_TOKEN}.readers {{"contains": {{"const": "{Reader.SERVER}"}}}}

server.kind: kubernetes|ecs|containerapp|swarm => broker.kind: coreflux|mosquitto
server.kind: kubernetes|ecs|containerapp|swarm => broker.host =~ {_BROKERS}
server.kind: local & store.kind: aws|azure => broker.kind: coreflux|mosquitto
server.kind: local & store.kind: aws|azure => broker.host =~ {_BROKERS}
server.kind: local & store.kind: aws|azure => server.reader
server.kind: local & store.kind: azure => store.image
server.kind: local & store.kind: aws|azure => secrets {_ROTATORS}

server.kind: kubernetes & store.kind: aws => server.oidc_provider
server.kind: kubernetes & store.kind: azure => server.oidc_issuer
server.kind: kubernetes & store.kind: kubernetes|aws|azure => !server.reference
server.certificate_issuer => broker.client_certificate: true
{_ISSUER} & {_ISSUER}.group ~ {CERT_MANAGER} => {_ISSUER}.kind: Issuer|ClusterIssuer

server.kind: swarm & store.kind: swarm => !server.login
server.kind: swarm & store.kind: aws|vault => server.login
server.kind: swarm & store.kind: aws => server.reader
server.publish: ingress => server.port
server.publish: ingress => server.replicas: 1
server.publish: host => !server.port
server.kind: swarm & server.publish ~ none => !server.port

server.kind: ecs & broker.client_certificate => server.reference ~ Fetched
server.kind: ecs & server.copilot: false => !agent
server.load_balancer => server.allowed_hosts
server.load_balancer => server.replicas: 1
server.load_balancer => server.subnets {{"minItems": 2}}
server.kind: kubernetes => server.tolerations {_TOLERATIONS}
store.alert_topic => !store.alert_emails
store.kms_key => !store.replicas
store.vpc => store.vpc.way_out

store.kind: azure & store.network ~ null => store.open_to_internet: true
store.network => !store.open_to_internet
store.network => store.subnet
store.kind: azure & store.registry ~ null => server.image =~ {_NO_AZURE_REGISTRY}
store.kind: azure & store.registry ~ null => store.image =~ {_NO_AZURE_REGISTRY}
server.ingress: network => store.subnet
store.zone_redundant => store.subnet

store.pki => broker.client_certificate: true
store.pki.certificate_file => store.pki.signed_by: outside
store.approle => !store.jwt
store.approle => !store.kubernetes
store.jwt => !store.kubernetes
server.kind: kubernetes => !store.approle
server.kind: kubernetes => !store.jwt.server
server.kind: kubernetes => !store.jwt.rotator
server.kind: local|swarm => !store.kubernetes
server.kind: swarm => !store.jwt
server.kind: local & store.jwt => store.jwt.server
server.kind: local & store.jwt => store.jwt.rotator
{_AGENT} => secrets {_ROTATORS}
{_AGENT} => !server.certificate_issuer

server.kind: kubernetes & store.kind: kubernetes => rotation.grace_seconds >= {TO_A_POD["kubernetes"][1] + CHANGE_OVER}
server.kind: kubernetes & store.kind: aws => rotation.grace_seconds >= {TO_A_POD["aws"][1] + CHANGE_OVER}
server.kind: kubernetes & store.kind: azure => rotation.grace_seconds >= {TO_A_POD["azure"][1] + CHANGE_OVER}
{_SYNCED} => rotation.grace_seconds >= {TO_A_POD["vault"][1] + CHANGE_OVER}
{_AGENT} => rotation.grace_seconds >= {BY_AN_AGENT[1] + CHANGE_OVER}
server.kind: swarm & store.kind: swarm => rotation.grace_seconds >= {ROLLED + A_REPLICA}
server.kind: swarm & store.kind: swarm & server.replicas ~ 2 => rotation.grace_seconds >= {ROLLED + 2 * A_REPLICA}
server.kind: ecs & server.reference: NativeRef => rotation.grace_seconds >= {REDEPLOYED}
"""


def rules() -> Iterator[dict[str, Any]]:
    """Yield a schema of `config` for each rule."""
    yield from (_rule(line) for line in RULES.splitlines() if line)
    for fetches in _FETCHES:
        yield _rule(f"{fetches} => rotation.grace_seconds >= {FETCHED}")
        yield _rule(f"{fetches} => secrets {_ROTATORS}")
    for store in kinds("store"):
        servers = [server for server in kinds("server") if matrix.can_be_deployed(store, server)]
        yield _rule(f"store.kind: {store} => server.kind: {'|'.join(servers)}")
    for model in models("server"):
        for key, stores in getattr(model, "keys_for_stores", {}).items():
            yield _rule(f"server.kind: {kinds_of(model)[0]} & server.{key} => store.kind: {'|'.join(stores)}")
    for model in models("issuer"):
        if only := getattr(model, "only_with", None):
            yield _rule(f"issuer.kind: {kinds_of(model)[0]} => store.kind: {only}")
    for key in (*METHODS, "pki"):
        yield _rule(f'store.kind: vault => store.{key} {{"not": {{"const": null}}}}')
    for key in ("mqtt_days", "broker_admin_days"):
        for days in range(1, LONGEST_GRACE // DAY + 1):
            yield _rule(f'rotation.{key}: {days} => rotation.grace_seconds {{"maximum": {days * DAY - 1}}}')


def names_of_secrets() -> dict[str, Any]:
    """Return a schema of the section `secrets`. It excludes reserved names, and fields whose environment variables the
    server already reads."""
    prefixes = [prefix.lower().replace("_", "(-|$)") for prefix in RESERVED_PREFIXES]
    taken: dict[str, list[str]] = {}
    for variable in sorted({variable.removesuffix("_FILE") for variable in SERVER_VARIABLES}):
        words = variable.lower().split("_")
        for at in range(1, len(words)):
            taken.setdefault("-".join(words[:at]), []).append("-".join(words[at:]))
    fields = {name: {"properties": {"fields": {"items": {"not": {"enum": found}}}}} for name, found in taken.items()}
    return {
        "propertyNames": {"not": {"anyOf": [{"enum": sorted(GUIDE)}, {"pattern": f"^({'|'.join(prefixes)})"}]}},
        "properties": fields,
    }


def _rule(line: str) -> dict[str, Any]:
    conditions, _, requirement = line.partition(" => ")
    return {"if": {"allOf": [_term(each) for each in conditions.split(" & ")]}, "then": _term(requirement)}


def _term(text: str) -> dict[str, Any]:
    found = re.fullmatch(r"(!?)([\w.-]+) ?(:|~|>=|=~|)(.*)", text)
    if not found:
        raise ValueError(text)
    absent, path, test, rest = found[1], found[2], found[3], found[4].strip()
    required = test == ":" or not (absent or test or rest)
    match test:
        case ":" | "~":
            schema: dict[str, Any] = {"enum": [decoded(word) for word in rest.split("|")]}
        case ">=":
            schema = {"minimum": int(rest)}
        case "=~":
            schema = {"pattern": rest}
        case _:
            schema = json.loads(rest) if rest else {"enum": NOT_SET} if absent else {"not": {"enum": NOT_SET}}
    section, *keys = path.split(".")
    for key in reversed([f"{PROJECT}:{section}", *keys]):
        schema = {"properties": {key: schema}} | ({"required": [key]} if required else {})
    return schema
