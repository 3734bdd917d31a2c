"""The rotator's second trigger: what Key Vault itself says of a secret that expires, should the schedule fail.

Event Grid starts no job. It puts the event into a queue, and Container Apps looks into the queue. Nobody takes the
event out: it is no work, but a reason to tick, and expires by itself.
"""

from __future__ import annotations

import pulumi
from pulumi_azure_native import app, eventgrid, storage

from components.azure import roles
from components.azure.names import Names
from components.principals import AzureEnvironment, AzurePlace

EVENTS = ("Microsoft.KeyVault.SecretNearExpiry", "Microsoft.KeyVault.SecretExpired")
"""30 days before a version is due, and when it is (Azure, Key Vault as Event Grid source)."""

LOOK_EVERY = 300
"""Seconds between two looks into the queue."""

GONE_AFTER = 600
"""Seconds that an event lies in the queue: two looks. The second tick then finds nothing to do."""

QUEUE = "near-expiry"


class NearExpiry(pulumi.ComponentResource):
    """Owns topic, subscription, queue and who may use it. `trigger` is what a job is started by."""

    trigger: app.JobConfigurationEventTriggerConfigArgs
    ready: pulumi.Resource
    """Without which the job could not look into the queue."""

    def __init__(
        self,
        name: str,
        *,
        names: Names,
        place: AzurePlace,
        vault: pulumi.Output[str],
        account: storage.StorageAccount,
        environment: AzureEnvironment,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:azure:NearExpiry", name, None, opts)
        grants = roles.Grants(parent=self, place=place)
        queue = storage.Queue(
            "expiry-queue",
            queue_name=QUEUE,
            account_name=account.name,
            resource_group_name=place.group,
            opts=place.under(self),
        )
        self.ready = grants.to_identity(
            "platform-looks-into-queue",
            roles.QUEUE_READER,
            environment.platform.object_id,
            scope=queue.id,
            why="Container Apps looks whether there is a reason to start the rotator",
        )
        topic = eventgrid.SystemTopic(
            "vault-events",
            system_topic_name=names.plain("vault"),
            resource_group_name=place.group,
            location=place.location,
            tags=place.tags,
            source=vault,
            topic_type="Microsoft.KeyVault.vaults",
            # Its own: an account with a firewall takes no event by a user-assigned one (Event Grid, Azure Queue
            # Storage as an event handler).
            identity=eventgrid.IdentityInfoArgs(type=eventgrid.IdentityType.SYSTEM_ASSIGNED),
            opts=place.under(self),
        )
        sends = grants.to_identity(
            "events-are-queued",
            roles.QUEUE_SENDER,
            topic.identity.apply(_object_id),
            scope=queue.id,
            why="Event Grid puts what is near its expiry into the queue",
        )
        eventgrid.SystemTopicEventSubscription(
            "expiry-events",
            event_subscription_name=QUEUE,
            system_topic_name=topic.name,
            resource_group_name=place.group,
            filter=eventgrid.EventSubscriptionFilterArgs(included_event_types=list(EVENTS)),
            event_delivery_schema=eventgrid.EventDeliverySchema.EVENT_GRID_SCHEMA,
            delivery_with_resource_identity=eventgrid.DeliveryWithResourceIdentityArgs(
                identity=eventgrid.EventSubscriptionIdentityArgs(
                    type=eventgrid.EventSubscriptionIdentityType.SYSTEM_ASSIGNED
                ),
                destination=eventgrid.StorageQueueEventSubscriptionDestinationArgs(
                    endpoint_type="StorageQueue",
                    resource_id=account.id,
                    queue_name=queue.name,
                    queue_message_time_to_live_in_seconds=GONE_AFTER,
                ),
            ),
            # The environment's minutes, too: Event Grid asks at once whether it may send, and a role is new for some.
            opts=place.under(self, after=[sends, environment.made]),
        )
        self.trigger = app.JobConfigurationEventTriggerConfigArgs(
            parallelism=1,
            replica_completion_count=1,
            scale=app.JobScaleArgs(
                min_executions=0,
                max_executions=1,
                polling_interval=LOOK_EVERY,
                rules=[
                    app.JobScaleRuleArgs(
                        name="near-expiry",
                        type="azure-queue",
                        metadata={"accountName": account.name, "queueName": queue.name, "queueLength": "1"},
                        identity=environment.platform.id,
                    )
                ],
            ),
        )
        self.register_outputs({})


def _object_id(identity: eventgrid.outputs.IdentityInfoResponse | None) -> str:
    """Of the topic's own identity, which Azure makes with it."""
    return (identity.principal_id if identity else None) or ""
