"""The Azure store's rotator: `secretops tick` as a job of Container Apps, hourly, and once more near an expiry."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
from pulumi_azure_native import app, storage

from components.azure import containers
from components.azure.names import Names
from components.azure.near_expiry import NearExpiry
from components.azure.sections import AzureStore
from components.broker import ca_bundle
from components.principals import AzureEnvironment, AzureIdentity, AzurePlace
from components.sections import OutsideBroker
from secretops.manifest import Manifest

LONGEST_TICK = 1800
"""Seconds after which a tick is ended: below the hour, so that a hanging one costs the next none."""


class AzureRotator(pulumi.ComponentResource):
    """Two jobs with one identity. Owns their schedule and their trigger; never a value.

    That both may run at once costs nothing: who has not got the lease ends, and has failed at nothing.
    """

    def __init__(
        self,
        name: str,
        *,
        manifest: Manifest,
        store: AzureStore,
        image: str,
        broker: OutsideBroker,
        names: Names,
        place: AzurePlace,
        environment: AzureEnvironment,
        identity: AzureIdentity,
        vault: pulumi.Output[str],
        account: storage.StorageAccount,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:azure:Rotator", name, None, opts)
        self._store, self._image, self._identity = store, image, identity
        self._place, self._environment = place, environment
        self._files = _files(manifest, broker)
        near = NearExpiry(
            "near-expiry",
            names=names,
            place=place,
            vault=vault,
            account=account,
            environment=environment,
            opts=pulumi.ResourceOptions(parent=self),
        )
        hourly = app.JobConfigurationScheduleTriggerConfigArgs(
            cron_expression="0 * * * *", parallelism=1, replica_completion_count=1
        )
        self._job("job", names.job, app.TriggerType.SCHEDULE, schedule=hourly)
        self._job(
            "job-near-expiry", names.plain("expiry"), app.TriggerType.EVENT, event=near.trigger, after=[near.ready]
        )
        self.register_outputs({})

    def _job(
        self,
        name: str,
        physical: str,
        trigger: app.TriggerType,
        *,
        after: Sequence[pulumi.Resource] = (),
        schedule: app.JobConfigurationScheduleTriggerConfigArgs | None = None,
        event: app.JobConfigurationEventTriggerConfigArgs | None = None,
    ) -> None:
        app.Job(
            name,
            job_name=physical,
            resource_group_name=self._place.group,
            location=self._place.location,
            tags=self._place.tags,
            environment_id=self._environment.id,
            workload_profile_name=containers.PROFILE,
            identity=containers.identities(self._identity, self._environment),
            configuration=app.JobConfigurationArgs(
                trigger_type=trigger,
                schedule_trigger_config=schedule,
                event_trigger_config=event,
                replica_timeout=LONGEST_TICK,
                replica_retry_limit=0,  # the next tick finishes what this one left
                registries=containers.registries(self._store, self._image, self._environment),
                identity_settings=containers.whose_they_are(self._identity, self._environment),
            ),
            template=app.JobTemplateArgs(
                init_containers=self._files.laid_down(self._image),
                containers=[
                    app.ContainerArgs(
                        name="rotator",
                        image=self._image,
                        command=[containers.PROGRAM],
                        args=["tick", "--scheduled", "--manifest", containers.MANIFEST_FILE],
                        env=containers.variables({"AZURE_CLIENT_ID": self._identity.client_id}),
                        resources=containers.SMALLEST,
                        volume_mounts=self._files.mounts,
                    )
                ],
                volumes=self._files.volumes,
            ),
            opts=self._place.under(self, after=after),
        )


def _files(manifest: Manifest, broker: OutsideBroker) -> containers.Files:
    """The manifest as it reads in the container, and the certificates of a private CA."""
    ca_file = containers.CA_FILE if broker.ca_file else None
    here = manifest.model_copy(update={"broker": manifest.broker.model_copy(update={"ca_file": ca_file})})
    files = {containers.MANIFEST_FILE: here.model_dump_json(indent=1) + "\n"}
    if broker.ca_file:
        files[containers.CA_FILE] = ca_bundle(broker.ca_file)
    return containers.Files(files)
