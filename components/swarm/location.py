"""What secretops and the launcher are told of the Swarm store: the same, whoever deploys it."""

from __future__ import annotations

from secretops.manifest import Manifest, Reader
from secretops.platforms.swarm.location import SwarmStoreLocation as Location

from ..core.broker import BrokerArgs
from ..core.secrets import CLIENT_CERT
from ..settings.settings import Settings
from .names import Names, files_of
from .service_spec import USER
from .settings import SwarmServer

SOURCE = "env:"
"""The launcher finds each file by its variable: a folder of secrets is not there before the first of them is."""


def manifest_of(names: Names, server: SwarmServer, broker: BrokerArgs, settings: Settings) -> Manifest:
    """What secretops is told."""
    uid, _, _ = USER.partition(":")
    return settings.manifest(
        store=Location(
            prefix=names.prefix,
            book=names.of("book"),
            instance=names.base,
            service=names.of("server"),
            delivered={secret.name: files_of(secret) for secret in settings.catalogue.for_reader(Reader.SERVER)},
            uid=int(uid),
            image=server.image,
            networks=(names.network(server), *server.networks),
        ),
        broker=broker.location(certificate_secret=CLIENT_CERT),
    )
