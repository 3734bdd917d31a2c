"""What a stack needs of the machine that its program runs on. Imports a platform's folder only when it is asked for."""

from __future__ import annotations

from components.aws.sections import AwsStore
from components.kubernetes.sections import KubernetesServer
from components.swarm.sections import SwarmServer
from components.vault.sections import VaultStore
from settings import Settings


def check_what_lies_here(settings: Settings) -> None:
    """What the program needs of this machine. Raises RunError, before any resource is registered."""
    if isinstance(settings.server, KubernetesServer):
        from components.kubernetes.identity import check_kubeconfig

        check_kubeconfig(settings.server.context)
    if isinstance(settings.server, SwarmServer):
        from components.swarm.deployer import check_manager

        check_manager()
    if isinstance(settings.store, AwsStore):
        from components.aws.package import check_package

        check_package()
    if isinstance(settings.store, VaultStore):
        from components.vault.identity import check_namespace

        check_namespace(settings.store)
