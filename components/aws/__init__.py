"""AWS: Secrets Manager and ECS Fargate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core import lazily

if TYPE_CHECKING:
    from .access_trail import AwsAccessTrail, AwsAccessTrailArgs, ExistingTrail
    from .ecs import EcsMcpServer, EcsMcpServerArgs, LoadBalancer
    from .functions import Vpc
    from .identity import AwsIdentity, AwsIdentityArgs
    from .principals import AwsAccount, AwsCaller, AwsRole, EcsTask
    from .redeploy import Redeploy, RedeployArgs
    from .rotation import AwsRotation, AwsRotationArgs
    from .secret_store import AwsSecretStore, AwsSecretStoreArgs

__all__ = [
    "AwsAccessTrail", "AwsAccessTrailArgs", "AwsAccount", "AwsCaller", "AwsIdentity", "AwsIdentityArgs", "AwsRole",
    "AwsRotation", "AwsRotationArgs", "AwsSecretStore", "AwsSecretStoreArgs", "EcsMcpServer", "EcsMcpServerArgs",
    "EcsTask", "ExistingTrail", "LoadBalancer", "Redeploy", "RedeployArgs", "Vpc",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = lazily(__name__, __all__, "secret_store", "ecs", "access_trail", "identity")
