"""Who rotates: a coordination.k8s.io Lease, taken, renewed and taken over as client-go's leader election does it.

No machine's clock is compared with another's. Whoever finds the Lease held watches it by its own clock: a holder that
lives is seen to renew, and only one that has not for the whole duration is followed.
https://pkg.go.dev/k8s.io/client-go/tools/leaderelection
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from lightkube.models.coordination_v1 import LeaseSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.coordination_v1 import Lease

from secretops.errors import LeaseHeldError, SecretopsError, StoreError
from secretops.stores.kubernetes.api import PATIENCE_SECONDS, Api
from secretops.stores.kubernetes.secrets import LABELS, PAUSES

_log = logging.getLogger(__name__)

INSTANCE = "app.kubernetes.io/instance"
"""The label that says which stack a Lease is of, as the program labels it."""


@dataclass(frozen=True)
class Timing:
    """Seconds. The defaults are client-go's: a live holder is told after 2 to 3 s, a dead one followed after 15."""

    duration: int = 15
    """How long a holder that does not renew still holds."""
    renew: float = 2.0
    look: float = 1.0
    """Between two looks at a Lease that is held."""

    @property
    def trusted(self) -> float:
        """How long after a renewal the holder writes without asking again (client-go's RenewDeadline: 10 of 15)."""
        return self.duration * 2 / 3


class HeldLease:
    """A Lease that this process holds, or held: others may have followed us while we could not renew."""

    def __init__(self, api: Api, lease: Lease, renewed: float, timing: Timing) -> None:
        self._api, self._lease, self._timing = api, lease, timing
        self._own, self._renewed, self._follower = _term(lease.spec), renewed, ""
        self._turn = threading.Lock()

    def confirm(self, *, surely: bool = False) -> None:
        """Raise StoreError when the Lease is no longer ours. `surely`: do not rest on a renewal that is recent."""
        with self._turn:
            stale = awake_or_not() - self._renewed > self._timing.trusted
            if ((surely or stale) and not self._renew(PATIENCE_SECONDS)) or self._follower:
                raise StoreError(
                    f"the lease is not ours any more: {self._follower or 'somebody else'} has changed it",
                    rule="who has not renewed it for its whole duration is followed, and writes no more",
                    remedy="nothing to do: what was begun is finished by the next tick",
                )

    def keep_renewing(self, over: threading.Event) -> None:
        """Until `over`. A renewal that fails is tried again: only a follower ends what is held."""
        while not over.wait(self._timing.renew):
            try:
                with self._turn:
                    self._renew(0)
            except SecretopsError as error:
                _log.info("the lease was not renewed: %s", error.what)

    def give_back(self) -> None:
        """Let the next one have it at once, as far as that can be done."""

        def end(spec: LeaseSpec) -> None:
            spec.holderIdentity, spec.leaseDurationSeconds, spec.renewTime = "", 1, _now()

        try:
            with self._turn:
                self._write(end, 0)
        except SecretopsError as error:
            _log.warning("the lease was not given back, and ends in %d s: %s", self._timing.duration, error.what)

    def _renew(self, patience: float) -> bool:
        def renew(spec: LeaseSpec) -> None:
            spec.renewTime = _now()

        asked = awake_or_not()
        if self._write(renew, patience):
            self._renewed = asked
            return True
        return False

    def _write(self, change: Callable[[LeaseSpec], None], patience: float) -> bool:
        """Change the Lease while it is ours. Raises StoreError, UnreachableError."""
        for pause in (*PAUSES, 0.0):
            if self._follower or self._lease.spec is None:
                return False
            change(self._lease.spec)
            if done := self._api.write(self._lease, patience=patience):
                self._lease = done
                return True
            found = self._api.get(Lease, _name(self._lease), patience=patience)
            if found and found.spec == self._lease.spec:  # our write, whose answer was lost
                self._lease = found
                return True
            if found is None or _term(found.spec) != self._own:
                self._follower = (found and found.spec and found.spec.holderIdentity) or "nobody"
            else:  # somebody wrote beside the spec: a label
                self._lease = found
                time.sleep(pause)
        return False


@contextlib.contextmanager
def hold(api: Api, name: str, holder: str, timing: Timing, *, instance: str = "") -> Iterator[HeldLease]:
    """Hold Lease `name` of stack `instance` as `holder` while the block runs.

    Raises LeaseHeldError, UnreachableError, StoreError, also when the Lease is another stack's.
    """
    held = _take(api, name, holder, timing, instance)
    over = threading.Event()
    renewing = threading.Thread(target=held.keep_renewing, args=(over,), name="lease", daemon=True)
    renewing.start()
    try:
        yield held
    finally:
        over.set()
        renewing.join()
        held.give_back()


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
    seen, since = None, 0.0
    tried, tried_at = None, 0.0
    pauses = iter(PAUSES)  # one for each conflict
    while True:
        looked = time.monotonic()
        found = api.get(Lease, name)
        if found:
            label = ((found.metadata and found.metadata.labels) or {}).get(INSTANCE)
            check_owner(label, instance, name=name, namespace=api.namespace, server=api.server)
        spec = (found and found.spec) or LeaseSpec()
        if found and tried and spec == tried:  # our write, whose answer was lost
            return HeldLease(api, found, tried_at, timing)
        if spec.holderIdentity:
            if seen is None:
                seen, since = spec, time.monotonic()  # an answer that was long in coming is no older than this
            elif spec != seen:
                raise _held(spec)
            if looked - since < (spec.leaseDurationSeconds or timing.duration):
                time.sleep(timing.look)
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
        wanted.spec, tried_at = tried, awake_or_not()
        if taken := api.write(wanted):
            return HeldLease(api, taken, tried_at, timing)
        pause = next(pauses, None)
        if pause is None:
            raise StoreError(
                f"Lease {name} in namespace {api.namespace}: somebody else changed it {len(PAUSES) + 1} times in a row",
                rule="one rotation at a time; nothing was begun",
                remedy=f"find out who writes it: kubectl -n {api.namespace} get lease {name} -o yaml",
            )
        time.sleep(pause)


def awake_or_not() -> float:
    """Seconds that also pass while this machine sleeps, during which nothing is renewed: `time.monotonic` stands still
    then on Linux, and elsewhere is what there is."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


def _held(spec: LeaseSpec) -> LeaseHeldError:
    since = f" since {spec.acquireTime:%Y-%m-%d %H:%M:%S} UTC" if spec.acquireTime else ""
    return LeaseHeldError(
        f"{spec.holderIdentity}{since} holds the lease",
        rule="one rotation at a time",
        remedy="nothing to do: it ends with its process; try again then",
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
