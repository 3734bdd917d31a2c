"""Declare a service with its configs. secretops changes the list of secrets that the service mounts."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_docker as docker

from secretops.platforms.swarm.location import SWARM_INSTANCE, MountedSecret

from .service_spec import TMP, TMP_BYTES, Shape, SwarmPlace, Update, seconds

# Property path of the list that secretops changes, so that the engine ignores it.
LIST_MOVED = "taskSpec.containerSpec.secrets"

# Billionths of a processor per thousandth: Docker counts in billionths, `Resources` in thousandths.
NANO = 1_000_000


def service(
    name: str,
    shape: Shape,
    *,
    formerly: str,
    place: SwarmPlace,
    parent: pulumi.ComponentResource,
    secrets: Sequence[MountedSecret] = (),
    moved: bool = False,
) -> docker.Service:
    """Declare the service `shape` for the component `name`, with `secrets` mounted.

    With `moved`, secretops, not Pulumi, manages the list of mounted secrets; pass its current content. `formerly` is
    the resource's name before version 0.2.
    """
    opts = _options(f"{name}-service", formerly, place, parent)
    opts.delete_before_replace = True  # two services can't have the same name
    if moved and pulumi.runtime.is_dry_run():
        opts.ignore_changes = [LIST_MOVED]
    return docker.Service(
        f"{name}-service",
        name=f"{shape.labels[SWARM_INSTANCE]}_{shape.key}",
        labels=_labels(shape),
        mode={"replicated": {"replicas": shape.replicas}},
        task_spec=_task(shape, _container(shape, _configs(name, shape, place, parent), secrets), place),
        update_config=_update(shape.update),
        rollback_config=_update(shape.rollback) if shape.rollback else None,
        endpoint_spec=_endpoint(shape),
        opts=opts,
    )


def _task(
    shape: Shape, container: docker.ServiceTaskSpecContainerSpecArgsDict, place: SwarmPlace
) -> docker.ServiceTaskSpecArgsDict:
    # Refer to networks by id. With names, each refresh would find a change, and replace the service.
    networks: list[docker.ServiceTaskSpecNetworksAdvancedArgsDict] = [{"id": place.network}]
    if shape.aliases:
        networks[0]["aliases"] = list(shape.aliases)
    networks += [{"id": each} for each in shape.networks]
    task: docker.ServiceTaskSpecArgsDict = {
        "container_spec": container,
        "networks_advanceds": networks,
        "resources": {
            "limits": {"nano_cpus": shape.resources.cpu * NANO, "memory_bytes": shape.resources.memory},
            "reservation": {"nano_cpus": shape.reserved.cpu * NANO, "memory_bytes": shape.reserved.memory},
        },
        # Includes the daemon's defaults, so that a refresh finds no change.
        "restart_policy": {"condition": "any", "delay": "5s", "max_attempts": 0, "window": "0s"},
    }
    if shape.constraints or shape.spread:  # without these, the daemon adds the image's platforms
        spread = [f"spread={each}" for each in shape.spread]
        task["placement"] = {"constraints": list(shape.constraints), "prefs": spread}
    if driver := shape.log_driver:
        task["log_driver"] = {"name": driver.name, "options": driver.options}
    return task


def _configs(
    name: str, shape: Shape, place: SwarmPlace, parent: pulumi.ComponentResource
) -> list[docker.ServiceTaskSpecContainerSpecConfigArgsDict]:
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
    shape: Shape, files: list[docker.ServiceTaskSpecContainerSpecConfigArgsDict], secrets: Sequence[MountedSecret]
) -> docker.ServiceTaskSpecContainerSpecArgsDict:
    mounts: list[docker.ServiceTaskSpecContainerSpecMountArgsDict] = [
        {"type": "tmpfs", "target": TMP, "tmpfs_options": {"size_bytes": TMP_BYTES}}
    ]
    mounts += [{"type": "bind", "source": path, "target": path} for path in shape.sockets]
    made: docker.ServiceTaskSpecContainerSpecArgsDict = {
        "image": shape.image,
        "commands": list(shape.command),
        "args": list(shape.args),
        "user": shape.user,
        "env": dict(shape.environment),
        "labels": _labels(shape),
        "read_only": True,
        "cap_drops": ["ALL"],
        "init": False,
        "stop_grace_period": seconds(shape.stop_within),
        "mounts": mounts,
        "configs": files,
        "secrets": [
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
    }
    if shape.hostname:
        made["hostname"] = shape.hostname
    if health := shape.health:
        made["healthcheck"] = {
            "tests": ["CMD", *health.command],
            "interval": seconds(health.interval),
            "timeout": seconds(health.timeout),
            "start_period": seconds(health.start_period),
            "retries": health.retries,
        }
    return made


def _endpoint(shape: Shape) -> docker.ServiceEndpointSpecArgsDict:
    found: docker.ServiceEndpointSpecArgsDict = {"mode": shape.endpoint}
    if shape.publish:
        port: docker.ServiceEndpointSpecPortArgsDict = {"protocol": "tcp", "target_port": shape.target}
        if shape.port:
            port["published_port"] = shape.port
        found["ports"] = [port | {"publish_mode": shape.publish}]
    return found


def _labels(shape: Shape) -> list[docker.ServiceLabelArgsDict]:
    return [{"label": key, "value": value} for key, value in shape.labels.items()]


def _update(update: Update) -> docker.ServiceUpdateConfigArgsDict:
    return {
        "parallelism": 1,
        "delay": "0s",
        "order": update.order,
        "failure_action": update.failure_action,
        "monitor": seconds(update.monitor),
        "max_failure_ratio": "0.0",
    }
