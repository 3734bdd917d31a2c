"""Roles that name each object. None can list or watch: Kubernetes can't limit those by name."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import rbac

from .names import Place, name_of


@dataclass(frozen=True)
class Grant:
    """Verbs on objects, each by its name."""

    group: str
    resource: str
    names: tuple[str, ...]
    verbs: tuple[str, ...]


def grant(name: str, role: str, place: Place, account: pulumi.Output[str], *grants: Grant) -> None:
    """The Role called `role`, bound to a service account of the namespace."""
    made = rbac.v1.Role(
        f"{name}-role",
        metadata=place.metadata(role),
        rules=[
            rbac.v1.PolicyRuleArgs(
                api_groups=[each.group],
                resources=[each.resource],
                resource_names=list(each.names),
                verbs=list(each.verbs),
            )
            for each in grants
        ],
        opts=place.child,
    )
    rbac.v1.RoleBinding(
        f"{name}-binding",
        metadata=place.metadata(role),
        role_ref=rbac.v1.RoleRefArgs(
            api_group="rbac.authorization.k8s.io", kind="Role", name=name_of(made.metadata, role)
        ),
        subjects=[rbac.v1.SubjectArgs(kind="ServiceAccount", name=account, namespace=place.namespace.name)],
        opts=place.child,
    )
