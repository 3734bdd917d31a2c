"""What both kinds of pod have in common: the `restricted` Pod Security level, and how Secrets become files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi_kubernetes import core, meta

from ..core.broker import BrokerArgs
from .names import CERTIFICATE, CERTIFICATE_KEYS, CERTS, STACK, Place
from .pod_args import PodArgs, Resources

USER = 10001
"""uid and gid, as the image has them. Above 10000, so that it is nobody's on a node."""

READABLE = 0o440
"""Mode of a value's file: root's, and the pod's group's by fsGroup."""

FOLDER = "/etc/coreflux-mcp"
STACK_FOLDER = f"{FOLDER}/stack"
CA_FILE = f"{STACK_FOLDER}/ca.crt"
CERTS_FOLDER = f"{FOLDER}/certs"
SECRETS_FOLDER = f"{FOLDER}/secrets"


TOKEN = "vault-token"  # noqa: S105  # nosec B105 - a volume's name
"""Of the token that Vault is shown."""


def pod_security(args: PodArgs) -> core.v1.PodSecurityContextArgs:
    """Return the `restricted` level, for the pod (Kubernetes, Pod Security Standards).

    OpenShift assigns uid and fsGroup and refuses others (docs.redhat.com, Managing security context constraints).
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
    """Return the arguments of a pod's spec that say where it may run."""
    return {
        "node_selector": args.node_selector or None,
        "tolerations": list(args.tolerations) or None,
        "priority_class_name": args.priority_class,
    }


def pod_metadata(args: PodArgs, place: Place, annotations: Mapping[str, str] | None = None) -> meta.v1.ObjectMetaArgs:
    """Return a pod's metadata. What the stack file adds takes the place of none of the stack's own."""
    return meta.v1.ObjectMetaArgs(
        labels={**(args.pod_labels or {}), **place.labels},
        annotations={**(args.pod_annotations or {}), **(annotations or {})} or None,
    )


def resources(chosen: Resources | None, default: Resources) -> core.v1.ResourceRequirementsArgs:
    """Return a container's requests and limits."""
    chosen = chosen or default
    return core.v1.ResourceRequirementsArgs(
        requests={**default.requests, **chosen.requests},
        limits={**default.limits, **chosen.limits},
    )


def container_security() -> core.v1.SecurityContextArgs:
    """The `restricted` level, for its container, and a root file system that nobody writes."""
    return core.v1.SecurityContextArgs(
        allow_privilege_escalation=False,
        capabilities=core.v1.CapabilitiesArgs(drop=["ALL"]),
        read_only_root_filesystem=True,
        run_as_non_root=True,
    )


def pull_secrets(args: PodArgs) -> list[core.v1.LocalObjectReferenceArgs]:
    """What nodes show the image's registry: Secrets of an operator's own, which the stack only names."""
    return [core.v1.LocalObjectReferenceArgs(name=name) for name in args.pull_secrets]


def scratch() -> tuple[core.v1.VolumeArgs, core.v1.VolumeMountArgs]:
    """The folder for temporary files, in memory: what is written there never lies on a node's disk."""
    volume = core.v1.VolumeArgs(
        name="tmp", empty_dir=core.v1.EmptyDirVolumeSourceArgs(medium="Memory", size_limit="64Mi")
    )
    return volume, core.v1.VolumeMountArgs(name="tmp", mount_path="/tmp")  # noqa: S108  # nosec B108 - of the pod alone


def stack_files(*keys: str) -> tuple[core.v1.VolumeArgs, core.v1.VolumeMountArgs]:
    """`keys` of the ConfigMap STACK."""
    volume = core.v1.VolumeArgs(
        name="stack",
        config_map=core.v1.ConfigMapVolumeSourceArgs(
            name=STACK, items=[core.v1.KeyToPathArgs(key=key, path=key) for key in keys]
        ),
    )
    return volume, core.v1.VolumeMountArgs(name="stack", mount_path=STACK_FOLDER, read_only=True)


def token_volume(name: str, file: str, audience: str | None) -> core.v1.VolumeArgs:
    """A token of the pod's service account, for who `audience` is; None is the API server. Kubelets renew it."""
    token = core.v1.ServiceAccountTokenProjectionArgs(path=file, audience=audience, expiration_seconds=3600)
    return core.v1.VolumeArgs(
        name=name,
        projected=core.v1.ProjectedVolumeSourceArgs(
            default_mode=READABLE, sources=[core.v1.VolumeProjectionArgs(service_account_token=token)]
        ),
    )


def shown_token(path: str, audience: str | None) -> tuple[core.v1.VolumeArgs, core.v1.VolumeMountArgs]:
    """Such a token as the file `path`."""
    folder, _, file = path.rpartition("/")
    mount = core.v1.VolumeMountArgs(name=TOKEN, mount_path=folder, read_only=True)
    return token_volume(TOKEN, file, audience), mount


def secret_files(
    name: str, mount_path: str, *sources: core.v1.VolumeProjectionArgs
) -> tuple[core.v1.VolumeArgs, core.v1.VolumeMountArgs]:
    """Secrets as one folder. Whole and never by subPath, which kubelets don't update."""
    volume = core.v1.VolumeArgs(
        name=name, projected=core.v1.ProjectedVolumeSourceArgs(default_mode=READABLE, sources=list(sources))
    )
    return volume, core.v1.VolumeMountArgs(name=name, mount_path=mount_path, read_only=True)


def secret(name: pulumi.Input[str], items: dict[str, str] | None = None) -> core.v1.VolumeProjectionArgs:
    """A Secret, or the keys -> files of it. Optional: a pod that starts without values can say what it waits for."""
    return core.v1.VolumeProjectionArgs(
        secret=core.v1.SecretProjectionArgs(
            name=name,
            optional=True,
            items=[core.v1.KeyToPathArgs(key=key, path=path) for key, path in items.items()] if items else None,
        )
    )


def certificates(broker: BrokerArgs, args: PodArgs) -> list[core.v1.VolumeProjectionArgs]:
    """The client certificate's files, where the broker asks for one. The stack's own CA file wins over theirs."""
    if not broker.client_certificate:
        return []
    if args.certificate_issuer:
        name, keys = CERTIFICATE, {key: field for field, key in CERTIFICATE_KEYS.items()}
    else:
        name, keys = CERTS, {key: key for key in ("client.crt", "client.key", "client-cert-version", "ca.crt")}
    return [secret(name, {key: file for key, file in keys.items() if file != "ca.crt" or not broker.ca_file})]
