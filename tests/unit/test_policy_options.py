"""No rule refuses what a stack file may say; one that does names the key to change.

Each stack file says keys other than by default, with names as people give them. What goes together is said together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from components.section import Section
from components.section_models import SECTIONS
from policies.evidence import Verdict, judge
from tests.unit.aws_stack import CA
from tests.unit.azure_ids import SUBSCRIPTION
from tests.unit.policy_plans import OWN, planned, text_of
from tests.unit.stack_file import StackFile

CA_FILE = "/etc/ssl/certs/options-ca.crt"
AGENT = "{kind: owned, id: 3F2504E0-4F89-11D3-9A0C-0305E82C3301, url: 'https://q7xk2mz9aby4.agents.do-ai.run'}"
DIGEST = "sha256:3b1c5f0e9a8d7c6b5a4f3e2d1c0b9a8f7e6d5c4b3a291807f6e5d4c3b2a19080"
BUILD = "registry.example.com/platform/coreflux-mcp-prod:0.1.0-build.20261126AbCdEfGhIjKlMnOpQrStUvWxYz"
CDK = "PlatformStackOperatorRole8C0E5FA1B2Zx9QkLmN"
SSO = "aws-reserved/sso.amazonaws.com/eu-central-1/AWSReservedSSO_PlatformAdministrator_0a1b2c3d4e5f6789"
ROLE = "arn:aws:iam::123456789012:role"
OIDC = "oidc.eks.eu-central-1.amazonaws.com/id/4F8A1C0B9D7E6A5F4B3C2D1E0F9A8B7C"
ISSUER = "https://oidc.example.com/id/ABCDEF0123456789abcdef0123456789XyZ"
REGISTRY = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/Shared/providers/Microsoft.ContainerRegistry/registries"
NETWORK = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/network/providers/Microsoft.Network"
ZONE = f"{NETWORK}/privateDnsZones/privatelink"
SUBNET, OFFICE = (f"{NETWORK}/virtualNetworks/{name}" for name in ("plant/subnets/containers", "office/subnets/desks"))
ENDPOINT = (
    f"{{subnet: '{NETWORK}/virtualNetworks/plant/subnets/endpoints', dns_zones: {{vault: "
    f"'{ZONE}.vaultcore.azure.net', blob: '{ZONE}.blob.core.windows.net', queue: '{ZONE}.queue.core.windows.net'}}}}"
)
SECRETS = (
    "{db-credentials: {fields: [username, password]}, credentials: {fields: [value]}, db-password: {fields: [value]}, "
    "partner-api-key: {fields: [value], remind_after_days: 366}, account-key: {fields: [connection-string]}}"
)
FOR_THE_ROTATOR = (
    "{db-credentials: {fields: [username, password], readers: [rotator]}, "
    "credentials: {fields: [value], readers: [rotator], remind_after_days: 30}}"
)


@dataclass(frozen=True, kw_only=True)
class Said:
    """A stack file of somebody's."""

    says: str
    """What it is, in a few words."""
    file: str
    """The stack of OWN that it begins as."""
    stack: str = ""
    """What the stack is called, if not so."""
    sections: Mapping[str, str] = field(default_factory=dict)
    """Section -> entries beside those that are there (YAML), or a word in their place."""
    breaks: Mapping[str, str] = field(default_factory=dict)
    """Rule -> the key that its finding says to change. No other rule is broken."""


def said(says: str, file: str, stack: str = "", /, breaks: Mapping[str, str] | None = None, **sections: str) -> Said:
    """One of the table."""
    return Said(says=says, file=file, stack=stack, sections=sections, breaks=breaks or {})


BY_AWS = (
    said(
        "a VPC with an endpoint, copies, a balancer, a certificate of AWS' CA",
        "prod",
        environment="production",
        store="{replicas: [eu-west-1, eu-north-1], generation: 2, retention_days: 731,"
        " alert_emails: [PlatformTeamAlertsCoreflux2026Xy@example.com],"
        " vpc: {subnets: [subnet-0123456789abcdef0], security_groups: [sg-0123456789abcdef1],"
        " way_out: vpce-0123456789abcdef0}}",
        server="{reference: Fetched, replicas: 1, copilot: false, cluster: Shared_Cluster-1,"
        " allowed_hosts: [internal-CorefluxProductionLoadBalancer12.elb.amazonaws.com],"
        " load_balancer: {vpc: vpc-0123456789abcdef0,"
        " security_groups: [sg-0123456789abcdef0],"
        " certificate: 'arn:aws:acm:eu-central-1:123456789012:certificate/7c1e2d3f-AbCd-4e5f-8a9b-0c1d2e3f4a5b'}}",
        broker="{client_certificate: true, port: 8884, protocol: '3.1.1', topics: ['plant/#']}",
        issuer=f"{{kind: aws-private-ca, arn: '{CA}', days: 7}}",
        rotation="{mqtt_days: 30, broker_admin_days: 7, agent_key_days: 183, grace_seconds: 240}",
        secrets=FOR_THE_ROTATOR,
        log_level="DEBUG",
    ),
    said(
        "roles as CDK, CloudFormation and SSO call them, a trail and a topic that are there, an image of a build",
        "prod",
        "production",
        store=f"{{operators: ['{ROLE}/CorefluxSecretsOperatorsEuCentral1Prod', '{ROLE}/{CDK}', '{ROLE}/{SSO}',"
        " 'arn:aws:iam::123456789012:user/people/Jane.Doe+Ops@example.com'],"
        " alert_topic: 'arn:aws:sns:eu-central-1:123456789012:coreflux-mcp-prod-AlertsTopic2Zx9QkLmN0aB1cD2eF3',"
        " existing_trail: {arn: 'arn:aws:cloudtrail:eu-central-1:123456789012:trail/OrganisationTrail0aB1cD2eF3gH4',"
        " log_group: /coreflux-mcp/prod/aws-controltower/CloudTrailLogs0aB1cD2eF3gH4iJ5kL6mN7oP},"
        " vpc: {subnets: [subnet-0123456789abcdef0], security_groups: [sg-0123456789abcdef1],"
        " way_out: nat-0123456789abcdef0}}",
        server=f"{{image: '{BUILD}'}}",
        agent=AGENT,
    ),
    said(
        "development, whose trail is kept for a month, for good",
        "dev-aws-local",
        "team-a",
        environment="development",
        store="{retention_days: 30, object_lock: compliance}",
        server=f"{{source: /opt/coreflux-mcp-prod, folder: /srv/coreflux, reader: '{ROLE}/{CDK}'}}",
        broker="{kind: mosquitto, protocol: 3.1.1, tls: false, ca_file: null}",
        breaks={"stack-speaks-tls-to-the-broker": "broker.tls"},
    ),
    said(
        "a cluster of EKS, secrets of its own, a CA of its own",
        "prod-aws-kubernetes",
        "eu-prod",
        server=f"{{oidc_provider: 'arn:aws:iam::123456789012:oidc-provider/{OIDC}', namespace: coreflux-mcp-prod}}",
        broker="{client_certificate: true}",
        issuer="{kind: private-ca, days: 90, ca_days: 3650}",
        secrets=SECRETS,
    ),
    said(
        "a Swarm",
        "dev-aws-local",
        "prod",
        server=f"{{kind: swarm, image: '{BUILD}', reader: '{ROLE}/{CDK}', login: AwsLoginOf.Prod_2}}",
    ),
)
BY_AZURE = (
    said(
        "a network of its own, a private endpoint, a group and a registry that are there",
        "prod-azure",
        store=f"{{generation: 2, resource_group: PlatformProductionResourceGroupWestEurope2,"
        f" subnet: '{SUBNET}', retention_days: 730,"
        f" registry: '{REGISTRY}/AcmeCorefluxProductionWestEurope2Registry',"
        f" network: {{addresses: [203.0.113.0/24], subnets: ['{OFFICE}'], private_endpoint: {ENDPOINT}}}}}",
        server="{ingress: network, bootstrapped: true, allowed_hosts: [mcp.example.com],"
        f" image: 'acmecorefluxproductionwesteurope2registry.azurecr.io/coreflux@{DIGEST}'}}",
        broker="{client_certificate: true}",
        issuer="{kind: external}",
        secrets=FOR_THE_ROTATOR,
    ),
)
IN_A_CLUSTER = (
    said(
        "networks, names of an ingress, a context, pull secrets, an issuer of cert-manager",
        "staging",
        store="{operators: ['system:serviceaccount:ops:Vault0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0u', 'AzureAD:Jane Doe']}",
        server=f"{{image: 'registry.example.com:5000/coreflux-mcp-secrets:0.1.0@{DIGEST}', replicas: 5,"
        " context: 'arn:aws:eks:eu-central-1:123456789012:cluster/Staging0aB1cD2eF3gH4iJ5kL6mN7oP8qR9',"
        " allowed_hosts: [mcp.example.com], broker_cidrs: [10.1.0.0/16], api_server_cidrs: [10.0.0.1/32],"
        " copilot_cidrs: [198.51.100.0/24], client_cidrs: [10.2.0.0/16, 192.0.2.7/32], pull_secrets: [registry-login],"
        " certificate_issuer: {kind: ClusterIssuer, name: coreflux-mcp-prod}}",
        broker="{client_certificate: true}",
        secrets=SECRETS,
        agent="{kind: external, url: 'https://copilot.example.com:8443/'}",
        log_level="NONE",
    ),
)
BY_VAULT = (
    said(
        "AppRole on this machine, by an OpenBao's namespace",
        "dev-vault-local",
        store="{product: openbao, namespace: plant/PlatformProductionNamespaceWestEurope2Xy,"
        " max_versions: 100, ca_file: /etc/ssl/certs/vault-ca.crt, operators: [userpass/alice,"
        " oidc/PlatformTeam/0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0u], approle: {server_file: /run/coreflux-mcp-prod/secret-id,"
        " rotator_file: /etc/coreflux/secret-id, wrapped: true, networks: [10.0.0.0/24], days: 366}}",
    ),
    said(
        "a cluster's login under another name, a CA of its own",
        "prod-vault-kubernetes",
        store="{kubernetes: {mount: clusters/prod-EuCentral1, audience: 'coreflux-mcp'}, pki: {days: 90},"
        " audit_files: [stdout, /var/log/vault/audit.log]}",
        server="{vault_cidrs: [10.9.0.0/16]}",
        broker="{client_certificate: true}",
    ),
    said(
        "a cluster's tokens by JWT, copied by External Secrets, a CA that somebody signs",
        "prod-vault-kubernetes",
        "eu-prod",
        store=f"{{jwt: {{issuer: '{ISSUER}', ca_file: {CA_FILE}, audience: openbao}}, pki: {{signed_by: outside}}}}",
        server="{reference: SyncedKey}",
        broker="{client_certificate: true}",
        secrets=SECRETS,
    ),
    said(
        "workloads of SPIFFE by JWT on this machine, a CA that somebody has signed",
        "dev-vault-local",
        store=f"{{jwt: {{issuer: '{ISSUER}', server: 'spiffe://example.com/coreflux-mcp-server',"
        " rotator: 'spiffe://example.com/coreflux-mcp-rotator', server_file: /run/server.jwt,"
        f" rotator_file: /run/rotator.jwt}}, pki: {{signed_by: outside, certificate_file: {CA_FILE}}}}}",
        broker="{client_certificate: true}",
    ),
)
IN_A_SWARM = (
    said(
        "a rotator at a socket of its own, one port of every node, placement, a log elsewhere",
        "prod-swarm",
        store="{rotator: service, socket: /run/docker}",
        server="{publish: ingress, port: 8443, replicas: 1, allowed_hosts: [mcp.example.com],"
        " networks: [q1w2e3r4t5y6u7i8o9p0a1s2d], constraints: ['node.labels.Zone0aB1cD2eF3gH4iJ5kL6mN7oP8==a'],"
        " spread: [node.labels.zone], log_driver: {name: gelf, options: {tag: coreflux-mcp, labels: token}}}",
        secrets=SECRETS,
    ),
    said("a login at the registry", "prod-swarm", server="{registry_login: true}"),
    said(
        "nodes without IPsec",
        "prod-swarm",
        server="{encrypted: false}",
        breaks={"swarm-network-is-encrypted": "server.encrypted"},
    ),
)
ON_THIS_MACHINE = (
    said(
        "a folder elsewhere, files, a broker at another port",
        "dev",
        "feature-prod",
        environment="development",
        store="{root: /srv/coreflux-mcp-prod, deliver: files}",
        broker="{port: 1884}",
        secrets=SECRETS,
    ),
)
SAID = (*BY_AWS, *BY_AZURE, *IN_A_CLUSTER, *BY_VAULT, *IN_A_SWARM, *ON_THIS_MACHINE)


MODELS = set(Section.__subclasses__())
"""Of everything that a section says."""


@pytest.fixture(autouse=True)
def a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if whoever deploys had logged in at the registry: the login itself is looked at by nobody."""
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"registry.example.com": {}}, "credsStore": "one"}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


def written(said: Said) -> str:
    """The stack file."""
    given = yaml.safe_load(text_of(said.file))["config"]
    for name, text in said.sections.items():
        section = yaml.safe_load(text)
        before = given.get(name)
        given[name] = {**before, **section} if isinstance(before, dict) else section
    return yaml.safe_dump({"config": given})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")
@pytest.mark.parametrize("said", SAID, ids=lambda said: f"{said.file}: {said.says}")
def test_what_a_stack_file_may_say_breaks_no_rule_but_the_one_that_names_the_key(said: Said) -> None:
    found = {
        one.rule.name: one
        for one in judge(planned(written(said), said.stack or said.file))
        if one.verdict is not Verdict.NOT_APPLICABLE
    }

    told = {name: [finding.message for finding in one.findings] for name, one in found.items() if one.findings}
    assert {name: messages for name, messages in told.items() if name not in said.breaks} == {}
    assert set(told) == set(said.breaks), "an exception that is none any more"
    for rule, key in said.breaks.items():
        assert all(key in message for message in told[rule]), "the remedy is a key of the stack file"


def test_each_key_of_a_stack_file_is_said_other_than_by_default() -> None:
    said = {key for one in SAID for section in _sections(written(one)) for key in _said(section)}
    said |= {key for stack in OWN for section in _sections(text_of(stack)) for key in _said(section)}
    there = {f"{model.__name__}.{key}" for model in MODELS for key in model.model_fields}

    assert sorted(there - said) == []


def _sections(text: str) -> Iterator[Any]:
    """Each section, parsed by itself."""
    for name, section in StackFile.read(text).entries.items():
        if name in SECTIONS:
            yield SECTIONS[name].validate_json(section if section[:1] == "{" else json.dumps(section))


def _said(entry: Any) -> Iterator[str]:
    """Each key that has not its default, at any depth, with the model's name."""
    match entry:
        case BaseModel():
            for key, field in type(entry).model_fields.items():
                inner = getattr(entry, key)
                if inner != field.default:
                    yield f"{type(entry).__name__}.{key}"
                yield from _said(inner)
        case dict():
            for inner in entry.values():
                yield from _said(inner)
