"""For each store, a place with its versions and deliveries, which a test opens, inspects, edits, and kills processes
in.

The folder, the API server, OpenBao and the kills are real. moto replaces AWS; tools/key_vault and Azurite replace
Azure. A new store is one more `Place` and its row.
"""

from __future__ import annotations

import base64
import functools
import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import pytest
from dotenv import dotenv_values

from secretops.access import AccessRecords
from secretops.engine.ports import VersionStore
from secretops.platforms.aws.location import AwsStoreLocation
from secretops.platforms.azure.location import AzureStoreLocation
from secretops.platforms.dotenv.location import DotenvStoreLocation
from secretops.platforms.dotenv.store import DotenvVersionStore
from secretops.platforms.kubernetes.location import KubernetesStoreLocation
from secretops.stores import lease
from tests.contract.namespace import InNamespace, OfAServer
from tests.contract.swarm_place import InSwarm
from tests.contract.vault_place import InMount
from tests.contract.versions import FIELDS
from tests.real.accidents import killed_around, killed_around_writes, killed_at
from tests.real.azure import Azure
from tests.real.azurite import Azurite
from tests.real.cluster import Cluster
from tests.real.moto import ACCOUNT, REGION, Aws, lease_arn
from tests.real.strict_secrets_manager import StrictSecretsManager

if TYPE_CHECKING:  # where an extra is not installed, its row skips
    from azure.keyvault.secrets import SecretClient
    from lightkube import Client

    from secretops.platforms.aws.lease import LeaseTable
    from secretops.platforms.aws.store import SecretsManagerVersionStore
    from secretops.platforms.azure.store import KeyVaultVersionStore
    from secretops.platforms.kubernetes.lease import Timing
    from secretops.platforms.kubernetes.store import KubernetesVersionStore
    from secretops.stores.lease import Timing as SlowTiming
    from tests.real.azure_clients import AzureClients


class Feature(StrEnum):
    """A feature that a store may lack. A row names it with a reason, and the suite skips its tests."""

    ONE_RECORD_AN_ACCESS = "one access record of its own for every read and write"
    WHOLE_AT_ANY_MOMENT = "readers get all fields of one version, whenever the delivery is cut short"
    EMPTY_TEXT = "a field may be empty"
    ANOTHER_PROCESS = "another process opens the same place"
    LEASE_CAN_BE_LOST = "a follower takes over the lease of a holder that does not renew it"
    ASKS_BEFORE_EACH_PUBLISH = "a publication does not rest on a renewal, however recent"


class Place(Protocol):
    """A place of one store, with the secret "it"."""

    @property
    def address(self) -> str:
        """Return a text from which another process opens the place."""

    def open(self) -> VersionStore:
        """Return a new store object, so that nothing depends on a process's memory."""

    def delivered(self) -> dict[str, str | None]:
        """Return the fields of "it" as its readers see them."""

    def keeps(self, text: str) -> list[str]:
        """Return the parts of the place that still contain `text`."""

    def edit(self, old: str, new: str) -> None:
        """Replace `old` with `new` in the delivered value, as a person would."""

    def clear(self) -> None:
        """Remove the delivered values, as a person would."""

    def records(self) -> list[dict[str, str]]:
        """Return the access records that the store itself writes."""

    def killed_at(self, work: Callable[[], object], moment: int) -> bool:
        """Run `work` in a process that is killed at change number `moment`. Return False if the process ended first."""


def _as_if_never_renewed(_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease.LeaseWatcher, "has_expired", lambda *_, **__: True)


def _ended_by_azure(place: Place, _monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.storage.blob import BlobLeaseClient

    assert isinstance(place, InVault)
    BlobLeaseClient(place.clients.blob(place.location.lease)).break_lease(lease_break_period=0)


@dataclass(frozen=True)
class Row:
    name: str
    at: Callable[[str], Place]
    fresh: Callable[[pytest.FixtureRequest, Path], str]  # The address of an unused place; the folder is the test's.
    moments: int = 10  # The minimum of a publish: fewer means that the test misses some.
    gaps: dict[Feature, str] = field(default_factory=dict)
    examples: int = 40  # Number of values to try: fewer where each restarts the reader.
    starts_something: bool = False
    # Let the next holder acquire the lease at once, also from a living holder.
    let_follow: Callable[[Place, pytest.MonkeyPatch], None] = _as_if_never_renewed


@dataclass(frozen=True)
class Folder:
    address: str
    form: str = "variables"

    @property
    def root(self) -> Path:
        return Path(self.address)

    @property
    def env(self) -> Path:
        return self.root / "config" / ".env"

    @property
    def records_file(self) -> Path:
        return self.root / "log" / "access.jsonl"

    @property
    def location(self) -> DotenvStoreLocation:
        if self.form == "variables":
            return DotenvStoreLocation(
                root=self.address, variables={"it": {"username": "USER_NAME", "password": "PASSWORD", "ca.crt": "CA"}}
            )
        suffix = "" if self.form == "fixed files" else "-{version}"
        return DotenvStoreLocation(
            root=self.address,
            variables={"it": {"username": "USER_NAME"}},
            files={"it": {"password": f"secrets/password{suffix}", "ca.crt": f"certs/ca.crt{suffix}"}},
            file_variables={"it": {"password": "PASSWORD_FILE", "ca.crt": "CA_FILE"}},
        )

    def open(self) -> DotenvVersionStore:
        for folder in (self.root, *(self.root / name for name in ("config", "certs", "secrets", "versions", "log"))):
            folder.mkdir(mode=0o700, exist_ok=True)
        return DotenvVersionStore(self.location, AccessRecords(self.records_file, "tester"))

    def delivered(self) -> dict[str, str | None]:
        found = dotenv_values(self.env)
        if self.form == "variables":
            names = zip(FIELDS, ("USER_NAME", "PASSWORD", "CA"), strict=True)
            return {name: found.get(variable) for name, variable in names}
        texts = {"username": found.get("USER_NAME")}
        for name, variable in (("password", "PASSWORD_FILE"), ("ca.crt", "CA_FILE")):
            path = found.get(variable)
            texts[name] = Path(path).read_bytes().decode() if path and Path(path).exists() else None
        return texts

    def delivered_files(self) -> list[Path]:
        return [path for folder in ("secrets", "certs") for path in (self.root / folder).iterdir()]

    def records(self) -> list[dict[str, str]]:
        path = self.records_file
        return [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []

    def keeps(self, text: str) -> list[str]:
        return [
            str(path.relative_to(self.root))
            for path in self.root.rglob("*")
            if path.is_file() and path.name != "filler" and _holds(path.read_bytes(), text)
        ]

    def edit(self, old: str, new: str) -> None:
        holding = [path for path in (self.env, *self.delivered_files()) if path.exists() and old in path.read_text()]
        assert holding, "it is not delivered"
        for path in holding:
            path.write_text(path.read_text().replace(old, new))

    def clear(self) -> None:
        for path in self.delivered_files() or [self.env]:
            path.unlink()

    def killed_at(self, work: Callable[[], object], moment: int) -> bool:
        return killed_at(work, moment)


@dataclass(frozen=True)
class Namespace(InNamespace):
    """The Kubernetes store's place: a namespace of the test run's API server. Requests are an admin's."""

    address: str  # Its name, and the folder, the ports and the admin's kubeconfig of the cluster.

    @classmethod
    def fresh(cls, request: pytest.FixtureRequest, _folder: Path) -> str:
        cluster: Cluster = request.getfixturevalue("cluster")
        facts = (str(cluster.folder), cluster.port, str(cluster.admin), cluster.etcd_port)
        return json.dumps([cluster.namespace(), *facts])

    @property
    def name(self) -> str:
        return str(json.loads(self.address)[0])

    @functools.cached_property
    def cluster(self) -> Cluster:
        _, folder, port, admin, etcd_port = json.loads(self.address)
        return Cluster(Path(folder), port, Path(admin), etcd_port)

    @functools.cached_property
    def client(self) -> Client:
        return self.cluster.client()

    def open(
        self,
        location: KubernetesStoreLocation | None = None,
        *,
        kubeconfig: Path | None = None,
        timing: Timing | None = None,
    ) -> KubernetesVersionStore:
        """Open the store, by default as the admin. Its lease is short, so that a test waits less."""
        from secretops.platforms.kubernetes.api import Api
        from secretops.platforms.kubernetes.connection import connect
        from secretops.platforms.kubernetes.lease import Timing
        from secretops.platforms.kubernetes.store import KubernetesVersionStore

        environment = {"KUBECONFIG": str(kubeconfig or self.cluster.admin)}
        api = Api(self.name, open_connection=functools.partial(connect, environment=environment))
        timing = timing or Timing(duration=6, renew=0.5, poll=0.25)
        return KubernetesVersionStore(location or self.location, api, timing=timing)

    def data(self, secret: str) -> dict[str, bytes]:
        found = self._secrets().get(secret)
        return {key: base64.b64decode(text) for key, text in ((found and found.data) or {}).items()}

    def set(self, secret: str, changes: dict[str, bytes | None]) -> None:
        from lightkube.models.meta_v1 import ObjectMeta
        from lightkube.resources.core_v1 import Secret

        found = self._secrets().get(secret)
        if found is None:
            found = self.client.create(Secret(metadata=ObjectMeta(name=secret, namespace=self.name)))
        data = {**self.data(secret), **changes}
        found.data = {key: base64.b64encode(value).decode() for key, value in data.items() if value is not None}
        self.client.replace(found)

    def keeps(self, text: str) -> list[str]:
        return [
            f"{name}: {key}"
            for name, secret in self._secrets().items()
            for key, value in {
                **self.data(name),
                **{
                    key: note.encode()
                    for key, note in ((secret.metadata and secret.metadata.annotations) or {}).items()
                },
            }.items()
            if _holds(value, text)
        ]

    def killed_at(self, work: Callable[[], object], moment: int) -> bool:
        import httpx2

        return killed_around_writes(work, moment, httpx2.HTTPTransport, "handle_request")

    def _secrets(self) -> dict[str, Any]:
        from lightkube.resources.core_v1 import Secret

        found = self.client.list(Secret, namespace=self.name)
        return {(secret.metadata and secret.metadata.name) or "": secret for secret in found}


@dataclass(frozen=True)
class Account(OfAServer):
    """The AWS store's place: secrets in moto, through a client that enforces AWS' rules."""

    address: str  # moto's URL, and the prefix of its names.

    @classmethod
    def fresh(cls, request: pytest.FixtureRequest, _folder: Path) -> str:
        aws: Aws = request.getfixturevalue("moto")
        place = cls(json.dumps([aws.url, aws.prefix()]))
        for name in place.location.secrets.values():
            place.client.create_secret(Name=name)
        aws.make_lease(json.loads(place.address)[1])
        return place.address

    @property
    def aws(self) -> Aws:
        return Aws(json.loads(self.address)[0])

    @functools.cached_property
    def client(self) -> StrictSecretsManager:
        return StrictSecretsManager(self.aws.secrets_manager)

    @property
    def location(self) -> AwsStoreLocation:
        prefix = json.loads(self.address)[1]
        return AwsStoreLocation(
            account=ACCOUNT,
            region=REGION,
            secrets={secret: f"{prefix}-{secret}" for secret in ("it", "other")},
            fields={"it": FIELDS},
            lease=lease_arn(prefix),
        )

    def open(
        self, location: AwsStoreLocation | None = None, *, timing: SlowTiming | None = None
    ) -> SecretsManagerVersionStore:
        from secretops.platforms.aws.api import SecretsManagerApi
        from secretops.platforms.aws.store import SecretsManagerVersionStore
        from secretops.stores.lease import Timing

        api = SecretsManagerApi(REGION, lambda _region: cast(Any, self.client))
        timing = timing or Timing(duration=6, renew=0.5, poll=0.25)
        return SecretsManagerVersionStore(location or self.location, api, table=self.table(), timing=timing)

    def table(self, client: Any = None) -> LeaseTable:
        from secretops.platforms.aws.lease import LeaseTable

        return LeaseTable(self.location.lease, lambda _region: client or self.aws.dynamodb())

    @property
    def name(self) -> str:
        return self.location.secrets["it"]

    def labels(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = self.client.describe_secret(SecretId=self.name).get("VersionIdsToStages", {})
        return found

    def delivered(self) -> dict[str, str | None]:
        found = json.loads(self._current() or "{}")
        return {name: found.get(name) for name in FIELDS}

    def keeps(self, text: str) -> list[str]:
        """Search only versions with a label, because AWS deletes the others itself, and no request does it sooner."""
        return [
            version
            for version, labels in self.labels().items()
            if _holds(self._text(version).encode(), text) or any(_holds(label.encode(), text) for label in labels)
        ]

    def edit(self, old: str, new: str) -> None:
        found = self._current() or ""
        assert old in found, "it is not delivered"
        self.client.put_secret_value(SecretId=self.name, SecretString=found.replace(old, new))

    def clear(self) -> None:
        self.client.put_secret_value(SecretId=self.name, SecretString="{}")

    def killed_at(self, work: Callable[[], object], moment: int) -> bool:
        return killed_around(work, moment, StrictSecretsManager.around_write.append)

    def _current(self) -> str | None:
        version = next((version for version, labels in self.labels().items() if "AWSCURRENT" in labels), None)
        return self._text(version) if version else None

    def _text(self, version: str) -> str:
        return str(self.client.get_secret_value(SecretId=self.name, VersionId=version)["SecretString"])


@dataclass(frozen=True)
class InVault(OfAServer):
    """The Azure store's place: secrets of a stand-in vault, with the lease of a blob in Azurite."""

    address: str  # The vault's URL, the blob's, and the rotator's environment.

    @classmethod
    def fresh(cls, request: pytest.FixtureRequest, _folder: Path) -> str:
        azure: Azure = request.getfixturevalue("azure")
        azurite: Azurite = request.getfixturevalue("azurite")
        from tools.key_vault.roles import SECRETS_OFFICER

        vault, rotator = azure.vault(), azure.principal("rotator")
        blob = azurite.new_blob(rotator).url
        place = cls(json.dumps([vault.url, blob, azure.environment(rotator), azure.authority.tenant]))
        vault.access.grant(rotator.oid, SECRETS_OFFICER)
        return place.address

    @functools.cached_property
    def clients(self) -> AzureClients:
        from tests.real.azure_clients import AzureClients

        return AzureClients(json.loads(self.address)[2])

    @functools.cached_property
    def client(self) -> SecretClient:
        return self.clients.vault(self.location.vault)

    @property
    def location(self) -> AzureStoreLocation:
        vault, blob, _, tenant = json.loads(self.address)
        return AzureStoreLocation(
            tenant=tenant,
            vault=vault,
            secrets={secret: secret for secret in ("it", "other")},
            pending={secret: f"{secret}-pending" for secret in ("it", "other")},
            fields={"it": FIELDS},
            due_days={"it": 90},
            lease=blob,
        )

    def open(
        self,
        location: AzureStoreLocation | None = None,
        *,
        timing: SlowTiming | None = None,
        client: SecretClient | None = None,
    ) -> KeyVaultVersionStore:
        """Open the store, with the shortest lease that Azure allows."""
        from secretops.platforms.azure.api import KeyVaultApi
        from secretops.platforms.azure.lease import LeaseBlob
        from secretops.platforms.azure.store import KeyVaultVersionStore
        from secretops.stores.lease import Timing

        location = location or self.location
        return KeyVaultVersionStore(
            location,
            KeyVaultApi(location.vault, lambda _vault: client or self.client),
            LeaseBlob(location.lease, self.clients.blob),
            timing=timing or Timing(duration=15, renew=0.5, poll=0.25),
        )

    def delivered(self) -> dict[str, str | None]:
        from azure.core.exceptions import HttpResponseError

        try:
            found = json.loads(self.client.get_secret("it").value or "{}")
        except HttpResponseError as error:
            assert error.status_code in (403, 404)  # the newest one is disabled; there is none
            found = {}
        return {name: found.get(name) for name in FIELDS}

    def keeps(self, text: str) -> list[str]:
        from azure.core.exceptions import ResourceNotFoundError

        found = []
        for name in ("it", "it-pending"):
            try:
                for one in list(self.client.list_properties_of_secret_versions(name)):
                    value = (self.client.get_secret(name, one.version).value or "") if one.enabled else ""
                    if any(_holds(each.encode(), text) for each in (value, *(one.tags or {}).values())):
                        found.append(f"{name} {one.version}")
            except ResourceNotFoundError:
                continue
        return found

    def edit(self, old: str, new: str) -> None:
        found = self.client.get_secret("it").value or ""
        assert old in found, "it is not delivered"
        self.client.set_secret("it", found.replace(old, new))

    def clear(self) -> None:
        self.client.update_secret_properties("it", self.client.get_secret("it").properties.version, enabled=False)

    def killed_at(self, work: Callable[[], object], moment: int) -> bool:
        from tests.real.azure_clients import OwnConnections

        return killed_around(work, moment, OwnConnections.around_write.append)


def _holds(content: bytes, text: str) -> bool:
    """Return whether `content` contains `text`, plain or as JSON."""
    return text.encode() in content or json.dumps(text)[1:-1].encode() in content


def _in_folder(_request: pytest.FixtureRequest, folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    return str(folder / "store")


_OF_A_FOLDER = {Feature.LEASE_CAN_BE_LOST: "the lease is a file lock: the system frees it when its process ends"}
_BY_COMPARE_AND_SWAP = "a holder writes by compare-and-swap, and nobody follows while its renewal is recent"
_OF_A_CLUSTER = {
    Feature.ONE_RECORD_AN_ACCESS: "the API server's audit log is the trail: one event a request",
    Feature.ASKS_BEFORE_EACH_PUBLISH: _BY_COMPARE_AND_SWAP,
}
_OF_A_SWARM = {
    Feature.ONE_RECORD_AN_ACCESS: "a tick compares names and reads no value to do it: test_swarm_records",
    Feature.EMPTY_TEXT: "a Swarm keeps no empty secret",
}
_OF_ONE_PROCESS = {Feature.ANOTHER_PROCESS: "it is in the memory of one process"}


def _in_memory(module: str, client: str) -> tuple[Callable[[str], Place], Callable[[pytest.FixtureRequest, Path], str]]:
    """Return `at` and `fresh` of a store in memory. Skips its row if the store's client is not installed."""

    def found() -> Any:
        pytest.importorskip(client)
        return importlib.import_module(f"tests.unit.{module}")

    return (lambda address: found().at(address)), (lambda request, folder: found().fresh(request, folder))


ROWS = [
    Row("dotenv, variables", Folder, _in_folder, gaps=_OF_A_FOLDER),
    Row("dotenv, files", lambda address: Folder(address, "files"), _in_folder, gaps=_OF_A_FOLDER),
    Row("dotenv, files of fixed names", lambda address: Folder(address, "fixed files"), _in_folder,
        gaps={**_OF_A_FOLDER,
              Feature.WHOLE_AT_ANY_MOMENT: "several files are replaced one after the other; the next tick ends it"}),
    Row("kubernetes", Namespace, Namespace.fresh, moments=6, starts_something=True, gaps=_OF_A_CLUSTER),
    Row("kubernetes, in memory", *_in_memory("memory_cluster", "lightkube"), moments=6,
        gaps={**_OF_A_CLUSTER, **_OF_ONE_PROCESS}),
    Row("aws (moto)", Account, Account.fresh, moments=8, starts_something=True,
        gaps={Feature.ONE_RECORD_AN_ACCESS: "CloudTrail is the trail: one event a request",
              Feature.ASKS_BEFORE_EACH_PUBLISH: _BY_COMPARE_AND_SWAP}),
    Row("azure (stand-in, azurite)", InVault, InVault.fresh, moments=4, starts_something=True,
        gaps={Feature.ONE_RECORD_AN_ACCESS: "the vault's audit log is the trail: one event a request"},
        let_follow=_ended_by_azure),
    Row("vault", InMount, InMount.fresh, moments=8, starts_something=True,
        gaps={Feature.ONE_RECORD_AN_ACCESS: "the server's audit devices are the trail: two lines a request"}),
    Row("swarm", InSwarm, InSwarm.fresh, moments=6, examples=8, starts_something=True, gaps=_OF_A_SWARM),
    Row("swarm, in memory", *_in_memory("memory_swarm", "docker"), moments=6, examples=8,
        gaps={**_OF_A_SWARM, **_OF_ONE_PROCESS}),
]  # fmt: skip
