"""Pods of server and rotator: the `restricted` Pod Security level, and Secrets as files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi_kubernetes import core, meta

from ..core.broker import BrokerArgs
from .names import CERTIFICATE, CERTIFICATE_KEYS, CERTS, STACK, Place
from .pod_args import PodArgs, Resources

# uid and gid of the image; above 10000, so that they differ from those of a node's users.
USER = 10001

# Mode of a file with a value: readable for root and, through fsGroup, for the pod's group.
READABLE = 0o440

FOLDER = "/etc/coreflux-mcp"
STACK_FOLDER = f"{FOLDER}/stack"
CA_FILE = f"{STACK_FOLDER}/ca.crt"
CERTS_FOLDER = f"{FOLDER}/certs"
SECRETS_FOLDER = f"{FOLDER}/secrets"


TOKEN = "vault-token"  # noqa: S105  # nosec B105 - a volume's name


def pod_security(args: PodArgs) -> core.v1.PodSecurityContextArgs:
    """Return the `restricted` level's settings of a pod (Kubernetes, Pod Security Standards).

    With `run_as` platform, they omit uid and fsGroup, which OpenShift assigns. OpenShift rejects others
    (docs.redhat.com, Managing security context constraints).
    """
    user = USER if args.run_as == "image" else None
    return core.v1.PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=user,
        run_as_group=user,
        fs_group=user,
        seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
    )


def scheduling(args: PodArgs) -> dict[str, Any]:
    return {
        "node_selector": args.node_selector or None,
        "tolerations": list(args.tolerations) or None,
        "priority_class_name": args.priority_class,
    }


def pod_metadata(args: PodArgs, place: Place, annotations: Mapping[str, str] | None = None) -> meta.v1.ObjectMetaArgs:
    """Return a pod's labels and annotations. The stack's own replace those of the same name in `args`."""
    return meta.v1.ObjectMetaArgs(
        labels={**(args.pod_labels or {}), **place.labels},
        annotations={**(args.pod_annotations or {}), **(annotations or {})} or None,
    )


def resources(chosen: Resources | None, default: Resources) -> core.v1.ResourceRequirementsArgs:
    chosen = chosen or default
    return core.v1.ResourceRequirementsArgs(
        requests={**default.requests, **chosen.requests},
        limits={**default.limits, **chosen.limits},
    )


def container_security() -> core.v1.SecurityContextArgs:
    return core.v1.SecurityContextArgs(
        allow_privilege_escalation=False,
        capabilities=core.v1.CapabilitiesArgs(drop=["ALL"]),
        read_only_root_filesystem=True,
        run_as_non_root=True,
    )


def pull_secrets(args: PodArgs) -> list[core.v1.LocalObjectReferenceArgs]:
    return [core.v1.LocalObjectReferenceArgs(name=name) for name in args.pull_secrets]


def scratch() -> tuple[core.v1.VolumeArgs, core.v1.VolumeMountArgs]:
    """Return volume and mount of /tmp in memory: temporary files never reach a node's disk."""
    volume = core.v1.VolumeArgs(
        name="tmp", empty_dir=core.v1.EmptyDirVolumeSourceArgs(medium="Memory", size_limit="64Mi")
    )
    return volume, core.v1.VolumeMountArgs(name="tmp", mount_path="/tmp")  # noqa: S108  # nosec B108 - each pod has its own


def stack_files(*keys: str) -> tuple[core.v1.VolumeArgs, core.v1.VolumeMountArgs]:
    """Return a volume with these keys of the ConfigMap STACK, and its mount."""
    volume = core.v1.VolumeArgs(
        name="stack",
        config_map=core.v1.ConfigMapVolumeSourceArgs(
            name=STACK, items=[core.v1.KeyToPathArgs(key=key, path=key) for key in keys]
        ),
    )
    return volume, core.v1.VolumeMountArgs(name="stack", mount_path=STACK_FOLDER, read_only=True)


def token_volume(name: str, file: str, audience: str | None) -> core.v1.VolumeArgs:
    """Return a volume with a token of the pod's service account, which kubelets renew. If `audience` is None, the token
    is for the API server."""
    token = core.v1.ServiceAccountTokenProjectionArgs(path=file, audience=audience, expiration_seconds=3600)
    return core.v1.VolumeArgs(
        name=name,
        projected=core.v1.ProjectedVolumeSourceArgs(
            default_mode=READABLE, sources=[core.v1.VolumeProjectionArgs(service_account_token=token)]
        ),
    )


def shown_token(path: str, audience: str | None) -> tuple[core.v1.VolumeArgs, core.v1.VolumeMountArgs]:
    folder, _, file = path.rpartition("/")
    mount = core.v1.VolumeMountArgs(name=TOKEN, mount_path=folder, read_only=True)
    return token_volume(TOKEN, file, audience), mount


def secret_files(
    name: str, mount_path: str, *sources: core.v1.VolumeProjectionArgs
) -> tuple[core.v1.VolumeArgs, core.v1.VolumeMountArgs]:
    """Return volume and mount of Secrets as files, without subPath: kubelets don't update such files."""
    volume = core.v1.VolumeArgs(
        name=name, projected=core.v1.ProjectedVolumeSourceArgs(default_mode=READABLE, sources=list(sources))
    )
    return volume, core.v1.VolumeMountArgs(name=name, mount_path=mount_path, read_only=True)


def secret(name: pulumi.Input[str], items: dict[str, str] | None = None) -> core.v1.VolumeProjectionArgs:
    """Return the projection of a Secret to files. `items`, if set, maps the selected keys to file names. The Secret is
    optional: pods start without it, and report missing values."""
    return core.v1.VolumeProjectionArgs(
        secret=core.v1.SecretProjectionArgs(
            name=name,
            optional=True,
            items=[core.v1.KeyToPathArgs(key=key, path=path) for key, path in items.items()] if items else None,
        )
    )


def certificates(broker: BrokerArgs, args: PodArgs) -> list[core.v1.VolumeProjectionArgs]:
    """Return the files of the client certificate, if the broker requires one. `broker.ca_file` replaces the Secret's
    CA."""
    if not broker.client_certificate:
        return []
    if args.certificate_issuer:
        name, keys = CERTIFICATE, {key: field for field, key in CERTIFICATE_KEYS.items()}
    else:
        name, keys = CERTS, {key: key for key in ("client.crt", "client.key", "client-cert-version", "ca.crt")}
    return [secret(name, {key: file for key, file in keys.items() if file != "ca.crt" or not broker.ca_file})]
