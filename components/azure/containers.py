"""What server and rotator have in common as containers: one image, an identity, and files that are laid down first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import app

from secretops.platforms.azure import write_files

from .principals import AzureEnvironment, AzureIdentity
from .settings import AzureStore

PROFILE = "Consumption"
PROGRAM = "/opt/secretops/bin/secretops"
FOLDER = "/etc/coreflux-mcp/stack"
CA_FILE = f"{FOLDER}/ca.crt"
MANIFEST_FILE = f"{FOLDER}/secretops.json"

SMALLEST = app.ContainerResourcesArgs(cpu=0.25, memory="0.5Gi")
"""The consumption profile's: what the server's own example for Kubernetes asks for."""

_VOLUME = "stack"


@dataclass(frozen=True)
class Files:
    """Public files, path -> text, which a container finds in a volume of its replica. What lays them down runs first:
    Container Apps mounts files only as secrets of the app, which are values of its resource."""

    texts: Mapping[str, pulumi.Input[str]]

    def laid_down(self, image: str) -> list[app.InitContainerArgs]:
        """The container that writes them. It is the same image: no other has to be pulled and trusted."""
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
        """Of the replica, and gone with it."""
        return [app.VolumeArgs(name=_VOLUME, storage_type=app.StorageType.EMPTY_DIR)] if self.texts else []

    @property
    def mounts(self) -> list[app.VolumeMountArgs]:
        return [app.VolumeMountArgs(volume_name=_VOLUME, mount_path=FOLDER)] if self.texts else []


def identities(of: AzureIdentity, environment: AzureEnvironment) -> app.ManagedServiceIdentityArgs:
    """What a container is to Azure, and as whom Container Apps does its own part."""
    return app.ManagedServiceIdentityArgs(
        type=app.ManagedServiceIdentityType.USER_ASSIGNED,
        user_assigned_identities=[one.id for one, _ in _lives(of, environment)],
    )


def whose_they_are(of: AzureIdentity, environment: AzureEnvironment) -> list[app.IdentitySettingsArgs]:
    """Which of them a container gets."""
    return [app.IdentitySettingsArgs(identity=one.id, lifecycle=where) for one, where in _lives(of, environment)]


def _lives(
    of: AzureIdentity, environment: AzureEnvironment
) -> tuple[tuple[AzureIdentity, app.IdentitySettingsLifeCycle], ...]:
    """The first is the program's alone, and not of what runs before it; the platform's is no container's at all."""
    lives = app.IdentitySettingsLifeCycle
    return (of, lives.MAIN), (environment.platform, lives.NONE)


def registries(store: AzureStore, image: str, environment: AzureEnvironment) -> list[app.RegistryCredentialsArgs]:
    """Whence the image comes, where that asks who pulls."""
    if not store.registry:
        return []
    return [app.RegistryCredentialsArgs(server=image.partition("/")[0], identity=environment.platform.id)]


def variables(public: Mapping[str, pulumi.Input[str]]) -> list[app.EnvironmentVarArgs]:
    """Variables, by name: their order is no change."""
    return [app.EnvironmentVarArgs(name=name, value=value) for name, value in sorted(public.items())]
