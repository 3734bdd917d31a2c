"""The Azure store's rotator: `secretops tick` as an hourly job of Container Apps."""

from __future__ import annotations

import pulumi
from pulumi_azure_native import app

from secretops.manifest import Manifest

from ..core.broker import BrokerArgs, ca_bundle
from ..core.component import Component
from . import containers
from .context import AzureContext
from .principals import AzureIdentity

LONGEST_TICK = 1800
"""Seconds after which a tick is ended: below the hour, so that a hanging one costs the next none."""


class AzureRotator(Component):
    """One job and its schedule; never a value."""

    def __init__(
        self,
        name: str,
        *,
        context: AzureContext,
        manifest: Manifest,
        image: str,
        broker: BrokerArgs,
        identity: AzureIdentity,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:azure:Rotator", name, opts)
        place, environment = context.place, context.environment
        files = _files(manifest, broker)
        app.Job(
            "job",
            job_name=context.names.job,
            resource_group_name=place.group,
            location=place.location,
            tags=place.tags,
            environment_id=environment.id,
            workload_profile_name=containers.PROFILE,
            identity=containers.identities(identity, environment),
            configuration=app.JobConfigurationArgs(
                trigger_type=app.TriggerType.SCHEDULE,
                schedule_trigger_config=app.JobConfigurationScheduleTriggerConfigArgs(
                    cron_expression="0 * * * *", parallelism=1, replica_completion_count=1
                ),
                replica_timeout=LONGEST_TICK,
                replica_retry_limit=0,  # the next tick finishes what this one left
                registries=containers.registries(context.settings, image, environment),
                identity_settings=containers.whose_they_are(identity, environment),
            ),
            template=app.JobTemplateArgs(
                init_containers=files.laid_down(image),
                containers=[
                    app.ContainerArgs(
                        name="rotator",
                        image=image,
                        command=[containers.PROGRAM],
                        args=["tick", "--scheduled", "--manifest", containers.MANIFEST_FILE],
                        env=containers.variables({"AZURE_CLIENT_ID": identity.client_id}),
                        resources=containers.SMALLEST,
                        volume_mounts=files.mounts,
                    )
                ],
                volumes=files.volumes,
            ),
            opts=place.under(self),
        )
        self.register_outputs({})


def _files(manifest: Manifest, broker: BrokerArgs) -> containers.Files:
    """The manifest as it reads in the container, and the certificates of a private CA."""
    ca_file = containers.CA_FILE if broker.ca_file else None
    here = manifest.model_copy(update={"broker": manifest.broker.model_copy(update={"ca_file": ca_file})})
    files = {containers.MANIFEST_FILE: here.model_dump_json(indent=1) + "\n"}
    if broker.ca_file:
        files[containers.CA_FILE] = ca_bundle(broker.ca_file)
    return containers.Files(files)
