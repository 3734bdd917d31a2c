"""The MCP server as a Deployment: the launcher over streamable HTTP, with Secrets as files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_kubernetes import apps, core, meta, policy

from ..core.broker import ca_bundle
from ..core.mcp_server import McpServer, McpServerArgs
from ..core.principals import ServiceAccount
from ..core.references import InjectedFiles, MountedFiles, SyncedKey
from .identity import KubernetesIdentityArgs, account_for
from .names import CERTS, PUBLIC, SECRETS, SERVER, STACK, Place, name_of, selector
from .network import allow, from_clients, to_broker, to_copilot, to_dns, to_vault
from .operators import client_certificate, sync
from .pod_args import PodArgs, Resources
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

# Port of the launcher and the Service: EKS' network policies need the same port (docs.aws.amazon.com/eks, Limit pod
# traffic with Kubernetes network policies). Port 8000 is for the verifier that the server's tool verify_lot_snippet
# calls.
PORT = 8080

# CPU and memory as in the server's example for Kubernetes. The ephemeral storage is for the server's log.
RESOURCES = Resources(
    requests={"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "64Mi"}, limits={"cpu": "500m", "memory": "512Mi"}
)

# Seconds between the removal of a pod's endpoint and SIGTERM, in which nodes and ingresses update. Python sleeps,
# because the kubelet's own sleep action requires Kubernetes 1.30.
DRAIN = 5

# Seconds until SIGKILL, including DRAIN. The launcher ends within 5 seconds (docs/operations/http.md).
END_WITHIN = 20

# Don't wait for ready pods behind the Service: pods become ready with their first values, after `pulumi up`.
SKIP_AWAIT = {"pulumi.com/skipAwait": "true"}

# Condition for which `pulumi up` waits: every replica is updated and available, as for `kubectl rollout status`. It
# does not wait if replicas were unavailable before, since the first values come after the first `up`. A rollout keeps
# replicas available (maxUnavailable 0), so a rollout that hangs fails `up`. The condition is a JSONPath of RFC 9535,
# for pulumi-kubernetes 4.24 or newer (its CHANGELOG.md, pulumi.com/waitFor).
_COMPLETE = "@.updatedReplicas == @.replicas && @.availableReplicas == $.spec.replicas"
_NEVER_READY = "@.conditions[?@.reason == 'MinimumReplicasUnavailable']"
ROLLED_OUT = f"jsonpath={{$[?{_COMPLETE} || {_NEVER_READY}]}}"


@dataclass(frozen=True, kw_only=True)
class KubernetesMcpServerArgs(PodArgs, McpServerArgs):
    references: MountedFiles | SyncedKey
    """Where the launcher reads secrets: the result of a store's `publish()`, or your own references."""
    mounted: Sequence[pulumi.Input[str]] = (SECRETS,)
    """Names of the Kubernetes Secrets to mount. Ignored with SyncedKey: pods then mount the Secrets that External
    Secrets creates."""
    account: ServiceAccount | KubernetesIdentityArgs = field(default_factory=KubernetesIdentityArgs)
    """Service account of the pods (`principal` of a KubernetesIdentity), or arguments to create an identity."""
    replicas: int = 2
    rollout_seconds: int = 300
    """Seconds that `pulumi up` waits for new pods, if the server was ready before."""
    allowed_hosts: Sequence[str] = ()
    """Host names by which MCP clients reach the server, in addition to the Service's, such as that of an Ingress."""
    connection_tools: bool = False
    """Allows tools that change broker and user for all MCP clients."""
    grace_seconds: int = 3600
    """Seconds that previous versions stay valid. External Secrets polls often enough to sync within that time."""
    has_rotator: bool = False
    """Whether a KubernetesRotator runs in the namespace. The rotator's ConfigMap then contains the CA certificates of
    rotator and server."""


class KubernetesMcpServer(McpServer):
    """A Deployment with Service, disruption budget and network policy. Grants no access to secrets."""

    def __init__(self, name: str, args: KubernetesMcpServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:kubernetes:McpServer", name, opts, formerly="")
        account, secrets = account_for(self, name, args.account, args.stack_name), args.references
        place = Place.of(self, account.namespace, SERVER, args.stack_name)
        service = f"{SERVER}.{account.namespace.known_name}"
        self.endpoint = f"http://{service}.svc.cluster.local:{PORT}/mcp"
        if args.certificate_issuer:
            client_certificate(args.certificate_issuer, args.stack_name).deploy(f"{name}-certificate", place)
        mounted = args.mounted
        if isinstance(secrets, SyncedKey):
            mounted = sync(name, secrets, args.read_secrets, place, grace_seconds=args.grace_seconds)
        files = {"ca.crt": ca_bundle(args.broker.ca_file)} if args.broker.ca_file and not args.has_rotator else {}
        files |= secrets.files if isinstance(secrets, InjectedFiles) and not args.has_rotator else {}
        if files:
            core.v1.ConfigMap(f"{name}-stack", metadata=place.metadata(STACK), data=files, opts=place.child)
        variables = args.public_variables(ca_file=CA_FILE)
        public = core.v1.ConfigMap(f"{name}-public", metadata=place.metadata(PUBLIC), data=variables, opts=place.child)
        to_store = [to_vault(secrets.address, args)] if isinstance(secrets, InjectedFiles) else []  # for Vault's agent
        allow(
            f"{name}-server-network",
            SERVER,
            place,
            egress=[to_dns(args), to_broker(args.broker, args), *to_copilot(args), *to_store],
            ingress=[from_clients(args, "http")],
        )
        apps.v1.Deployment(
            f"{name}-deployment",
            metadata=place.metadata(
                SERVER,
                {"pulumi.com/waitFor": ROLLED_OUT, "pulumi.com/timeoutSeconds": str(args.rollout_seconds)},
            ),
            spec=apps.v1.DeploymentSpecArgs(
                replicas=args.replicas,
                revision_history_limit=3,
                selector=meta.v1.LabelSelectorArgs(match_labels=selector(SERVER)),
                strategy=apps.v1.DeploymentStrategyArgs(
                    type="RollingUpdate",
                    rolling_update=apps.v1.RollingUpdateDeploymentArgs(max_unavailable=0, max_surge=1),
                ),
                template=core.v1.PodTemplateSpecArgs(
                    metadata=pod_metadata(
                        args,
                        place,
                        # pods must be replaced when variables change
                        {
                            "coreflux-mcp-secrets/public-sha256": _digest(variables),
                            **(secrets.annotations if isinstance(secrets, InjectedFiles) else {}),
                        },
                    ),
                    spec=_pod(args, account, name_of(public.metadata, PUBLIC), service=service, mounted=mounted),
                ),
            ),
            opts=place.child,
        )
        _reachable(name, place)
        self.register_outputs({"endpoint": self.endpoint})


def _reachable(name: str, place: Place) -> None:
    core.v1.Service(
        f"{name}-service",
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
        f"{name}-disruption-budget",
        metadata=place.metadata(SERVER),
        spec=policy.v1.PodDisruptionBudgetSpecArgs(
            max_unavailable=1,
            # With another policy, nodes can't be drained while pods wait for their first values.
            unhealthy_pod_eviction_policy="AlwaysAllow",
            selector=meta.v1.LabelSelectorArgs(match_labels=selector(SERVER)),
        ),
        opts=place.child,
    )


def _pod(
    args: KubernetesMcpServerArgs,
    account: ServiceAccount,
    public: pulumi.Output[str],
    *,
    service: str,
    mounted: Sequence[pulumi.Input[str]],
) -> core.v1.PodSpecArgs:
    secrets = args.references
    folders = [scratch()]
    tokens: list[core.v1.VolumeArgs] = []
    files = ["ca.crt"] if args.broker.ca_file else []
    if isinstance(secrets, InjectedFiles):  # the injector mounts the folder; only the agent reads the token
        tokens.append(token_volume(TOKEN, "token", secrets.token_for))
        files += secrets.files
    else:
        sources = [secret(name) for name in mounted if name != CERTS]
        folders.append(secret_files("secrets", SECRETS_FOLDER, *sources, *certificates(args.broker, args)))
    if files:
        folders.append(stack_files(*files))
    return core.v1.PodSpecArgs(
        service_account_name=account.name,
        automount_service_account_token=False,
        enable_service_links=False,
        image_pull_secrets=pull_secrets(args),
        security_context=pod_security(args),
        **scheduling(args),
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
        volumes=[*(volume for volume, _ in folders), *tokens],
        containers=[
            core.v1.ContainerArgs(
                name="server",
                image=args.image,
                image_pull_policy=args.pull_policy,
                command=["secretops"],
                args=_arguments(args, service),
                env=[
                    core.v1.EnvVarArgs(
                        name="POD_NAME",
                        value_from=core.v1.EnvVarSourceArgs(
                            # With the default api_version: after a loss of the state, `up` can't change this field.
                            field_ref=core.v1.ObjectFieldSelectorArgs(api_version="v1", field_path="metadata.name")
                        ),
                    ),
                    # With the launcher's suffix, the client id has about 45 characters. Brokers must accept 23, and may
                    # accept more (MQTT 3.1.1, section 3.1.3.1).
                    core.v1.EnvVarArgs(name="MQTT_CLIENT_ID", value="$(POD_NAME)"),
                ],
                env_from=[core.v1.EnvFromSourceArgs(config_map_ref=core.v1.ConfigMapEnvSourceArgs(name=public))],
                ports=[core.v1.ContainerPortArgs(name="http", container_port=PORT, protocol="TCP")],
                security_context=container_security(),
                resources=resources(args.resources, RESOURCES),
                lifecycle=core.v1.LifecycleArgs(
                    pre_stop=core.v1.LifecycleHandlerArgs(
                        exec_=core.v1.ExecActionArgs(
                            command=["/opt/secretops/bin/python", "-c", f"import time; time.sleep({DRAIN})"]
                        )
                    )
                ),
                # The launcher answers probes even while a tool blocks. The limits are long, in case a node is busy.
                startup_probe=_probe("/healthz", period=2, failures=60),
                liveness_probe=_probe("/healthz", period=10, failures=12),
                readiness_probe=_probe("/readyz", period=5, failures=8),
                volume_mounts=[mount for _, mount in folders],
            )
        ],
    )


def _arguments(args: KubernetesMcpServerArgs, service: str) -> list[str]:
    source = args.references.source if isinstance(args.references, MountedFiles) else f"files:{SECRETS_FOLDER}"
    arguments = ["run", "--from", source, "--transport", "http", "--listen", f"0.0.0.0:{PORT}"]
    for name in (SERVER, service, f"{service}.svc", f"{service}.svc.cluster.local", *args.allowed_hosts):
        arguments += ["--allowed-host", name]
    return [*arguments, "--allow-connection-tools"] if args.connection_tools else arguments


def _probe(path: str, *, period: int, failures: int) -> core.v1.ProbeArgs:
    return core.v1.ProbeArgs(
        http_get=core.v1.HTTPGetActionArgs(path=path, port="http"),
        period_seconds=period,
        failure_threshold=failures,
        timeout_seconds=5,
    )


def _digest(variables: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(variables, sort_keys=True).encode()).hexdigest()
