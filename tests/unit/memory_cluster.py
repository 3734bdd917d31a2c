"""A namespace of a Kubernetes API in memory: Secrets and Leases, with compare-and-swap. tests/stacks/test_staging.py
uses a real API server."""

import base64
import copy
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import Secret

from secretops.platforms.kubernetes.api import Api
from secretops.platforms.kubernetes.connection import Connection
from secretops.platforms.kubernetes.lease import Timing
from secretops.platforms.kubernetes.location import KubernetesStoreLocation
from secretops.platforms.kubernetes.store import KubernetesVersionStore
from secretops.stores import retry
from tests.contract.namespace import InNamespace
from tests.real.accidents import killed_in_memory

SERVER = "https://memory.example"


@dataclass
class Client:
    """The part of lightkube's client that `Api` uses."""

    objects: dict[tuple[str, str], Any] = field(default_factory=dict)  # Kind and name -> the object.
    # Called before each request: an HTTP status to answer, or an error to raise. With status 0 a write is done, and its
    # answer lost.
    answer: Callable[[str, str], int | Exception | None] = lambda _verb, _name: None
    # Called before each write, and `after` afterwards.
    before: Callable[[str, str], None] = lambda _verb, _name: None
    after: Callable[[str, str], None] = lambda _verb, _name: None
    calls: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._versions = itertools.count(1)

    def get(self, kind: Any, name: str, **_: Any) -> Any:
        self._ask("get", name)
        if (found := self.objects.get((kind.__name__, name))) is None:
            raise refused(404)
        return copy.deepcopy(found)

    def create(self, thing: Any) -> Any:
        return self._write("create", thing, None)

    def replace(self, thing: Any) -> Any:
        return self._write("update", thing, thing.metadata.resourceVersion)

    def _write(self, verb: str, thing: Any, version: str | None) -> Any:
        self.before(verb, thing.metadata.name)
        lost = self._ask(verb, thing.metadata.name)
        key = (type(thing).__name__, thing.metadata.name)
        found = self.objects.get(key)
        if (found and found.metadata.resourceVersion) != version:
            raise refused(409)
        stored = copy.deepcopy(thing)
        stored.metadata.resourceVersion = str(next(self._versions))
        self.objects[key] = stored
        self.after(verb, thing.metadata.name)
        if lost:
            raise httpx2.ReadError("lost")
        return copy.deepcopy(stored)

    def _ask(self, verb: str, name: str) -> bool:
        self.calls.append((verb, name))
        match self.answer(verb, name):
            case None:
                return False
            case 0:
                return True
            case int() as code:
                raise refused(code)
            case error:
                raise error


@dataclass
class InMemory(InNamespace):
    """A location of the Kubernetes store."""

    client: Client = field(default_factory=Client)
    renew: float = 1000.0  # Seconds between two renewals of a lease: none in most tests.

    @property
    def address(self) -> str:
        return str(id(self))

    def api(self) -> Api:
        connection = Connection(self.client, SERVER, "user admin of context test")  # type: ignore[arg-type]
        return Api(self.name, open_connection=lambda _context: connection)

    def open(
        self, location: KubernetesStoreLocation | None = None, *, timing: Timing | None = None
    ) -> KubernetesVersionStore:
        timing = timing or Timing(duration=6, renew=self.renew, poll=0.1)
        return KubernetesVersionStore(location or self.location, self.api(), timing=timing)

    def data(self, name: str) -> dict[str, bytes]:
        found = self.client.objects.get(("Secret", name))
        return {key: base64.b64decode(text) for key, text in ((found and found.data) or {}).items()}

    def set(self, name: str, changes: dict[str, bytes | None]) -> None:
        """Set keys of a Secret by hand, and remove those that are None."""
        found = self.client.objects.get(("Secret", name))
        data = {key: text for key, text in {**self.data(name), **changes}.items() if text is not None}
        encoded = {key: base64.b64encode(text).decode() for key, text in data.items()}
        if found is None:
            self.client.create(Secret(metadata=ObjectMeta(name=name, namespace=self.name), data=encoded))
        else:
            found.data = encoded

    def annotations(self, name: str) -> dict[str, str]:
        found = self.client.objects[("Secret", name)]
        return dict(found.metadata.annotations or {})

    def keeps(self, text: str) -> list[str]:
        """Return the Secrets that contain `text` in a value, document or annotation."""
        stored = [name for kind, name in self.client.objects if kind == "Secret"]
        forms = {text, json.dumps(text, ensure_ascii=False)[1:-1]}
        return [
            name
            for name in stored
            for whole in [*self.data(name).values(), *(note.encode() for note in self.annotations(name).values())]
            if any(form.encode() in whole for form in forms)
        ]

    def lease(self) -> Lease:
        found: Lease = self.client.objects[("Lease", self.LEASE)]
        return found

    def take_over(self) -> None:
        spec = self.lease().spec
        assert spec
        spec.holderIdentity, spec.leaseTransitions = "the follower", 2
        self.client.replace(self.lease())

    def killed_at(self, work: Callable[[], object], moment: int) -> bool:
        return killed_in_memory(work, moment, self.client)


_fresh: dict[str, InMemory] = {}


def fresh(request: pytest.FixtureRequest, _folder: Path) -> str:
    """Return the address of an unused location for `at`, in this process."""
    quick(request.getfixturevalue("monkeypatch"))
    place = InMemory(renew=0.02)
    _fresh[place.address] = place
    return place.address


def at(address: str) -> InMemory:
    return _fresh[address]


def refused(code: int, status: dict[str, Any] | None = None) -> Exception:
    request = httpx2.Request("GET", SERVER)
    response = httpx2.Response(code, json=status or {}, request=request)
    return httpx2.HTTPStatusError(str(code), request=request, response=response)


class Clock:
    """Replaces `time` in one module. A sleep advances the clock at once."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def quick(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the pauses for the API server, and those after conflicts. Return the clock of the former."""
    clock = Clock()
    monkeypatch.setattr(retry, "time", clock)
    return clock
