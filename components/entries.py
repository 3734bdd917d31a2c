"""What the entries of a stack file's sections may be: each a type, with the rule and the remedy a person is told."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from components.constraints import (
    between,
    distinct,
    matching,
    network,
    network_of_clients,
    no_number,
    one_of,
    public_addresses,
)
from components.naming import NAME

Name = Annotated[
    str,
    matching(NAME, "lower-case letters, digits and dashes, at most 40, a letter first and no dash last", "rename it"),
]
Port = Annotated[int, between(1, 65535, "")]
Days = Annotated[int, between(1, 90, "days (Secret Management Guide, Rotation)")]
_HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
Host = Annotated[
    str,
    matching(
        _HOST,
        "a host's name or IPv4 address alone: no scheme, port, path or space",
        "write it like mqtt.example.com; the port goes into broker.port",
    ),
]
HostName = Annotated[
    str,
    matching(
        _HOST,
        "a host's name or IPv4 address alone, as clients write it: no scheme, port or path",
        "write it like mcp.example.com",
    ),
]
Network = Annotated[str, AfterValidator(network)]
Networks = Annotated[tuple[Network, ...], Field(min_length=1), AfterValidator(distinct)]
ClientNetworks = Annotated[tuple[Annotated[str, AfterValidator(network_of_clients)], ...], AfterValidator(distinct)]
NetworksOrNone = Annotated[tuple[Network, ...], AfterValidator(distinct)]
EVERYWHERE = ("0.0.0.0/0", "::/0")
Folder = Annotated[
    str,
    matching(
        r"[^~\x00-\x1f\x7f][^\x00-\x1f\x7f]*",
        "a path on one line; ~ is not expanded",
        "name a folder, for example .coreflux-mcp (below the project) or /etc/coreflux-mcp",
    ),
]
KubernetesName = Annotated[
    str,
    matching(
        r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?",
        "a Kubernetes name: lower-case letters, digits, dashes and dots, a letter or digit at both ends",
        "write it as kubectl shows it",
    ),
]
Image = Annotated[
    str,
    matching(
        r"(?=.*:[\w.-]+$)(?!.*:latest(@|$))([\w.-]+(:\d+)?/)?[a-z0-9._-]+(/[a-z0-9._-]+)*"
        r"(:\w[\w.-]{0,127})?(@sha256:[0-9a-f]{64})?",
        "an image by its tag or digest; latest is another one each day",
        "write it like registry.example.com/coreflux-mcp-secrets:0.1.0",
    ),
]
REGION = r"(us-gov|us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-\d"
"""Each partition's regions are those that botocore's partitions.json knows by their form."""
Region = Annotated[
    str,
    matching(
        REGION,
        "an AWS region's code, of the partition aws or aws-us-gov; in others services have other names",
        "write it like eu-central-1",
    ),
]
_IN = "arn:aws(-us-gov)?"


def _id_of(kind: str, called: str = "") -> AfterValidator:
    return matching(
        rf"{kind}-[0-9a-f]{{8,17}}", f"the id of a {called or kind}", f"write it like {kind}-0123456789abcdef0"
    )


Subnets = Annotated[tuple[Annotated[str, _id_of("subnet")], ...], Field(min_length=1), AfterValidator(distinct)]
SecurityGroups = Annotated[
    tuple[Annotated[str, _id_of("sg", "security group")], ...], Field(min_length=1), AfterValidator(distinct)
]
VpcId = Annotated[str, _id_of("vpc", "VPC")]
WayOut = Annotated[
    str,
    matching(
        r"(vpce|nat)-[0-9a-f]{8,17}",
        "the VPC's endpoint of Secrets Manager, or the NAT gateway of those subnets",
        "write it like vpce-0123456789abcdef0 or nat-0123456789abcdef0",
    ),
]
_DIGITS = "its twelve digits, in quotes: YAML reads a number otherwise"
_YOURS = "aws sts get-caller-identity shows yours"
Account = Annotated[str, matching(r"\d{12}", _DIGITS, _YOURS), no_number(_DIGITS, f"put quotes around them; {_YOURS}")]


def _role_of_session(text: str) -> str | None:
    """For whoever copied what `aws sts get-caller-identity` shows."""
    session = re.fullmatch(rf"({_IN}):sts::(\d{{12}}):assumed-role/([\w+=,.@-]+)(?:/.*)?", text)
    if not session:
        return None
    begin, _, account, role = session.groups()
    shows = f"aws iam get-role --role-name {role} shows it"
    return f"write {begin}:iam::{account}:role/{role}, with its path if it has one ({shows})"


Operator = Annotated[
    str,
    matching(
        rf"{_IN}:iam::\d{{12}}:(role|user)/[\w+=,.@/-]+",
        "the ARN of a role or a user, no wildcard",
        "write it like arn:aws:iam::123456789012:role/secrets-operator",
        meant=_role_of_session,
    ),
]


def _name_of_cluster(text: str) -> str | None:
    cluster = re.fullmatch(rf"{_IN}:ecs:[a-z0-9-]+:\d{{12}}:cluster/([\w-]+)", text)
    return f"write {cluster[2]}" if cluster else None


Cluster = Annotated[
    str, matching(r"[\w-]{1,255}", "a cluster's name", "take it out, and the stack makes one", meant=_name_of_cluster)
]
Caller = Annotated[
    str,
    matching(
        r"arn:aws[a-z-]*:iam::\d{12}:(role|user)/[\w+=,.@/-]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "the ARN of a role or a user of AWS, no wildcard, or the object id of a user of Azure",
        "write it like arn:aws:iam::123456789012:role/developer; az ad signed-in-user show tells an object id",
    ),
]
Issuer = Annotated[
    str,
    matching(
        r"https://[\w.-]+(/[\w.-]+)*/?",
        "the URL of the cluster's OIDC issuer, as its tokens have it",
        "az aks show --query oidcIssuerProfile.issuerUrl shows it",
    ),
]
OidcProvider = Annotated[
    str,
    matching(
        rf"{_IN}:iam::\d{{12}}:oidc-provider/[\w.-]+(/[\w.-]+)*",
        "the ARN of the account's OIDC provider that knows the cluster's tokens",
        "aws iam list-open-id-connect-providers shows it; eksctl utils associate-iam-oidc-provider makes it",
    ),
]
LogGroup = Annotated[
    str,
    matching(
        r"[\w./#-]{1,512}",
        "the name of the log group of this account and region that it writes to",
        "aws cloudtrail describe-trails shows its ARN",
    ),
]
TopicArn = Annotated[
    str,
    matching(
        rf"{_IN}:sns:[a-z0-9-]+:\d{{12}}:[\w-]{{1,256}}",
        "the ARN of an SNS topic, not a FIFO one",
        "aws sns list-topics shows it",
    ),
]
CertificateArn = Annotated[
    str,
    matching(
        rf"{_IN}:acm:[a-z0-9-]+:\d{{12}}:certificate/[\w-]+",
        "the ARN of a certificate of ACM",
        "aws acm list-certificates shows it",
    ),
]
PrivateCaArn = Annotated[
    str,
    matching(
        rf"{_IN}:acm-pca:[a-z0-9-]+:\d{{12}}:certificate-authority/[\w-]+",
        "the ARN of a CA of AWS Private CA, of any region and account",
        "aws acm-pca list-certificate-authorities shows it",
    ),
]
TrailArn = Annotated[
    str,
    matching(
        rf"{_IN}:cloudtrail:[a-z0-9-]+:\d{{12}}:trail/[\w.-]+",
        "the ARN of a CloudTrail trail",
        "aws cloudtrail describe-trails shows it",
    ),
]
Email = Annotated[str, matching(r"[^\s@]+@[^\s@]+\.[^\s@]+", "an e-mail address", "write it like ops@example.com")]
Retention = Annotated[
    int,
    one_of(
        (30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
        "days that CloudWatch Logs can keep a log",
    ),
]
Guid = Annotated[
    str,
    matching(
        r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "a GUID in lower case",
        "az account show has subscription and tenant, az ad signed-in-user show your own object id",
    ),
]
AgentId = Annotated[
    str,
    matching(
        r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
        "the UUID of a DigitalOcean agent",
        "its page in the control panel shows it, and doctl genai agent list",
    ),
    AfterValidator(str.lower),
]
AgentUrl = Annotated[
    str,
    matching(
        rf"https://{_HOST}(:\d{{1,5}})?/?",
        "the agent's endpoint: https, a host, and no path",
        "write it like https://example.agents.do-ai.run, as the control panel shows it",
    ),
]
AzureLocation = Annotated[
    str, matching(r"[a-z]+[a-z0-9]*", "an Azure region's name", "write it like westeurope; az account list-locations")
]
ResourceGroup = Annotated[
    str,
    matching(r"[\w().-]{0,89}[\w()-]", "a resource group's name", "take it out, and the stack makes one"),
]


def _arm_id(kind: str, what: str, name: str = "*") -> AfterValidator:
    """A resource id, as Azure writes it. `kind` is its provider and types, with a `*` for each name between."""
    path = f"{kind}/{name}".replace(".", r"\.").replace("*", r"[^/\s]+")
    return matching(
        rf"/subscriptions/[0-9a-f-]{{36}}/resourceGroups/[^/\s]+/providers/{path}",
        f"the resource id of {what}",
        "copy it from Azure (Properties, Resource ID); it begins with /subscriptions/",
    )


def _dns_zone(name: str) -> AfterValidator:
    """Of a private endpoint. Each service has one of a name that Azure gives."""
    return _arm_id("Microsoft.Network/privateDnsZones", f"the private DNS zone {name}", name)


AzureSubnet = Annotated[str, _arm_id("Microsoft.Network/virtualNetworks/*/subnets", "a subnet")]
VaultDnsZone = Annotated[str, _dns_zone("privatelink.vaultcore.azure.net")]
BlobDnsZone = Annotated[str, _dns_zone("privatelink.blob.core.windows.net")]
QueueDnsZone = Annotated[str, _dns_zone("privatelink.queue.core.windows.net")]
Registry = Annotated[str, _arm_id("Microsoft.ContainerRegistry/registries", "an Azure container registry")]
PublicAddresses = Annotated[str, AfterValidator(public_addresses)]
VaultAddress = Annotated[
    str,
    matching(
        rf"https://{_HOST}(:\d{{1,5}})?",
        "the server's URL: https, a host, a port unless it is 443, and no path",
        "write it like https://vault.example.com:8200; values travel by TLS alone",
    ),
]
VaultPath = Annotated[
    str,
    matching(
        r"[\w.-]+(/[\w.-]+)*",
        "a path of Vault: letters, digits, dashes, dots and underscores, no slash at its ends",
        "write it as vault auth list shows it, without the slash at its end",
    ),
]
VaultNamespace = Annotated[
    str,
    matching(
        r"[\w.-]+(/[\w.-]+)*",
        "a namespace's path, no slash at its ends",
        "take it out for the root namespace",
    ),
]
VaultReader = Annotated[
    str,
    matching(
        r"[\w.-]+(/[\w.@-]+)+",
        "an auth method's mount and a name there, as the audit log has them",
        "write it like userpass/alice",
    ),
]
JwtIssuer = Annotated[
    str,
    matching(
        r"https://[\w.-]+(:\d{1,5})?(/[\w.-]+)*/?",
        "the URL of who signs the tokens, below which Vault finds .well-known/openid-configuration",
        "kubectl get --raw /.well-known/openid-configuration shows a cluster's",
    ),
]
Subject = Annotated[str, matching(r"\S+", "the claim sub of a token, without spaces", "write it as the token has it")]
AuditFile = Annotated[
    str,
    matching(
        r"stdout|/[\w./-]+",
        "a path on the Vault server, or stdout",
        "write the whole path, from / on; the server's account has to be able to write there",
    ),
]
SwarmNetwork = Annotated[
    str,
    matching(
        r"[a-z0-9]{25}",
        "the id of an overlay network of the Swarm; by its name the provider would make the service anew",
        "docker network inspect --format '{{.Id}}' NAME shows it",
    ),
]
SwarmSecret = Annotated[
    str,
    matching(
        r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?",
        "the name of a secret of the Swarm that an operator made",
        "docker secret ls lists them",
    ),
]
_OF_NODES = r"node\.(id|hostname|role|platform\.(os|arch)|labels\.[\w.-]+)|engine\.labels\.[\w.-]+"
Constraint = Annotated[
    str,
    matching(
        rf"({_OF_NODES}) ?[!=]= ?[\w.-]+",
        "a placement constraint as docker service create takes it",
        "write it like node.labels.zone==a",
    ),
]
Spread = Annotated[str, matching(_OF_NODES, "what replicas are spread over", "write it like node.labels.zone")]
AbsolutePath = Annotated[
    str, matching(r"/[^\x00-\x1f\x7f]*", "an absolute path on this machine", "write the whole path, from / on")
]
Topic = Annotated[str, matching(r"[^\x00]+", "a topic filter, for example plant/#", "write one, or take the entry out")]
LogLevel = Literal["NONE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
