"""A shape as Pulumi makes it: configs, and a service whose list of secrets is left as secretops moved it."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_docker as docker

from secretops.platforms.swarm.mounted_secrets import Attached

from .names import Names
from .principals import SwarmPlace
from .service_spec import TMP, TMP_BYTES, PublicFile, Shape, Update, seconds

LIST_MOVED = "taskSpec.containerSpec.secrets"
"""What secretops moves, and the engine is never to."""

NANO = 1_000_000
"""Billionths of a processor in a thousandth."""

Container = docker.ServiceTaskSpecContainerSpecArgs


def configs(
    shape: Shape, names: Names, place: SwarmPlace, parent: pulumi.ComponentResource
) -> list[docker.ServiceTaskSpecContainerSpecConfigArgs]:
    """The shape's public files, and how its containers get them. A file of another text is another config."""
    made = []
    for file in shape.files:
        config = _config(f"{shape.key}-{file.key}", file, names, place, parent)
        made.append(
            docker.ServiceTaskSpecContainerSpecConfigArgs(
                config_id=config.id, config_name=config.name, file_name=file.target, file_uid="0", file_gid="0",
                file_mode=0o444,
            )
        )  # fmt: skip
    return made


def _config(
    name: str, file: PublicFile, names: Names, place: SwarmPlace, parent: pulumi.ComponentResource
) -> docker.ServiceConfig:
    return docker.ServiceConfig(
        name,
        name=file.name,
        data_raw=file.text,
        labels=[docker.ServiceConfigLabelArgs(label=key, value=value) for key, value in names.labels.items()],
        opts=place.under(parent),
    )


def service(
    name: str,
    shape: Shape,
    *,
    names: Names,
    place: SwarmPlace,
    parent: pulumi.ComponentResource,
    moved: Sequence[Attached] | None = None,
    given: Sequence[Attached] = (),
) -> docker.Service:
    """The service of `shape`. `moved` is the list of secrets that it has now, for a service that secretops moves; any
    other has those that are `given`."""
    opts = place.under(parent)
    opts.delete_before_replace = True  # a name is one service's
    if moved is not None and pulumi.runtime.is_dry_run():
        opts.ignore_changes = [LIST_MOVED]
    return docker.Service(
        name,
        name=names.of(shape.key),
        labels=[docker.ServiceLabelArgs(label=key, value=value) for key, value in shape.labels.items()],
        mode=docker.ServiceModeArgs(replicated=docker.ServiceModeReplicatedArgs(replicas=shape.replicas)),
        task_spec=docker.ServiceTaskSpecArgs(
            container_spec=_container(shape, configs(shape, names, place, parent), moved or given),
            networks_advanceds=_networks(shape, place),
            placement=_placement(shape),
            resources=docker.ServiceTaskSpecResourcesArgs(
                limits=docker.ServiceTaskSpecResourcesLimitsArgs(
                    nano_cpus=shape.resources.cpu * NANO, memory_bytes=shape.resources.memory
                ),
                reservation=docker.ServiceTaskSpecResourcesReservationArgs(
                    nano_cpus=shape.reserved.cpu * NANO, memory_bytes=shape.reserved.memory
                ),
            ),
            restart_policy=docker.ServiceTaskSpecRestartPolicyArgs(
                condition="any",
                delay="5s",
                max_attempts=0,
                window="0s",  # as the daemon fills them in
            ),
            log_driver=docker.ServiceTaskSpecLogDriverArgs(name=shape.log_driver, options=shape.log_options)
            if shape.log_driver
            else None,
        ),
        update_config=_update(shape.update),
        rollback_config=_rollback(shape.rollback) if shape.rollback else None,
        endpoint_spec=_endpoint(shape),
        opts=opts,
    )


def _container(
    shape: Shape,
    files: list[docker.ServiceTaskSpecContainerSpecConfigArgs],
    secrets: Sequence[Attached],
) -> Container:
    return Container(
        image=shape.image,
        commands=list(shape.command),
        args=list(shape.args),
        user=shape.user,
        hostname=shape.hostname,
        env=dict(shape.environment),
        labels=[
            docker.ServiceTaskSpecContainerSpecLabelArgs(label=key, value=value) for key, value in shape.labels.items()
        ],
        read_only=True,
        cap_drops=["ALL"],
        init=False,
        stop_grace_period=seconds(shape.stop_within),
        mounts=_mounts(shape),
        configs=files,
        secrets=[_secret(each) for each in secrets],
        healthcheck=docker.ServiceTaskSpecContainerSpecHealthcheckArgs(
            tests=["CMD", *shape.health.command],
            interval=seconds(shape.health.interval),
            timeout=seconds(shape.health.timeout),
            start_period=seconds(shape.health.start_period),
            retries=shape.health.retries,
        )
        if shape.health
        else None,
    )


def _secret(one: Attached) -> docker.ServiceTaskSpecContainerSpecSecretArgs:
    """A locator: the secret's id and name, and the file's."""
    return docker.ServiceTaskSpecContainerSpecSecretArgs(
        secret_id=one.secret_id,
        secret_name=one.secret_name,
        file_name=one.file_name,
        file_uid=one.uid,
        file_gid=one.gid,
        file_mode=one.mode,
    )


def _mounts(shape: Shape) -> list[docker.ServiceTaskSpecContainerSpecMountArgs]:
    memory = docker.ServiceTaskSpecContainerSpecMountArgs(
        type="tmpfs",
        target=TMP,
        tmpfs_options=docker.ServiceTaskSpecContainerSpecMountTmpfsOptionsArgs(size_bytes=TMP_BYTES),
    )
    bound = [
        docker.ServiceTaskSpecContainerSpecMountArgs(type="bind", source=path, target=path) for path in shape.sockets
    ]
    return [memory, *bound]


def _networks(shape: Shape, place: SwarmPlace) -> list[docker.ServiceTaskSpecNetworksAdvancedArgs]:
    """By their ids: with a name the provider finds another network at each refresh, and makes the service anew."""
    own = docker.ServiceTaskSpecNetworksAdvancedArgs(id=place.network, aliases=list(shape.aliases) or None)
    others = [docker.ServiceTaskSpecNetworksAdvancedArgs(id=each) for each in shape.networks]
    return [own, *others]


def _placement(shape: Shape) -> docker.ServiceTaskSpecPlacementArgs | None:
    """None where the stack file says nothing: the daemon then adds the platforms of the image, which are no change."""
    if not shape.constraints and not shape.spread:
        return None
    return docker.ServiceTaskSpecPlacementArgs(
        constraints=list(shape.constraints), prefs=[f"spread={each}" for each in shape.spread]
    )


def _update(update: Update) -> docker.ServiceUpdateConfigArgs:
    return docker.ServiceUpdateConfigArgs(
        parallelism=1,
        delay="0s",
        order=update.order,
        failure_action=update.failure_action,
        monitor=seconds(update.monitor),
        max_failure_ratio="0.0",
    )


def _rollback(rollback: Update) -> docker.ServiceRollbackConfigArgs:
    return docker.ServiceRollbackConfigArgs(
        parallelism=1,
        delay="0s",
        order=rollback.order,
        failure_action=rollback.failure_action,
        monitor=seconds(rollback.monitor),
        max_failure_ratio="0.0",
    )


def _endpoint(shape: Shape) -> docker.ServiceEndpointSpecArgs:
    ports = [
        docker.ServiceEndpointSpecPortArgs(
            protocol="tcp", target_port=shape.target, published_port=shape.port, publish_mode=shape.publish
        )
    ]
    return docker.ServiceEndpointSpecArgs(mode=shape.endpoint, ports=ports if shape.publish else None)
