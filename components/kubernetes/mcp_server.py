"""The MCP server as a Deployment: the launcher over streamable HTTP, its Secrets as files that kubelets renew."""

from __future__ import annotations

import hashlib
import json

import pulumi
from pulumi_kubernetes import apps, core, meta, networking, policy

from ..core.broker import BrokerArgs, ca_bundle
from ..core.mcp_server import McpServer
from ..core.principals import ServiceAccount
from ..core.references import InjectedFiles, MountedFiles, SyncedKey
from ..settings.settings import Settings
from .names import CERTS, PUBLIC, SECRETS, SERVER, STACK, Place, name_of, selector
from .network import allow, from_clients, to_broker, to_copilot, to_dns, to_vault
from .operators import client_certificate, sync
from .pods import (
    CA_FILE,
    SECRETS_FOLDER,
    TOKEN,
    certificates,
    container_security,
    pod_metadata,
    pod_security,
    pull_secrets,
    resources,
    scheduling,
    scratch,
    secret,
    secret_files,
    stack_files,
    token_volume,
)
from .settings import KubernetesServer, Resources

# Of the launcher, and of the Service: EKS' network policies want one port for both (docs.aws.amazon.com/eks, Limit pod
# traffic with Kubernetes network policies). Not 8000: the server's tool verify_lot_snippet looks there for a verifier,
# and would wait 15 s for itself.
PORT = 8080

# CPU and memory as the server's own example for Kubernetes has them; of the disk its log is all that it takes.
RESOURCES = Resources(
    requests={"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "64Mi"}, limits={"cpu": "500m", "memory": "512Mi"}
)

DRAIN = 5
"""Seconds between the end of a pod's being an endpoint and SIGTERM: as long as nodes and ingresses may take to hear of
it. Slept by Python: the kubelet's own sleep is Kubernetes 1.30's."""

END_WITHIN = 20
"""Seconds until SIGKILL, DRAIN included. The launcher ends within 5 (docs/operations/http.md); the rest is a slow
node's."""

# A Service without ready pods is no failure: they are ready once they have values, which come after `pulumi up`.
SKIP_AWAIT = {"pulumi.com/skipAwait": "true"}

# `pulumi up` waits until every replica is updated and available, as `kubectl rollout status` does. It does not wait
# while fewer than all are available: the first values come after the first `up`. A rollout takes no available replica
# away (maxUnavailable 0): one that hangs, on an image for example, keeps all of them and fails `up`. The path is of
# RFC 9535: pulumi-kubernetes 4.24 or newer (its CHANGELOG.md, pulumi.com/waitFor).
_COMPLETE = "@.updatedReplicas == @.replicas && @.availableReplicas == $.spec.replicas"
_NEVER_READY = "@.conditions[?@.reason == 'MinimumReplicasUnavailable']"
ROLLED_OUT = f"jsonpath={{$[?{_COMPLETE} || {_NEVER_READY}]}}"


class KubernetesMcpServer(McpServer):
    """A Deployment and what belongs to it. Owns no value and no grant; what it mounts is made by secretops."""

    def __init__(
        self,
        name: str,
        *,
        server: KubernetesServer,
        broker: BrokerArgs,
        account: ServiceAccount,
        settings: Settings,
        secrets: MountedFiles | SyncedKey,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:kubernetes:McpServer", name, opts)
        place = Place.of(self, account.namespace, SERVER, settings.stack)
        self.endpoint = f"http://{SERVER}.{server.namespace}.svc.cluster.local:{PORT}/mcp"
        if server.certificate_issuer:
            client_certificate(server.certificate_issuer, settings.stack).deploy("certificate", place)
        mounted: tuple[str, ...] = (SECRETS,)
        if isinstance(secrets, SyncedKey):
            mounted = sync(secrets, settings.catalogue, place, grace_seconds=settings.rotation.grace_seconds)
            if broker.ca_file and settings.store.kind != "vault":  # else the rotator's component lays it there, beside
                # what it needs itself
                bundle = {"ca.crt": ca_bundle(broker.ca_file)}
                core.v1.ConfigMap("stack", metadata=place.metadata(STACK), data=bundle, opts=place.child)
        variables = broker.public_variables(log_level=settings.log_level, agent_url=settings.agent_url, ca_file=CA_FILE)
        public = core.v1.ConfigMap("public", metadata=place.metadata(PUBLIC), data=variables, opts=place.child)
        allow(
            "server-network",
            SERVER,
            place,
            egress=[
                to_dns(server),
                to_broker(broker, server),
                *to_copilot(server),
                *_to_store(secrets, server),
            ],
            ingress=[from_clients(server, "http")],
        )
        apps.v1.Deployment(
            "deployment",
            metadata=place.metadata(
                SERVER,
                {"pulumi.com/waitFor": ROLLED_OUT, "pulumi.com/timeoutSeconds": str(server.rollout_seconds)},
            ),
            spec=apps.v1.DeploymentSpecArgs(
                replicas=server.replicas,
                revision_history_limit=3,
                selector=meta.v1.LabelSelectorArgs(match_labels=selector(SERVER)),
                strategy=apps.v1.DeploymentStrategyArgs(
                    type="RollingUpdate",
                    rolling_update=apps.v1.RollingUpdateDeploymentArgs(max_unavailable=0, max_surge=1),
                ),
                template=core.v1.PodTemplateSpecArgs(
                    metadata=pod_metadata(
                        server,
                        place,
                        # Variables don't change in a running pod: a change of theirs is a new pod.
                        {
                            "coreflux-mcp-secrets/public-sha256": _digest(variables),
                            **(secrets.annotations if isinstance(secrets, InjectedFiles) else {}),
                        },
                    ),
                    spec=_pod(
                        server, broker, account, name_of(public.metadata, PUBLIC), secrets=secrets, mounts=mounted
                    ),
                ),
            ),
            opts=place.child,
        )
        _reachable(place)
        self.register_outputs({"endpoint": self.endpoint})


def _to_store(
    secrets: MountedFiles | SyncedKey, server: KubernetesServer
) -> list[networking.v1.NetworkPolicyEgressRuleArgs]:
    """Where the agent in the server's pods asks."""
    if isinstance(secrets, InjectedFiles):
        return [to_vault(secrets.address, server)]
    return []


def _reachable(place: Place) -> None:
    """A Service, and a budget that lets a node be emptied a pod at a time."""
    core.v1.Service(
        "service",
        metadata=place.metadata(SERVER, SKIP_AWAIT),
        spec=core.v1.ServiceSpecArgs(
            type="ClusterIP",
            selector=selector(SERVER),
            ports=[core.v1.ServicePortArgs(name="http", port=PORT, target_port="http", protocol="TCP")],
            session_affinity="ClientIP",  # an MCP session lives in the memory of one pod
        ),
        opts=place.child,
    )
    policy.v1.PodDisruptionBudget(
        "disruption-budget",
        metadata=place.metadata(SERVER),
        spec=policy.v1.PodDisruptionBudgetSpecArgs(
            max_unavailable=1,
            # Else a node can't be emptied while pods wait for their first values.
            unhealthy_pod_eviction_policy="AlwaysAllow",
            selector=meta.v1.LabelSelectorArgs(match_labels=selector(SERVER)),
        ),
        opts=place.child,
    )


def _pod(
    server: KubernetesServer,
    broker: BrokerArgs,
    account: ServiceAccount,
    public: pulumi.Output[str],
    *,
    secrets: MountedFiles | SyncedKey,
    mounts: tuple[str, ...],
) -> core.v1.PodSpecArgs:
    mounted = [scratch()]
    tokens: list[core.v1.VolumeArgs] = []
    files = ["ca.crt"] if broker.ca_file else []
    if isinstance(secrets, InjectedFiles):  # the folder is the injector's, and the token the agent's alone
        tokens.append(token_volume(TOKEN, "token", secrets.token_for))
        files += secrets.files
    else:
        sources = [secret(name) for name in mounts if name != CERTS]
        mounted.append(secret_files("secrets", SECRETS_FOLDER, *sources, *certificates(broker, server)))
    if files:
        mounted.append(stack_files(*files))
    return core.v1.PodSpecArgs(
        service_account_name=account.name,
        automount_service_account_token=False,
        enable_service_links=False,
        image_pull_secrets=pull_secrets(server),
        security_context=pod_security(server),
        **scheduling(server),
        termination_grace_period_seconds=END_WITHIN,
        topology_spread_constraints=[
            core.v1.TopologySpreadConstraintArgs(
                max_skew=1,
                topology_key=key,
                when_unsatisfiable="ScheduleAnyway",
                label_selector=meta.v1.LabelSelectorArgs(match_labels=selector(SERVER)),
            )
            for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
        volumes=[*(volume for volume, _ in mounted), *tokens],
        containers=[
            core.v1.ContainerArgs(
                name="server",
                image=server.image,
                image_pull_policy=server.pull_policy,
                command=["secretops"],
                args=_arguments(
                    server, secrets.source if isinstance(secrets, MountedFiles) else f"files:{SECRETS_FOLDER}"
                ),
                env=[
                    core.v1.EnvVarArgs(
                        name="POD_NAME",
                        value_from=core.v1.EnvVarSourceArgs(
                            # The version that the API server would add: an `up` after the state was lost applies
                            # this field anew, and is refused one that is not the same.
                            field_ref=core.v1.ObjectFieldSelectorArgs(api_version="v1", field_path="metadata.name")
                        ),
                    ),
                    # The launcher adds a part of its own. Together about 45 characters: MQTT 3.1.1 promises 23, and
                    # leaves more to the broker (section 3.1.3.1).
                    core.v1.EnvVarArgs(name="MQTT_CLIENT_ID", value="$(POD_NAME)"),
                ],
                env_from=[core.v1.EnvFromSourceArgs(config_map_ref=core.v1.ConfigMapEnvSourceArgs(name=public))],
                ports=[core.v1.ContainerPortArgs(name="http", container_port=PORT, protocol="TCP")],
                security_context=container_security(),
                resources=resources(server.resources, RESOURCES),
                lifecycle=core.v1.LifecycleArgs(
                    pre_stop=core.v1.LifecycleHandlerArgs(
                        exec_=core.v1.ExecActionArgs(
                            command=["/opt/secretops/bin/python", "-c", f"import time; time.sleep({DRAIN})"]
                        )
                    )
                ),
                # Health is answered while a tool blocks. A busy node is no reason to end every session.
                startup_probe=_probe("/healthz", period=2, failures=60),
                liveness_probe=_probe("/healthz", period=10, failures=12),
                readiness_probe=_probe("/readyz", period=5, failures=8),
                volume_mounts=[mount for _, mount in mounted],
            )
        ],
    )


def _arguments(server: KubernetesServer, source: str) -> list[str]:
    arguments = ["run", "--from", source, "--transport", "http", "--listen", f"0.0.0.0:{PORT}"]
    service = f"{SERVER}.{server.namespace}"
    for name in (SERVER, service, f"{service}.svc", f"{service}.svc.cluster.local", *server.allowed_hosts):
        arguments += ["--allowed-host", name]
    return [*arguments, "--allow-connection-tools"] if server.connection_tools else arguments


def _probe(path: str, *, period: int, failures: int) -> core.v1.ProbeArgs:
    """`period` in seconds. A probe has no token: both paths are open."""
    return core.v1.ProbeArgs(
        http_get=core.v1.HTTPGetActionArgs(path=path, port="http"),
        period_seconds=period,
        failure_threshold=failures,
        timeout_seconds=5,
    )


def _digest(variables: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(variables, sort_keys=True).encode()).hexdigest()
