"""What a stack needs of the machine that its program runs on. Imports a platform's folder only when it is asked for."""

from __future__ import annotations

from .aws.settings import AwsStore
from .kubernetes.settings import KubernetesServer
from .settings.settings import Settings
from .swarm.settings import SwarmServer
from .vault.settings import VaultStore


def check_what_lies_here(settings: Settings) -> None:
    """What the program needs of this machine. Raises RunError, before any resource is registered."""
    if isinstance(settings.server, KubernetesServer):
        from .kubernetes.identity import check_kubeconfig

        check_kubeconfig(settings.server.context)
    if isinstance(settings.server, SwarmServer):
        from .swarm.deployer import check_manager

        check_manager()
    if isinstance(settings.store, AwsStore):
        from .aws.function_package import check_package

        check_package()
    if isinstance(settings.store, VaultStore):
        from .vault.identity import check_namespace

        check_namespace(settings.store)
