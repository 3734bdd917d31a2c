"""The Kubernetes store's trail: the API server's own audit log, which has to be given a policy.

No resource of a namespace can do that: the policy is a file of the API server, or a managed service's setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..core.secret_store import Trail

POLICY = Path(__file__).with_name("audit-policy.yaml")


def trail_of(stack: str, namespace: str, readers: Mapping[str, tuple[str, ...]]) -> Trail:
    """Where the records are, and the policy that makes them, headed by who is declared to read what."""
    head = [
        f"# Stack {stack}, namespace {namespace}: who is declared to read its Secrets. secretops audit flags others.",
        *(f"#   {secret}: {', '.join(who)}" for secret, who in readers.items()),
    ]
    return Trail(
        records=f"the API server's audit log: objectRef.resource secrets, objectRef.namespace {namespace}",
        policy="\n".join(head) + "\n" + POLICY.read_text(),
    )
