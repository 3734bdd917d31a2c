"""The rotator in a cluster: `secretops tick` as a CronJob that updates Secrets or logs in to a store outside the
cluster."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pulumi
from pulumi_kubernetes import batch, core, meta, rbac

from secretops.manifest import Manifest, OwnedAgent
from secretops.platforms.kubernetes.location import KubernetesStoreLocation as Location

from ..core.broker import BrokerArgs, ca_bundle
from ..core.component import Component
from ..core.principals import ServiceAccount
from .identity import KubernetesIdentityArgs, account_for
from .names import LEASE, ROTATOR, STACK, Place, name_of
from .network import allow, to_api_server, to_broker, to_copilot, to_dns, to_vault
from .pod_args import PodArgs, Resources
from .pods import (
    CA_FILE,
    CERTS_FOLDER,
    FOLDER,
    certificates,
    container_security,
    pod_metadata,
    pod_security,
    pull_secrets,
    resources,
    scheduling,
    scratch,
    secret_files,
    shown_token,
    stack_files,
)

MANIFEST = "secretops.json"

RESOURCES = Resources(
    requests={"cpu": "50m", "memory": "64Mi", "ephemeral-storage": "64Mi"}, limits={"cpu": "500m", "memory": "256Mi"}
)

# Seconds after its scheduled time in which a tick may start. After that, the tick is skipped, and the next tick does
# its work.
START_WITHIN = 600

# Seconds after which a tick is stopped. The next tick starts later, and recovers from any step.
LONGEST_TICK = 1800

# Seconds that a finished Job and its log remain. While a failed Job exists, the alert KubeJobFailed of
# kube-prometheus fires.
KEPT = 6 * 3600


@dataclass(frozen=True, kw_only=True)
class StoreElsewhere:
    """A Vault server as the store. The rotator logs in with a token of its service account."""

    address: str
    audience: str | None
    """Audience of the token; None means the API server's audience."""
    token: str
    """Path of the token in the pod."""
    files: Mapping[str, str]
    """Texts of public files for the login, by file name."""


@dataclass(frozen=True, kw_only=True)
class KubernetesRotatorArgs:
    manifest: Manifest
    """The `manifest` of a store, which configures secretops."""
    broker: BrokerArgs
    pods: PodArgs
    secrets: Sequence[str] = ()
    """Names of the Kubernetes Secrets that the rotator may get and update."""
    account: ServiceAccount | KubernetesIdentityArgs = field(default_factory=KubernetesIdentityArgs)
    """Service account of the server's pods, or arguments to create an identity. The rotator uses its namespace."""
    elsewhere: StoreElsewhere | None = None
    """The store, if it is not the namespace's Secrets. The rotator then has no rights in the cluster."""


class KubernetesRotator(Component):
    """An hourly tick, as a CronJob with account, grants, manifest and network policy.

    A Job fails if its tick fails. Its log and `secretops status` report what an operator has to do.
    """

    def __init__(self, name: str, args: KubernetesRotatorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:kubernetes:Rotator", name, opts, formerly="rotator-")
        manifest, broker, pods = args.manifest, args.broker, args.pods
        namespace = account_for(self, name, args.account, manifest.stack).namespace
        place = Place.of(self, namespace, ROTATOR, manifest.stack)
        made = core.v1.ServiceAccount(
            f"{name}-account", metadata=place.metadata(ROTATOR), automount_service_account_token=False, opts=place.child
        )
        account = name_of(made.metadata, ROTATOR)
        if args.elsewhere:
            store = to_vault(args.elsewhere.address, pods)
        else:
            rights = [rule("", "secrets", args.secrets), rule("coordination.k8s.io", "leases", (LEASE,))]
            _grant(name, place, account, rights)
            store = to_api_server(pods)
        makes_keys = any(isinstance(secret.agent, OwnedAgent) for secret in manifest.secrets)
        agent = to_copilot(pods) if makes_keys else []
        allow(f"{name}-network", ROTATOR, place, egress=[to_dns(pods), to_broker(broker, pods), store, *agent])
        files = {MANIFEST: _in_pod(manifest, broker, pods).model_dump_json(indent=1) + "\n"}
        files |= args.elsewhere.files if args.elsewhere else {}
        if broker.ca_file:
            files["ca.crt"] = ca_bundle(broker.ca_file)
        core.v1.ConfigMap(
            f"{name}-stack",
            metadata=place.metadata(STACK),
            data=files,
            opts=pulumi.ResourceOptions.merge(
                place.child, pulumi.ResourceOptions(aliases=[pulumi.Alias(name="stack")])
            ),
        )
        batch.v1.CronJob(
            f"{name}-cronjob",
            metadata=place.metadata(ROTATOR),
            spec=batch.v1.CronJobSpecArgs(
                schedule=f"{minute(manifest.stack)} * * * *",
                concurrency_policy="Forbid",
                starting_deadline_seconds=START_WITHIN,
                successful_jobs_history_limit=3,
                failed_jobs_history_limit=KEPT // 3600,
                job_template=batch.v1.JobTemplateSpecArgs(
                    metadata=meta.v1.ObjectMetaArgs(labels=place.labels),
                    spec=batch.v1.JobSpecArgs(
                        backoff_limit=0,
                        active_deadline_seconds=LONGEST_TICK,
                        ttl_seconds_after_finished=KEPT,
                        template=core.v1.PodTemplateSpecArgs(
                            metadata=pod_metadata(pods, place),
                            spec=_pod(pods, broker, account, tuple(files), args.elsewhere),
                        ),
                    ),
                ),
            ),
            opts=place.child,
        )
        self.register_outputs({})


def rule(group: str, resource: str, names: Sequence[str]) -> rbac.v1.PolicyRuleArgs:
    """Return the right to get and update the named objects. It omits list and watch, which Kubernetes can't limit by
    name."""
    return rbac.v1.PolicyRuleArgs(
        api_groups=[group], resources=[resource], resource_names=list(names), verbs=["get", "update"]
    )


def _grant(name: str, place: Place, account: pulumi.Output[str], rules: list[rbac.v1.PolicyRuleArgs]) -> None:
    made = rbac.v1.Role(f"{name}-role", metadata=place.metadata(ROTATOR), rules=rules, opts=place.child)
    rbac.v1.RoleBinding(
        f"{name}-binding",
        metadata=place.metadata(ROTATOR),
        role_ref=rbac.v1.RoleRefArgs(
            api_group="rbac.authorization.k8s.io", kind="Role", name=name_of(made.metadata, ROTATOR)
        ),
        subjects=[rbac.v1.SubjectArgs(kind="ServiceAccount", name=account, namespace=place.namespace.name)],
        opts=place.child,
    )


def minute(stack: str) -> int:
    """Return the minute of the hour at which a stack's tick runs. A hash of the name spreads the stacks of a cluster
    over the hour."""
    return int(hashlib.sha256(stack.encode()).hexdigest(), 16) % 60


def _pod(
    pods: PodArgs,
    broker: BrokerArgs,
    account: pulumi.Output[str],
    files: tuple[str, ...],
    elsewhere: StoreElsewhere | None,
) -> core.v1.PodSpecArgs:
    mounted = [scratch(), stack_files(*files)]
    if elsewhere:
        mounted.append(shown_token(elsewhere.token, elsewhere.audience))
    elif pods.certificate_issuer:  # otherwise secretops reads the certificate from the store
        mounted.append(secret_files("certs", CERTS_FOLDER, *certificates(broker, pods)))
    return core.v1.PodSpecArgs(
        service_account_name=account,
        automount_service_account_token=elsewhere is None,  # the token is for writing Secrets
        enable_service_links=False,
        image_pull_secrets=pull_secrets(pods),
        restart_policy="Never",
        security_context=pod_security(pods),
        **scheduling(pods),
        volumes=[volume for volume, _ in mounted],
        containers=[
            core.v1.ContainerArgs(
                name="rotator",
                image=pods.image,
                image_pull_policy=pods.pull_policy,
                command=["secretops"],
                args=["tick", "--scheduled", "--manifest", f"{FOLDER}/stack/{MANIFEST}"],
                security_context=container_security(),
                resources=resources(pods.resources, RESOURCES),
                volume_mounts=[mount for _, mount in mounted],
            )
        ],
    )


def _in_pod(manifest: Manifest, broker: BrokerArgs, pods: PodArgs) -> Manifest:
    store = manifest.store
    in_cluster = isinstance(store, Location)
    here = broker.location(
        certificates=Path(CERTS_FOLDER) if pods.certificate_issuer and in_cluster else None,
        authority=False,
        certificate_secret=manifest.broker.certificate_secret,
        ca_file=CA_FILE if broker.ca_file else None,
    )
    if isinstance(store, Location):
        store = store.model_copy(update={"context": None})
    return manifest.model_copy(update={"broker": here, "store": store})
