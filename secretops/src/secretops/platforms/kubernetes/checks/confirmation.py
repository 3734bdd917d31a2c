"""What an operator says of things that nobody can look at: an annotation on the Secret that only the rotator reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC

from secretops.access import this_actor
from secretops.errors import SecretopsError, UsageError
from secretops.platforms.kubernetes.api import Api
from secretops.platforms.kubernetes.checks.cluster import METADATA, Cluster
from secretops.platforms.kubernetes.secrets import PREFIX, SecretData, Secrets

AUDIT, ENCRYPTION = "audit", "encryption-at-rest"
"""What can be confirmed."""

LONGEST = 300
"""Characters of what is said: one line that names where it is written, such as a ticket."""

_CONFIRMED = f"{PREFIX}confirmed."


@dataclass(frozen=True)
class Confirmation:
    """Who said what, and when."""

    by: str
    at: str
    words: str

    def __str__(self) -> str:
        return f"confirmed by {self.by} on {self.at[:10]}: {self.words}"


def ask(subject: str, why: str) -> str:
    """The remedy where only a person can say."""
    return f'{why}, then say so: secretops doctor --confirm {subject}="where that is written"'


def recorded(cluster: Cluster, subject: str) -> Confirmation | None:
    """What has been said of `subject`. None too where the Secret can't be read: then it is as if nobody had."""
    try:
        found = cluster.own("secrets", cluster.location.versions, accept=METADATA) or {}
        text = (found.get("metadata", {}).get("annotations") or {}).get(f"{_CONFIRMED}{subject}")
        return Confirmation(**json.loads(text)) if text else None
    except (SecretopsError, ValueError, TypeError):
        return None


def record(cluster: Cluster, said: Sequence[str]) -> None:
    """Write `subject=words` down, by compare-and-swap. Raises UsageError, and StoreError where the stack beside it is
    another one, before anything is written."""
    pairs = dict(_parsed(entry) for entry in said)
    cluster.lease()
    who, when = _caller(cluster), cluster.now().astimezone(UTC)
    notes = {
        f"{_CONFIRMED}{subject}": json.dumps(asdict(Confirmation(who, f"{when:%Y-%m-%dT%H:%M:%SZ}", words)))
        for subject, words in pairs.items()
    }

    def note(found: SecretData) -> None:
        found.annotations.update(notes)

    place = cluster.location
    Secrets(Api(place.namespace, place.context), lambda _: None).change(place.versions, note)


def _parsed(entry: str) -> tuple[str, str]:
    subject, _, words = (part.strip() for part in entry.partition("="))
    if subject not in (AUDIT, ENCRYPTION) or not words or len(words) > LONGEST or not words.isprintable():
        raise UsageError(
            "--confirm: not what can be confirmed, or no words",
            rule=f"{AUDIT}= or {ENCRYPTION}=, and one line of at most {LONGEST} characters that holds no secret",
            remedy=f'for example --confirm {AUDIT}="control plane logging is on, ticket 12"',
        )
    return subject, words


def _caller(cluster: Cluster) -> str:
    """Who the API server takes us for; before Kubernetes 1.28, which can't be asked, who this machine does."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = cluster.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
    return str(answer["status"]["userInfo"]["username"]) if answer else this_actor("operator")
