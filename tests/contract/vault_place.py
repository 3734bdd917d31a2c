"""The Vault store's place: a mount of a real OpenBao, with a token that has the rights of a rotator and an operator."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from secretops.platforms.vault.location import VaultStoreLocation
from tests.contract.versions import FIELDS
from tests.real.accidents import killed_around_writes
from tests.real.openbao import DEADLINE, OpenBao, rotators_policy

if TYPE_CHECKING:  # where the extra is not installed, its row skips
    import hvac

    from secretops.platforms.vault.api import Api
    from secretops.platforms.vault.store import VaultVersionStore
    from secretops.stores.lease import Timing


@dataclass(frozen=True)
class InMount:
    address: str  # A file: the server's address and CA, the mount, the rotator's token and the root token.

    @classmethod
    def fresh(cls, request: pytest.FixtureRequest, folder: Path) -> str:
        return cls.at(request.getfixturevalue("openbao"), folder).address

    @classmethod
    def at(cls, server: OpenBao, folder: Path, namespace: str = "", **options: Any) -> InMount:
        folder.mkdir(exist_ok=True)
        place = cls(str(folder / "place.json"))
        mount = server.mount(namespace, **options)
        facts = {"address": server.address, "ca_file": str(server.ca_file), "mount": mount, "root": server.root}
        facts["namespace"] = namespace
        Path(place.address).write_text(json.dumps({**facts, "token": ""}))
        policy = server.policy(rotators_policy(place.location, forgets=True), namespace)
        token = server.token(policy, namespace=namespace)
        Path(place.address).write_text(json.dumps({**facts, "token": token}))
        return place

    @property
    def facts(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(Path(self.address).read_text())
        return found

    @property
    def location(self) -> VaultStoreLocation:
        facts = self.facts
        return VaultStoreLocation(
            address=facts["address"],
            namespace=facts["namespace"],
            ca_file=facts["ca_file"],
            mount=facts["mount"],
            secrets={secret: secret for secret in ("it", "other")},
            pending={secret: f"pending/{secret}" for secret in ("it", "other")},
            fields={"it": FIELDS},
            lease="rotator/lease",
        )

    def api(self, token: str | None = None) -> Api:
        from secretops.platforms.vault.api import Api
        from secretops.platforms.vault.login import Login
        from secretops.platforms.vault.server import Server

        place = self.location
        server = Server(place.address, place.namespace, place.ca_file)
        environment = {"VAULT_ADDR": place.address, "VAULT_TOKEN": self.facts["token"] if token is None else token}
        return Api(server, place.mount, Login(server, environment=environment))

    def open(
        self, location: VaultStoreLocation | None = None, *, token: str | None = None, timing: Timing | None = None
    ) -> VaultVersionStore:
        from secretops.platforms.vault.store import VaultVersionStore
        from secretops.stores.lease import Timing

        timing = timing or Timing(duration=6, renew=0.5, poll=0.25)
        return VaultVersionStore(location or self.location, self.api(token), timing=timing)

    @functools.cached_property
    def client(self) -> hvac.Client:
        import hvac

        facts = self.facts
        where = {"verify": facts["ca_file"], "namespace": facts["namespace"]}
        return hvac.Client(facts["address"], token=facts["root"], timeout=int(DEADLINE), **where)

    @property
    def mount(self) -> str:
        return self.facts["mount"]

    def document(self, path: str = "it", number: int | None = None) -> dict[str, str]:
        from hvac.exceptions import InvalidPath

        try:
            found = self.client.secrets.kv.v2.read_secret_version(
                path, number, mount_point=self.mount, raise_on_deleted_version=True
            )
        except InvalidPath:
            return {}
        document: dict[str, str] = found["data"]["data"]
        return document

    def metadata(self, path: str = "it") -> dict[str, Any]:
        from hvac.exceptions import InvalidPath

        try:
            found: dict[str, Any] = self.client.secrets.kv.v2.read_secret_metadata(path, self.mount)["data"]
        except InvalidPath:
            return {}
        return found

    def write(self, path: str, document: dict[str, str]) -> int:
        made = self.client.secrets.kv.v2.create_or_update_secret(path, document, mount_point=self.mount)
        return int(made["data"]["version"])

    def delivered(self) -> dict[str, str | None]:
        found = self.document()
        return {name: found.get(name) for name in FIELDS}

    def keeps(self, text: str) -> list[str]:
        found = []
        for path in ("it", "pending/it", "rotator/lease"):
            known = self.metadata(path)
            texts = {"notes": json.dumps(known.get("custom_metadata"), ensure_ascii=False)}
            texts |= {
                number: json.dumps(self.document(path, int(number)), ensure_ascii=False)
                for number in known.get("versions", {})
            }
            found += [f"{path} {what}" for what, shown in texts.items() if _holds(shown, text)]
        return found

    def edit(self, old: str, new: str) -> None:
        found = self.document()
        assert old in found.values(), "it is not delivered"
        self.write("it", {key: text.replace(old, new) for key, text in found.items()})

    def clear(self) -> None:
        self.client.secrets.kv.v2.delete_latest_version_of_secret("it", mount_point=self.mount)

    def records(self) -> list[dict[str, str]]:
        return []

    def killed_at(self, work: Callable[[], object], moment: int) -> bool:
        from secretops.platforms.vault.server import Connection

        return killed_around_writes(work, moment, Connection, "_attempt")


def _holds(shown: str, text: str) -> bool:
    return json.dumps(text, ensure_ascii=False)[1:-1] in shown
