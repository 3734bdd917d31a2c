"""Who rotates: a coordination.k8s.io Lease, taken, renewed and taken over as client-go's leader election does it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from lightkube.models.coordination_v1 import LeaseSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.coordination_v1 import Lease

from secretops.errors import StoreError
from secretops.platforms.kubernetes.api import PATIENCE_SECONDS, Api
from secretops.platforms.kubernetes.secrets import LABELS, PAUSES
from secretops.stores import lease

INSTANCE = "app.kubernetes.io/instance"
"""The label that says which stack a Lease is of, as the program labels it."""


@dataclass(frozen=True)
class Timing(lease.Timing):
    """Seconds. The defaults are client-go's: a live holder is told after 2 to 3 s, a dead one followed after 15."""

    duration: int = 15
    renew: float = 2.0
    look: float = 1.0


class HeldLease(lease.Held):
    """A Lease that names us. Whoever waits for an answer waits as long as an API server may be away."""

    def __init__(self, api: Api, lease: Lease, *, asked: float, timing: Timing) -> None:
        super().__init__(timing, asked=asked)
        self._api, self._lease, self._own = api, lease, _term(lease.spec)

    def _renew(self, *, patiently: bool) -> bool:
        def renew(spec: LeaseSpec) -> None:
            spec.renewTime = _now()

        return self._write(renew, PATIENCE_SECONDS if patiently else 0)

    def _release(self) -> None:
        def end(spec: LeaseSpec) -> None:
            spec.holderIdentity, spec.leaseDurationSeconds, spec.renewTime = "", 1, _now()

        self._write(end, 0)

    def _write(self, change: Callable[[LeaseSpec], None], patience: float) -> bool:
        """Change the Lease while it is ours. Raises StoreError, UnreachableError."""
        for pause in (*PAUSES, None):
            spec = self._lease.spec or LeaseSpec()
            change(spec)
            if done := self._api.write(self._lease, patience=patience):
                self._lease = done
                return True
            found = self._api.get(Lease, _name(self._lease), patience=patience)
            if found and found.spec == spec:  # our write, whose answer was lost
                self._lease = found
                return True
            if found is None or _term(found.spec) != self._own:
                self._follower = (found and found.spec and found.spec.holderIdentity) or "nobody"
                return False
            self._lease = found  # somebody wrote beside the spec: a label
            if pause:
                time.sleep(pause)
        raise _in_conflict(self._api, _name(self._lease), "what was begun is finished by the next tick")


@contextlib.contextmanager
def hold(api: Api, name: str, holder: str, timing: Timing, *, instance: str = "") -> Iterator[HeldLease]:
    """Hold Lease `name` of stack `instance` as `holder` while the block runs.

    Raises LeaseHeldError, UnreachableError, StoreError, also when the Lease is another stack's.
    """
    held = _take(api, name, holder, timing, instance)
    with lease.holding(held, timing):
        yield held


def check_owner(found: str | None, instance: str, *, name: str, namespace: str, server: str) -> None:
    """Raise StoreError when the Lease's label INSTANCE is `found`, and not that of the stack.

    The same names are in every cluster that a stack was ever brought up in: where a kubeconfig's current context leads
    to another one, its Secrets are another stack's. A Lease without a label is nobody's word that they are ours.
    """
    if (found or "") == instance:
        return
    theirs, ours = found or "no stack", instance or "none"
    raise StoreError(
        f"Lease {name} in namespace {namespace} at {server} is of {theirs}, and we are of {ours}",
        rule=f"its label {INSTANCE} names its stack, and nobody writes the Secrets of another; nothing was written",
        remedy="set server.context to the context of the stack's own cluster; if it is this one, pulumi up --refresh "
        "puts the label back",
    )


def _take(api: Api, name: str, holder: str, timing: Timing, instance: str) -> HeldLease:
    watch = lease.Watch[LeaseSpec](timing)
    tried, tried_at = None, 0.0
    pauses = iter(PAUSES)  # one for each conflict
    while True:
        asked = time.monotonic()
        found = api.get(Lease, name)
        if found:
            label = ((found.metadata and found.metadata.labels) or {}).get(INSTANCE)
            check_owner(label, instance, name=name, namespace=api.namespace, server=api.server)
        spec = (found and found.spec) or LeaseSpec()
        if found and tried and spec == tried:  # our write, whose answer was lost
            return HeldLease(api, found, asked=tried_at, timing=timing)
        if (other := spec.holderIdentity) and not watch.is_over(
            spec,
            asked=asked,
            held=partial(lease.held_by, other, spec.acquireTime),
            duration=spec.leaseDurationSeconds,
        ):
            continue
        now = _now()
        tried = LeaseSpec(
            holderIdentity=holder,
            leaseDurationSeconds=timing.duration,
            acquireTime=now,
            renewTime=now,
            leaseTransitions=(spec.leaseTransitions or 0) + 1,
        )
        labels = {**LABELS, **({INSTANCE: instance} if instance else {})}
        wanted = found or Lease(metadata=ObjectMeta(name=name, namespace=api.namespace, labels=labels))
        wanted.spec, tried_at = tried, lease.awake_or_not()
        if taken := api.write(wanted):
            return HeldLease(api, taken, asked=tried_at, timing=timing)
        pause = next(pauses, None)
        if pause is None:
            raise _in_conflict(api, name, "nothing was begun")
        time.sleep(pause)


def _in_conflict(api: Api, name: str, left: str) -> StoreError:
    return StoreError(
        f"Lease {name} in namespace {api.namespace}: somebody else changed it {len(PAUSES) + 1} times in a row",
        rule=f"one rotation at a time; {left}",
        remedy=f"find out who writes it: kubectl -n {api.namespace} get lease {name} -o yaml",
    )


def _term(spec: LeaseSpec | None) -> tuple[str | None, datetime | None, int | None]:
    """What tells one holder's time from another's: a renewal does not change it."""
    return (spec.holderIdentity, spec.acquireTime, spec.leaseTransitions) if spec else (None, None, None)


def _name(lease: Lease) -> str:
    return (lease.metadata and lease.metadata.name) or ""


def _now() -> datetime:
    """Never a whole second: that is written without a fraction, and the API server's MicroTime wants one."""
    now = datetime.now(UTC)
    return now.replace(microsecond=max(1, now.microsecond))
