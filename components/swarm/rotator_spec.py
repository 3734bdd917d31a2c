"""The rotator's shape: one replica on a manager, which starts a tick each hour."""

from __future__ import annotations

from secretops.manifest import Manifest
from secretops.platforms.swarm.task import MANIFEST_FILE

from ..core.broker import BrokerArgs, ca_bundle
from .names import Names
from .server_spec import CA_FILE, MEBIBYTE, PYTHON
from .service_spec import PublicFile, Resources, Shape, Update
from .settings import SwarmServer, SwarmStore

ROOT = "0:0"
"""The socket is root's: whoever may write to it is root on that node, and reads every secret of the Swarm by a task."""

END_WITHIN = 90
"""Seconds, at most: it waits for the task that it has started, which has 60 (platforms/swarm/job.py)."""


def rotator_shape(
    names: Names, store: SwarmStore, server: SwarmServer, broker: BrokerArgs, manifest: Manifest
) -> Shape:
    """The rotator's. Two never run at a time: one ends before the next begins, and the lease is the store's own."""
    stop_first = Update(order="stop-first", failure_action="pause", monitor=5)
    return Shape(
        key="rotator",
        image=server.image,
        command=(PYTHON, "-m", "secretops.platforms.swarm.rotator"),
        args=(),
        user=ROOT,
        environment={"SECRETOPS_MANIFEST": MANIFEST_FILE, "DOCKER_HOST": f"unix://{store.socket}"},
        labels=names.labels,
        replicas=1,
        resources=Resources(cpu=500, memory=256 * MEBIBYTE),
        reserved=Resources(cpu=50, memory=64 * MEBIBYTE),
        update=stop_first,
        rollback=None,
        stop_within=END_WITHIN,
        files=rotator_files(names, broker, manifest),
        sockets=(store.socket,),
        constraints=("node.role==manager",),
        hostname="{{.Node.Hostname}}",
        log_driver=server.log_driver.name if server.log_driver else None,
        log_options=server.log_driver.options if server.log_driver else {},
    )


def rotator_files(names: Names, broker: BrokerArgs, manifest: Manifest) -> tuple[PublicFile, ...]:
    """The manifest as it reads there, and the CA certificates that it names."""
    text = manifest_at(manifest, broker, CA_FILE).model_dump_json(indent=1) + "\n"
    files = [PublicFile(key="manifest", name=names.config("manifest", text), target=MANIFEST_FILE, text=text)]
    if broker.ca_file:
        bundle = ca_bundle(broker.ca_file)
        # A config of its own, though the server has the same text: either goes without the other.
        files.append(PublicFile(key="ca", name=names.config("tick-ca", bundle), target=CA_FILE, text=bundle))
    return tuple(files)


def manifest_at(manifest: Manifest, broker: BrokerArgs, ca_file: str) -> Manifest:
    """The manifest where the stack's CA certificates lie at `ca_file`."""
    here = broker.location(
        certificate_secret=manifest.broker.certificate_secret,
        ca_file=ca_file if broker.ca_file else None,
    )
    return manifest.model_copy(update={"broker": here})
