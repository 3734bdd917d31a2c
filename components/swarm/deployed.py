"""A service as a resource: its configs, and a list of secrets that stays as secretops changed it."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_docker as docker

from secretops.platforms.swarm.location import SWARM_INSTANCE
from secretops.platforms.swarm.mounted_secrets import Attached

from .principals import SwarmPlace
from .service_spec import TMP, TMP_BYTES, Resources, Shape, Update, seconds

# The path that secretops changes, and the engine must not.
LIST_MOVED = "taskSpec.containerSpec.secrets"

# Billionths of a processor in a thousandth.
NANO = 1_000_000


def service(
    name: str,
    shape: Shape,
    *,
    formerly: str,
    place: SwarmPlace,
    parent: pulumi.ComponentResource,
    secrets: Sequence[Attached] = (),
    moved: bool = False,
) -> docker.Service:
    """Declare the service of `shape` for the component called `name`, with `secrets` mounted.

    `moved`: secretops changes that list, and `secrets` is what it is now. `formerly` is the resource's name before
    version 0.2.
    """
    opts = _options(f"{name}-service", formerly, place, parent)
    opts.delete_before_replace = True  # two services can't have one name
    if moved and pulumi.runtime.is_dry_run():
        opts.ignore_changes = [LIST_MOVED]
    port = docker.ServiceEndpointSpecPortArgs(
        protocol="tcp", target_port=shape.target, published_port=shape.port, publish_mode=shape.publish
    )
    driver = shape.log_driver
    return docker.Service(
        f"{name}-service",
        name=f"{shape.labels[SWARM_INSTANCE]}_{shape.key}",
        labels=_labels(shape),
        mode=docker.ServiceModeArgs(replicated={"replicas": shape.replicas}),
        task_spec=docker.ServiceTaskSpecArgs(
            container_spec=_container(shape, _configs(name, shape, place, parent), secrets),
            # By their ids: with a name the provider finds another network at each refresh, and replaces the service.
            networks_advanceds=[
                docker.ServiceTaskSpecNetworksAdvancedArgs(id=place.network, aliases=list(shape.aliases) or None),
                *[docker.ServiceTaskSpecNetworksAdvancedArgs(id=each) for each in shape.networks],
            ],
            # Without placement the daemon adds the platforms of the image, which is no change.
            placement={"constraints": list(shape.constraints), "prefs": [f"spread={each}" for each in shape.spread]}
            if shape.constraints or shape.spread
            else None,
            resources={"limits": _resources(shape.resources), "reservation": _resources(shape.reserved)},
            # As the daemon fills them in.
            restart_policy={"condition": "any", "delay": "5s", "max_attempts": 0, "window": "0s"},
            log_driver={"name": driver.name, "options": driver.options} if driver else None,
        ),
        update_config=_update(shape.update),
        rollback_config=_update(shape.rollback) if shape.rollback else None,
        endpoint_spec=docker.ServiceEndpointSpecArgs(mode=shape.endpoint, ports=[port] if shape.publish else None),
        opts=opts,
    )


def _configs(
    name: str, shape: Shape, place: SwarmPlace, parent: pulumi.ComponentResource
) -> list[docker.ServiceTaskSpecContainerSpecConfigArgsDict]:
    """Declare the shape's public files, and return how its containers get them. Another text is another config."""
    made: list[docker.ServiceTaskSpecContainerSpecConfigArgsDict] = []
    for file in shape.files:
        config = docker.ServiceConfig(
            f"{name}-{file.key}",
            name=file.name,
            data_raw=file.text,
            labels=_labels(shape),
            opts=_options(f"{name}-{file.key}", f"{shape.key}-{file.key}", place, parent),
        )
        made.append(
            {
                "config_id": config.id,
                "config_name": config.name,
                "file_name": file.target,
                "file_uid": "0",
                "file_gid": "0",
                "file_mode": 0o444,
            }
        )
    return made


def _options(name: str, formerly: str, place: SwarmPlace, parent: pulumi.ComponentResource) -> pulumi.ResourceOptions:
    opts = place.under(parent)
    opts.aliases = [pulumi.Alias(name=formerly)] if formerly != name else None
    return opts


def _container(
    shape: Shape,
    files: list[docker.ServiceTaskSpecContainerSpecConfigArgsDict],
    secrets: Sequence[Attached],
) -> docker.ServiceTaskSpecContainerSpecArgs:
    memory = docker.ServiceTaskSpecContainerSpecMountArgs(
        type="tmpfs", target=TMP, tmpfs_options={"size_bytes": TMP_BYTES}
    )
    health = shape.health
    return docker.ServiceTaskSpecContainerSpecArgs(
        image=shape.image,
        commands=list(shape.command),
        args=list(shape.args),
        user=shape.user,
        hostname=shape.hostname,
        env=dict(shape.environment),
        labels=_labels(shape),
        read_only=True,
        cap_drops=["ALL"],
        init=False,
        stop_grace_period=seconds(shape.stop_within),
        mounts=[
            memory,
            *[
                docker.ServiceTaskSpecContainerSpecMountArgs(type="bind", source=path, target=path)
                for path in shape.sockets
            ],
        ],
        configs=files,
        secrets=[
            {
                "secret_id": one.secret_id,
                "secret_name": one.secret_name,
                "file_name": one.file_name,
                "file_uid": one.uid,
                "file_gid": one.gid,
                "file_mode": one.mode,
            }
            for one in secrets
        ],
        healthcheck={
            "tests": ["CMD", *health.command],
            "interval": seconds(health.interval),
            "timeout": seconds(health.timeout),
            "start_period": seconds(health.start_period),
            "retries": health.retries,
        }
        if health
        else None,
    )


def _labels(shape: Shape) -> list[docker.ServiceLabelArgsDict]:
    return [{"label": key, "value": value} for key, value in shape.labels.items()]


def _resources(found: Resources) -> docker.ServiceTaskSpecResourcesLimitsArgsDict:
    return {"nano_cpus": found.cpu * NANO, "memory_bytes": found.memory}


def _update(update: Update) -> docker.ServiceUpdateConfigArgsDict:
    return {
        "parallelism": 1,
        "delay": "0s",
        "order": update.order,
        "failure_action": update.failure_action,
        "monitor": seconds(update.monitor),
        "max_failure_ratio": "0.0",
    }
