from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from secretops.formats import counted

from ..core.secrets import client_name
from ..settings.outputs import known
from ..settings.problems import Problem, did_you_mean
from ..settings.remote_constraints import (
    LENGTHEN,
    fetched_too_late,
    not_fetched,
    of_fetching,
    out_of_reach,
    too_many_certificates,
)
from ..settings.sections import BrokerSettings, DeclaredSecret, OutsideBroker, Rotation, secrets_of
from . import policies, task
from .access import TICK, declared_callers
from .field_types import REGION
from .names import Names
from .patterns import FILTER_LIMIT, undeclared_read
from .settings import AwsPrivateCa, AwsStore, EcsServer

# Maximum number of characters of a role's inline policies, without white space (AWS, IAM and AWS STS quotas).
ROLE_LIMIT = 10_240
# Placeholders with the length of AWS' ids.
_ENDPOINT, _KEY, _CA = f"vpce-{'0' * 17}", f"key/{'0' * 36}", f"certificate-authority/{'0' * 36}"


def cross_field_rules(stack: str, parsed: Mapping[str, Any]) -> Iterator[Problem]:
    store, server, broker = parsed.get("store"), parsed.get("server"), parsed.get("broker")
    secrets, rotation = parsed.get("secrets", {}), parsed.get("rotation")
    if isinstance(server, EcsServer):
        yield from _on_ecs(server, broker, secrets)
        if server.load_balancer:
            yield from _balanced(server)
        if rotation:
            yield from _too_soon(server, rotation)
    if isinstance(server, EcsServer) and not server.copilot and (agent := parsed.get("agent")):
        yield Problem(
            f"server.copilot: false with agent.kind {agent.kind}",
            "an agent requires server.copilot: true: without the Copilot, no task of the server uses the agent's key",
            "remove server.copilot, so that the default true applies; or remove the section agent",
            code="agent-without-copilot",
        )
    if isinstance(store, AwsStore):
        yield from _in_aws(store, stack, getattr(server, "reader", None))
        yield from _of_another_place(store, server)
        if server and broker:
            yield from _too_many(store, stack, parsed)
        if isinstance(issuer := parsed.get("issuer"), AwsPrivateCa):
            yield from _of_another_partition(store, issuer)
        if server and not isinstance(server, EcsServer):
            yield from _read_from_elsewhere(server)
        if server and not server.is_remote:
            yield from out_of_reach(
                "store aws", broker, "the stack copies the file into the rotation functions", runs="rotation function"
            )
            yield from of_fetching("store aws and server local", parsed)


def warnings(store: AwsStore) -> Iterator[str]:
    """Yield a warning for each region unknown to Pulumi's AWS SDK."""
    from pulumi_aws import Region  # Secrets Manager is in every region (AWS General Reference)

    every = [str(region.value) for region in Region]
    for where, region in (("store.region", store.region), *(("store.replicas", one) for one in store.replicas)):
        if region not in every:
            names = store.names("")
            here = [one for one in every if re.fullmatch(REGION, one) and names.at(one).partition == names.partition]
            meant = did_you_mean(region, here, otherwise="check the spelling.")
            yield (
                f"{where}: {region} is unknown to the installed AWS provider: {meant} Ignore this warning for a newer "
                "region"
            )


def _on_ecs(
    server: EcsServer, broker: BrokerSettings | None, secrets: Mapping[str, DeclaredSecret]
) -> Iterator[Problem]:
    yield from out_of_reach(
        "server ecs", broker, "the stack copies the file into the tasks and the rotation functions", runs="task"
    )
    yield from too_many_certificates(
        broker, task.CA_LIMIT, "the certificates become part of the task definition, which ECS limits to 64 KiB"
    )
    if isinstance(broker, OutsideBroker) and broker.client_certificate and server.reference == "NativeRef":
        yield Problem(
            "server.reference: NativeRef with broker.client_certificate",
            "the server reads a client certificate from files, and with NativeRef ECS sets only environment variables",
            "write server.reference: Fetched",
            code="certificate-needs-fetched",
        )
    if server.reference == "Fetched":
        yield from not_fetched(secrets, "reference Fetched", "write reference: NativeRef, or readers: [rotator]")


def _balanced(server: EcsServer) -> Iterator[Problem]:
    if not server.allowed_hosts:
        yield Problem(
            "server.load_balancer: without server.allowed_hosts",
            "the launcher must know the host name that clients use, which is in the load balancer's certificate",
            "add the certificate's host name to server.allowed_hosts, for example allowed_hosts: [mcp.example.com]",
            code="load-balancer-needs-host",
        )
    if len(known(server.subnets) or (1, 2)) == 1:
        yield Problem(
            "server.subnets: one subnet, with server.load_balancer",
            "a load balancer requires subnets in at least two availability zones",
            "add a subnet of another availability zone to server.subnets",
            code="load-balancer-needs-zones",
        )
    if server.replicas != 1:
        yield Problem(
            f"server.replicas: {server.replicas} with server.load_balancer",
            "server.replicas must be 1: an MCP session is in one task, and most clients store no session cookie",
            "write replicas: 1; ECS replaces a task that ends",
            code="load-balancer-needs-one-replica",
        )


def _too_soon(server: EcsServer, rotation: Rotation) -> Iterator[Problem]:
    where = f"reference {server.reference}"
    if server.reference == "Fetched":
        yield from fetched_too_late(rotation, where)
    elif rotation.grace_seconds < task.REDEPLOYED:
        waits, minutes = task.DELAY + task.WINDOW, task.ROLLOUT // 60
        yield Problem(
            f"rotation.grace_seconds: {rotation.grace_seconds} with {where}",
            f"rotation.grace_seconds must be at least {task.REDEPLOYED}: ECS starts to replace the tasks up to "
            f"{waits} s after a rotation, and takes up to {minutes} minutes",
            LENGTHEN.format(task.REDEPLOYED),
            code="grace-too-short",
        )


def _in_aws(store: AwsStore, stack: str, reader: str | None) -> Iterator[Problem]:
    names = store.names(stack)
    if len(undeclared_read(names, declared_callers(store.operators, reader))) > FILTER_LIMIT:
        yield Problem(
            f"store.operators: {len(store.operators)} operators",
            f"the alarm for undeclared readers must name each operator, in a filter of at most {FILTER_LIMIT} "
            "characters (CloudWatch)",
            "declare one role that all of these operators may assume",
            code="too-many-operators",
        )
    for region in store.replicas:
        if region == store.region:
            yield Problem(
                f"store.replicas: {region}, which is store.region",
                "a replica must be in a region other than store.region",
                f"remove {region} from store.replicas",
                code="replica-in-own-region",
            )
        elif (partition := names.at(region).partition) != names.partition:
            yield Problem(
                f"store.replicas: {region} is in partition {partition}",
                f"a replica must be in the AWS partition of the store, {names.partition}",
                f"replace {region} by a region of partition {names.partition}, or remove it from store.replicas",
                code="other-partition",
            )
    if store.kms_key and store.replicas:
        yield Problem(
            "store.kms_key: with store.replicas",
            "each replica requires a key in its own region, and this key is in only one region",
            "remove kms_key, so that the stack creates a key in each region; or remove the replicas",
            code="kms-key-with-replicas",
        )
    if store.vpc and not store.vpc.way_out:
        yield Problem(
            "store.vpc: neither an endpoint nor a NAT gateway",
            "a function in a VPC must reach Secrets Manager by an endpoint or a NAT gateway",
            "write in store.vpc.way_out the id of the VPC's endpoint of Secrets Manager (vpce-...), or of a NAT "
            "gateway (nat-...)",
            code="vpc-without-way-out",
        )
    if store.alert_topic and store.alert_emails:
        yield Problem(
            "store.alert_emails: with store.alert_topic",
            "the stack must not add subscriptions to a topic that it does not own",
            "remove store.alert_emails, and subscribe the addresses to the topic yourself; or remove "
            "store.alert_topic, so that the stack creates a topic",
            code="emails-of-foreign-topic",
        )


def _too_many(store: AwsStore, stack: str, parsed: Mapping[str, Any]) -> Iterator[Problem]:
    declared, issuer = list(parsed.get("secrets", {})), parsed.get("issuer")
    secrets = [secret.name for secret in secrets_of(stack, parsed)]
    size = characters_of_tick(store, store.names(stack), secrets, issuer)
    if size > ROLE_LIMIT:
        remedies = ["combine several secrets into one secret with several fields", "use several stacks"]
        yield Problem(
            f"secrets: {len(declared)} secrets"
            + (f", with {counted(len(store.replicas), 'replica', 'replicas')}" if store.replicas else ""),
            f"the policies of the tick's role must have at most {ROLE_LIMIT:,} characters (IAM), but would have "
            f"{size:,}: the policies name each secret twice, and once more for each replica",
            ", or ".join((["remove a replica"] if store.replicas else []) + remedies),
            code="too-many-secrets",
        )


def characters_of_tick(store: AwsStore, names: Names, secrets: Sequence[str], issuer: Any) -> int:
    """Return the number of characters in the policies of the hourly tick's role, the longest of all roles. Unknown ids
    count with their usual length."""
    way_out = known(store.vpc.way_out) or _ENDPOINT if store.vpc else None
    key = known(store.kms_key) or names.arn("kms", _KEY)
    signer = issuer.issuer_of(client_name(names.stack)) if isinstance(issuer, AwsPrivateCa) else None
    if signer and not known(signer.arn):
        signer = signer.model_copy(update={"arn": names.arn("acm-pca", _CA)})
    statements = [
        *policies.of_function(names, TICK, in_a_vpc=store.vpc is not None),
        *policies.of_tick(
            names,
            secrets,
            keys={
                region: key if store.kms_key else names.at(region).any_key for region in (store.region, *store.replicas)
            },
            way_out=way_out,
            issuers=[signer] if signer else [],
        ),
    ]
    return len(json.dumps({"Version": policies.VERSION, "Statement": statements}, separators=(",", ":")))


def _of_another_place(store: AwsStore, server: Any) -> Iterator[Problem]:
    for at, operator in enumerate(store.operators):
        what = "the operator's role or user"
        yield from _not_here(store, f"store.operators.{at}", operator, what)
    if topic := known(store.alert_topic):
        yield from _not_here(store, "store.alert_topic", topic, "a topic", regional=True)
    for name, given in (("kms_key", store.kms_key), ("log_kms_key", store.log_kms_key)):
        if key := known(given):
            yield from _not_here(store, f"store.{name}", key, "a KMS key", regional=True)
    boundary = known(store.permissions_boundary)
    if boundary and ":iam::aws:" not in boundary:
        yield from _not_here(store, "store.permissions_boundary", boundary, "a policy")
    if (reader := getattr(server, "reader", None) or "").startswith("arn:"):
        yield from _not_here(store, "server.reader", reader, "a role or user")
    if provider := known(getattr(server, "oidc_provider", None)):
        yield from _not_here(store, "server.oidc_provider", provider, "an OIDC provider")
    balancer = server.load_balancer if isinstance(server, EcsServer) else None
    if balancer and (arn := known(balancer.certificate)):
        where = "server.load_balancer.certificate"
        yield from _not_here(store, where, arn, "a certificate", regional=True)


def _of_another_partition(store: AwsStore, issuer: AwsPrivateCa) -> Iterator[Problem]:
    own, arn = store.names("").partition, known(issuer.arn)
    if arn and (found := arn.split(":")[1]) != own:
        yield Problem(
            f"issuer.arn: a CA in partition {found}",
            f"the CA must be in the AWS partition of the store, {own}",
            f"write the ARN of a CA in partition {own}",
            code="other-partition",
        )


def _not_here(store: AwsStore, where: str, arn: str, what: str, *, regional: bool = False) -> Iterator[Problem]:
    _, partition, _, region, account, *_ = arn.split(":")
    own = store.names("")
    parts = {"partition": (partition, own.partition), "account": (account, own.account)}
    if regional:
        parts["region"] = (region, own.region)
    for part, (found, wanted) in parts.items():
        if found != wanted:
            other_place, own_place = " ".join((part, found)), " ".join((part, wanted))
            yield Problem(
                f"{where}: in {other_place}",
                f"{where} must be in {own_place}, as the stack is",
                f"write the ARN of {what} in {own_place}",
                code="other-place",
            )
            return


def _read_from_elsewhere(server: Any) -> Iterator[Problem]:
    if server.kind in ("local", "swarm") and not (server.reader or "").startswith("arn:"):
        # On a Swarm, the launcher logs in with the access key of an IAM user.
        who = "user/coreflux-mcp-server" if server.is_remote else "role/developer"
        yield Problem(
            f"server.reader: {server.reader}" if server.reader else "server.reader: required with store aws",
            "server.reader must be the ARN of the role or user with which the launcher reads the store",
            f"write the ARN in server.reader, for example reader: arn:aws:iam::123456789012:{who}",
            code="reader-missing",
        )
    if server.kind == "kubernetes" and not server.oidc_provider:
        yield Problem(
            "server.oidc_provider: required with store aws",
            "AWS must trust the cluster's OIDC provider, so that External Secrets can log in",
            "write the provider's ARN in server.oidc_provider; aws iam list-open-id-connect-providers prints it",
            code="oidc-provider-missing",
        )
