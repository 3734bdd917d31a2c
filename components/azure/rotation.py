"""`secretops tick` as an hourly job of Container Apps."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import app

from secretops.manifest import Manifest

from ..core.broker import ca_bundle
from ..core.component import Component
from . import containers, roles
from .identity import AzureArgs, user_assigned
from .principals import AzureIdentity

# Seconds after which a tick is stopped, before the next one starts.
LONGEST_TICK = 1800


@dataclass(frozen=True, kw_only=True)
class AzureRotationArgs(AzureArgs):
    manifest: Manifest
    """The `manifest` of a store. The component reads its CA file, `broker.ca_file`, from this machine."""
    image: pulumi.Input[str]
    """The image that docs/operations/image.md builds."""
    identity: AzureIdentity | None = None
    """The job's identity. By default the component creates one, with roles on `vault` and `lease_container`."""
    vault: pulumi.Input[str] | None = None
    """Resource id of the key vault."""
    lease_container: pulumi.Input[str] | None = None
    """Resource id of the lease's blob container."""


class AzureRotation(Component):
    """An hourly job of Container Apps."""

    identity: AzureIdentity

    def __init__(self, name: str, args: AzureRotationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:azure:Rotator", name, opts, formerly="")
        environment = args.open_environment(name, self)
        place = environment.place
        if args.identity is None:
            self.identity = user_assigned(f"{name}-job-identity", "rotator", place, self)
            grants = roles.Grants(name=name, parent=self, place=place)
            let_rotate(grants, self.identity, vault=args.vault, lease_container=args.lease_container)
        else:
            self.identity = args.identity
        files = _files(args.manifest)
        app.Job(
            f"{name}-job",
            job_name=place.names.job,
            resource_group_name=place.group,
            location=place.location,
            tags=place.tags,
            environment_id=environment.id,
            workload_profile_name=containers.PROFILE,
            identity=containers.identities(self.identity, environment),
            configuration=app.JobConfigurationArgs(
                trigger_type=app.TriggerType.SCHEDULE,
                schedule_trigger_config=app.JobConfigurationScheduleTriggerConfigArgs(
                    cron_expression="0 * * * *", parallelism=1, replica_completion_count=1
                ),
                replica_timeout=LONGEST_TICK,
                replica_retry_limit=0,  # no retry: the next tick recovers
                registries=containers.registries(args.image, environment),
                identity_settings=containers.identity_settings(self.identity, environment),
            ),
            template=app.JobTemplateArgs(
                init_containers=files.init_containers(args.image),
                containers=[
                    app.ContainerArgs(
                        name="rotator",
                        image=args.image,
                        command=[containers.PROGRAM],
                        args=["tick", "--scheduled", "--manifest", containers.MANIFEST_FILE],
                        env=containers.variables({"AZURE_CLIENT_ID": self.identity.client_id}),
                        resources=containers.SMALLEST,
                        volume_mounts=files.mounts,
                    )
                ],
                volumes=files.volumes,
            ),
            opts=place.under(self),
        )
        self.register_outputs({})


# Explains the role Key Vault Secrets Officer to a reviewer. In production, purge protection prevents purging.
ALSO = (
    "no smaller role of Azure can write secrets; this role can also delete, recover, purge, back up and restore secrets"
)


def let_rotate(
    grants: roles.Grants,
    rotator: AzureIdentity,
    *,
    vault: pulumi.Input[str] | None,
    lease_container: pulumi.Input[str] | None,
) -> None:
    """Grant a rotator's identity its roles on the vault and the lease.

    Writing a secret needs a role on the vault: a role on a single secret only allows reading
    (https://learn.microsoft.com/azure/key-vault/general/secure-key-vault).
    """
    why = f"the rotator reads, writes and disables versions; {ALSO}"
    if vault is not None:
        grants.assign("rotator-keeps-secrets", roles.SECRETS_OFFICER, rotator.object_id, scope=vault, why=why)
    why = "the rotator creates the lease's blob and holds its lease"
    if lease_container is not None:
        grants.assign("rotator-leases", roles.BLOB_CONTRIBUTOR, rotator.object_id, scope=lease_container, why=why)


def _files(manifest: Manifest) -> containers.Files:
    ca_file = manifest.broker.ca_file
    broker = manifest.broker.model_copy(update={"ca_file": containers.CA_FILE if ca_file else None})
    here = manifest.model_copy(update={"broker": broker})
    files = {containers.MANIFEST_FILE: here.model_dump_json(indent=1) + "\n"}
    return containers.Files({**files, **({containers.CA_FILE: ca_bundle(ca_file)} if ca_file else {})})
