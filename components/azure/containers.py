"""Identities, registry login and files for the containers of server and rotator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import app

from secretops.platforms.azure import write_files

from .principals import AzureEnvironment, AzureIdentity

PROFILE = "Consumption"
PROGRAM = "/opt/secretops/bin/secretops"
FOLDER = "/etc/coreflux-mcp/stack"
CA_FILE = f"{FOLDER}/ca.crt"
MANIFEST_FILE = f"{FOLDER}/secretops.json"

# The smallest size of the consumption profile. The server's own example for Kubernetes requests as much.
SMALLEST = app.ContainerResourcesArgs(cpu=0.25, memory="0.5Gi")

_VOLUME = "stack"


@dataclass(frozen=True)
class Files:
    """Public files, by path, that an init container writes into a volume of each replica.

    Container Apps can only mount an app's secrets as files, and the stack declares no secrets in its apps
    (docs/adr/0009).
    """

    texts: Mapping[str, pulumi.Input[str]]

    def init_containers(self, image: pulumi.Input[str]) -> list[app.InitContainerArgs]:
        if not self.texts:
            return []
        return [
            app.InitContainerArgs(
                name="files",
                image=image,
                command=["/opt/secretops/bin/python", "-m", write_files.__name__],
                args=list(self.texts),
                env=[
                    app.EnvironmentVarArgs(name=write_files.variable(at), value=text)
                    for at, text in enumerate(self.texts.values())
                ],
                resources=SMALLEST,
                volume_mounts=self.mounts,
            )
        ]

    @property
    def volumes(self) -> list[app.VolumeArgs]:
        return [app.VolumeArgs(name=_VOLUME, storage_type=app.StorageType.EMPTY_DIR)] if self.texts else []

    @property
    def mounts(self) -> list[app.VolumeMountArgs]:
        return [app.VolumeMountArgs(volume_name=_VOLUME, mount_path=FOLDER)] if self.texts else []


def identities(of: AzureIdentity, environment: AzureEnvironment) -> app.ManagedServiceIdentityArgs:
    """Return the server's or rotator's identity, and the identity with which Container Apps pulls images."""
    return app.ManagedServiceIdentityArgs(
        type=app.ManagedServiceIdentityType.USER_ASSIGNED,
        user_assigned_identities=[of.id, environment.platform.id],
    )


def identity_settings(of: AzureIdentity, environment: AzureEnvironment) -> list[app.IdentitySettingsArgs]:
    """Assign identities to containers: `of` to the main container, and none to init containers. No container gets the
    identity that pulls images."""
    lives = app.IdentitySettingsLifeCycle
    return [
        app.IdentitySettingsArgs(identity=of.id, lifecycle=lives.MAIN),
        app.IdentitySettingsArgs(identity=environment.platform.id, lifecycle=lives.NONE),
    ]


def registries(image: pulumi.Input[str], environment: AzureEnvironment) -> list[app.RegistryCredentialsArgs]:
    if environment.args.registry is None:
        return []
    server = pulumi.Output.from_input(image).apply(lambda known: known.partition("/")[0])
    return [app.RegistryCredentialsArgs(server=server, identity=environment.platform.id)]


def variables(public: Mapping[str, pulumi.Input[str]]) -> list[app.EnvironmentVarArgs]:
    """Return environment variables, sorted by name so that their order causes no diff."""
    return [app.EnvironmentVarArgs(name=name, value=value) for name, value in sorted(public.items())]
