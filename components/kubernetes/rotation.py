"""The rotator in a cluster: `secretops tick` by a CronJob, as an account that may get and update the Secrets of the
Kubernetes store, or that logs in to a store elsewhere and may do nothing in the cluster.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi_kubernetes import batch, core, meta

from secretops.manifest import Manifest, OwnedAgent
from secretops.platforms.kubernetes.location import KubernetesStoreLocation as Location

from ..core.broker import BrokerArgs, ca_bundle
from ..core.component import Component
from ..core.principals import Namespace
from .grants import Grant, grant
from .names import LEASE, ROTATOR, STACK, Place, name_of
from .network import allow, to_api_server, to_broker, to_copilot, to_dns, to_vault
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
from .settings import KubernetesServer, Resources

MANIFEST = "secretops.json"

RESOURCES = Resources(
    requests={"cpu": "50m", "memory": "64Mi", "ephemeral-storage": "64Mi"}, limits={"cpu": "500m", "memory": "256Mi"}
)

START_WITHIN = 600
"""Seconds after its minute in which a tick may start. A later one is skipped: the next hour's does the same."""

LONGEST_TICK = 1800
"""Seconds after which a tick is ended: below the hour, so that a hanging one costs the next none. Whatever the step it
is killed at, the next tick finishes it."""

# Seconds that a Job and its log stay. While one that failed is there, the alert KubeJobFailed of kube-prometheus fires.
KEPT = 6 * 3600


@dataclass(frozen=True, kw_only=True)
class StoreElsewhere:
    """A Vault that the rotator logs in to with a token of its service account."""

    address: str
    audience: str | None
    """Whom that token is for; None is the API server."""
    token: str
    """Path of the token in the pod."""
    files: Mapping[str, str]
    """Public files that it needs for that, by name."""


class KubernetesRotator(Component):
    """An hourly tick. Owns its account, its grant, its manifest and its network; never a value.

    A Job that failed is one that did not work. What needs a person or waits for a value is in its log, and in status.
    """

    def __init__(
        self,
        name: str,
        *,
        manifest: Manifest,
        secrets: tuple[str, ...],
        server: KubernetesServer,
        broker: BrokerArgs,
        namespace: Namespace,
        elsewhere: StoreElsewhere | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:kubernetes:Rotator", name, opts)
        place = Place.of(self, namespace, ROTATOR, manifest.stack)
        account = core.v1.ServiceAccount(
            "rotator-account", metadata=place.metadata(ROTATOR), automount_service_account_token=False, opts=place.child
        )
        if elsewhere:
            store = to_vault(elsewhere.address, server)
        else:
            grant(
                "rotator",
                ROTATOR,
                place,
                name_of(account.metadata, ROTATOR),
                Grant("", "secrets", secrets, ("get", "update")),
                Grant("coordination.k8s.io", "leases", (LEASE,), ("get", "update")),
            )
            store = to_api_server(server)
        makes_keys = any(isinstance(secret.agent, OwnedAgent) for secret in manifest.secrets)
        agent = to_copilot(server) if makes_keys else []
        allow("rotator-network", ROTATOR, place, egress=[to_dns(server), to_broker(broker, server), store, *agent])
        files = {MANIFEST: _in_pod(manifest, broker, server).model_dump_json(indent=1) + "\n"}
        files |= elsewhere.files if elsewhere else {}
        if broker.ca_file:
            files["ca.crt"] = ca_bundle(broker.ca_file)
        core.v1.ConfigMap("stack", metadata=place.metadata(STACK), data=files, opts=place.child)
        batch.v1.CronJob(
            "rotator-cronjob",
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
                            metadata=pod_metadata(server, place),
                            spec=_pod(server, broker, name_of(account.metadata, ROTATOR), tuple(files), elsewhere),
                        ),
                    ),
                ),
            ),
            opts=place.child,
        )
        self.register_outputs({})


def minute(stack: str) -> int:
    """Return the minute of the hour at which a stack ticks: not all stacks of a cluster at once."""
    return int(hashlib.sha256(stack.encode()).hexdigest(), 16) % 60


def _pod(
    server: KubernetesServer,
    broker: BrokerArgs,
    account: pulumi.Output[str],
    files: tuple[str, ...],
    elsewhere: StoreElsewhere | None,
) -> core.v1.PodSpecArgs:
    mounted = [scratch(), stack_files(*files)]
    if elsewhere:
        mounted.append(shown_token(elsewhere.token, elsewhere.audience))
    elif server.certificate_issuer:  # secretops takes any other from the store itself
        mounted.append(secret_files("certs", CERTS_FOLDER, *certificates(broker, server)))
    return core.v1.PodSpecArgs(
        service_account_name=account,
        automount_service_account_token=elsewhere is None,  # it writes the Secrets by it
        enable_service_links=False,
        image_pull_secrets=pull_secrets(server),
        restart_policy="Never",
        security_context=pod_security(server),
        **scheduling(server),
        volumes=[volume for volume, _ in mounted],
        containers=[
            core.v1.ContainerArgs(
                name="rotator",
                image=server.image,
                image_pull_policy=server.pull_policy,
                command=["secretops"],
                args=["tick", "--scheduled", "--manifest", f"{FOLDER}/stack/{MANIFEST}"],
                security_context=container_security(),
                resources=resources(server.rotator_resources, RESOURCES),
                volume_mounts=[mount for _, mount in mounted],
            )
        ],
    )


def _in_pod(manifest: Manifest, broker: BrokerArgs, server: KubernetesServer) -> Manifest:
    """The stack's manifest as it reads inside the cluster: other paths, and no kubeconfig."""
    store = manifest.store
    in_cluster = isinstance(store, Location)
    here = broker.location(
        certificates=Path(CERTS_FOLDER) if server.certificate_issuer and in_cluster else None,
        authority=False,
        certificate_secret=manifest.broker.certificate_secret,
        ca_file=CA_FILE if broker.ca_file else None,
    )
    if isinstance(store, Location):
        store = store.model_copy(update={"context": None})
    return manifest.model_copy(update={"broker": here, "store": store})
