"""Doctor's checks of a stack in Azure, with a scripted vault. tests/contract sends real requests."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")

from secretops.check import Level, Repair
from secretops.engine.state import Stage, Version
from secretops.platforms.azure import checks as examining
from secretops.platforms.azure import tags
from secretops.platforms.azure.api import DeletedSecret, KeyVaultVersion
from secretops.platforms.azure.checks import Vault
from secretops.platforms.azure.errors import ForbiddenError
from secretops.platforms.azure.location import AzureStoreLocation
from secretops.platforms.azure.tags import TagState
from secretops.stores.lease import Timing
from secretops.trails import Access
from tests.unit.lease_blob import BlobInMemory

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(hours=3)
STORE = AzureStoreLocation(
    tenant="00000000-0000-0000-0000-00000000aaaa",
    vault="https://vault.vault.azure.net",
    secrets={"mqtt": "mqtt"},
    pending={"mqtt": "mqtt-pending"},
    lease="https://account.blob.core.windows.net/c/rotator",
    workspace="00000000-0000-0000-0000-00000000bbbb",
)


def vault_version(
    number: int, *, at: datetime = LONG_AGO, enabled: bool = True, expires: datetime | None = None
) -> KeyVaultVersion:
    version = Version(id=f"v{number}", stage=Stage.PENDING, created=at)
    return KeyVaultVersion(
        "it", f"kv{number}", enabled, at + timedelta(seconds=number), expires,
        tags.version_tags(version, number, f"w{number}"),
    )  # fmt: skip


@dataclass
class Played:
    state: TagState = field(default_factory=lambda: TagState((vault_version(1),), ()))
    location: AzureStoreLocation = STORE
    lease: BlobInMemory = field(default_factory=BlobInMemory)
    timing: Timing = field(default_factory=lambda: Timing(poll=0.01))
    ahead: timedelta = timedelta(0)
    record: datetime | None = NOW
    denied: tuple[ForbiddenError, ...] = ()
    soft_deleted: dict[str, DeletedSecret] = field(default_factory=dict)
    accessed: tuple[Access, ...] = ()
    short_name: str = "kv"
    names: tuple[str, ...] = ("mqtt", "mqtt-pending")

    @property
    def states(self) -> dict[str, TagState]:
        return {"mqtt": self.state}

    def __getattr__(self, name: str) -> Any:
        answers: dict[str, Any] = {
            "reach": None, "forbidden": self.denied, "deleted": self.soft_deleted, "newest_record": self.record,
            "accesses": self.accessed, "undeclared": [],
        }  # fmt: skip
        return lambda *_: answers[name]

    def finds(self, name: str) -> Level:
        found = examining.azure_checks(cast(Vault, self), cast(Any, None), Repair("tick", str))
        (one,) = [check for check in found if check.name == name]
        return one.run().level


def access(**changes: Any) -> Access:
    answers: dict[str, Any] = {"time": NOW, "reader": "server", "operation": "SecretGet", "secret": "mqtt"}
    answers |= {"source": "", "allowed": False, "value_returned": False, "changed": False, "declared": True}
    return Access(**{**answers, **changes})


def test_intact_stack_is_healthy() -> None:
    names = ("vault", "clock", "your rights", "names", "pending", "versions", "lease", "audit", "readers' rights")
    assert {name: Played().finds(name) for name in names} == dict.fromkeys(names, Level.OK)


PAST = NOW - timedelta(days=1)
OURS, THEIRS = DeletedSecret({tags.FORGETTING: "x"}, None, False), DeletedSecret({}, None, True)


@pytest.mark.parametrize(
    ("check", "played"),
    [
        ("clock", {"ahead": timedelta(hours=1)}),
        ("your rights", {"denied": (ForbiddenError("no", code="test"),)}),
        ("names", {"soft_deleted": {"mqtt": THEIRS}}),
        ("pending", {"state": TagState((vault_version(1),), (vault_version(2),))}),
        ("pending", {"state": TagState((vault_version(1), vault_version(2)), (vault_version(2),))}),
        ("versions", {"state": TagState((vault_version(1, enabled=False),), ())}),
        ("versions", {"state": TagState((vault_version(1, expires=PAST),), ())}),
        ("versions", {"state": TagState((vault_version(1), vault_version(2), vault_version(3)), ())}),
        ("audit", {"record": None}),
        ("audit", {"location": STORE.model_copy(update={"workspace": ""})}),
        ("readers' rights", {"accessed": (access(),)}),
    ],
)
def test_planted_fault_is_found(check: str, played: dict[str, Any]) -> None:
    assert Played(**played).finds(check) is Level.ATTENTION


@pytest.mark.parametrize(
    ("check", "played"),
    [
        ("names", {"soft_deleted": {"mqtt": OURS}}),
        ("pending", {"state": TagState((vault_version(1),), (vault_version(2, at=NOW),))}),
        (
            "versions",
            {"state": TagState((vault_version(1, at=NOW), vault_version(2, at=NOW), vault_version(3, at=NOW)), ())},
        ),
        ("readers' rights", {"accessed": (access(declared=False), access(allowed=True))}),
    ],
)
def test_pending_work_and_foreign_objects_are_no_finding(check: str, played: dict[str, Any]) -> None:
    assert Played(**played).finds(check) is Level.OK


def test_a_lease_that_nobody_renews_or_that_never_ends_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "LONGEST_LEASE", 0.05)
    played = Played()
    played.lease.owner = "somebody's"
    assert played.finds("lease") is Level.ATTENTION
    played.lease.for_ever = True
    assert played.finds("lease") is Level.ATTENTION
