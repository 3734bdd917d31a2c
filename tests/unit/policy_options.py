"""Stack files that say what a stack file may: each key other than by default, with names as people give them.

What goes together is said together. A file begins as one that is shipped, and says what it says beside that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.unit.aws_stack import CA
from tests.unit.azure_ids import SUBSCRIPTION
from tests.unit.azure_stack import ENDPOINT, OFFICE, SUBNET

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
    """The stack whose shipped file it begins as."""
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
        "the government's partition",
        "prod",
        "gov",
        store="{region: us-gov-west-1, operators: ['arn:aws-us-gov:iam::123456789012:role/secrets-operator']}",
        server="{image: 123456789012.dkr.ecr.us-gov-west-1.amazonaws.com/coreflux-mcp-secrets:0.1.0}",
    ),
    said(
        "production, whose trail is kept for half a year",
        "prod",
        store="{retention_days: 180}",
        breaks={"aws-trail-kept-a-year": "store.retention_days"},
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
    said("a Swarm", "prod-aws-swarm", server=f"{{reader: '{ROLE}/{CDK}', login: AwsLoginOf.Prod_2}}"),
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
    said(
        "development, whose trail is kept for a month",
        "dev-azure-local",
        store=f"{{retention_days: 30, image: '{BUILD}', alert_emails: [ops@example.com]}}",
        server="{folder: coreflux-prod}",
    ),
    said(
        "production, whose trail is kept for a quarter",
        "prod-azure",
        store="{retention_days: 90}",
        breaks={"azure-trail-kept": "store.retention_days"},
    ),
    said(
        "a cluster of AKS, secrets of its own",
        "prod-azure-kubernetes",
        server="{oidc_issuer: 'https://westeurope.oic.prod-aks.azure.com/AbCdEf0123456789XyZabcdefgh0123456789/'}",
        secrets=SECRETS,
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
    said(
        "production in a namespace that says so, with no copilot",
        "staging",
        "production",
        server="{namespace: coreflux-mcp-prod, copilot_cidrs: [], replicas: 1}",
    ),
    said("a stack of a team in a namespace called dev", "staging", "team-a", server="{namespace: coreflux-mcp-dev}"),
    said(
        "a broker at the port of plain HTTP",
        "staging",
        broker="{port: 80}",
        breaks={"kubernetes-network-names-both-ends": "server.broker_cidrs"},
    ),
    said(
        "a broker at the port of plain HTTP, whose networks are named",
        "staging",
        server="{broker_cidrs: [203.0.113.0/24]}",
        broker="{port: 80}",
    ),
)
BY_VAULT = (
    said(
        "AppRole on this machine, by an OpenBao's namespace",
        "dev-vault-local",
        store="{product: openbao, namespace: plant/PlatformProductionNamespaceWestEurope2Xy,"
        " max_versions: 100, operators: [userpass/alice,"
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
    said(
        "audit devices of whoever runs Vault",
        "prod-vault-kubernetes",
        store="{audit_files: []}",
        breaks={"vault-production-is-recorded": "audit_files"},
    ),
    said(
        "a method without a reviewer's token",
        "prod-vault-kubernetes",
        store="{kubernetes: {audience: null}}",
        breaks={"vault-pod-tokens-are-for-vault": "audience"},
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
    said(
        "each replica by a port of its node",
        "prod-swarm",
        "CustomerPortalProductionEuCentral1Blue2",
        server="{publish: host, replicas: 7}",
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
