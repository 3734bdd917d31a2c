"""What the entries of Kubernetes' sections may be, in a stack file."""

from __future__ import annotations

from typing import Annotated

from components.constraints import matching

KubernetesName = Annotated[
    str,
    matching(
        r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?",
        "a Kubernetes name: lower-case letters, digits, dashes and dots, a letter or digit at both ends",
        "write it as kubectl shows it",
    ),
]
Issuer = Annotated[
    str,
    matching(
        r"https://[\w.-]+(/[\w.-]+)*/?",
        "the URL of the cluster's OIDC issuer, as its tokens have it",
        "az aks show --query oidcIssuerProfile.issuerUrl shows it",
    ),
]
