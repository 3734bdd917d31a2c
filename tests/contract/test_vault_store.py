"""Behavior of the Vault store alone, on a real OpenBao: refusals, its lease, logins, and a person's edits."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hvac", reason="Vault's client is not installed: the extra `vault`")

import hvac
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hvac.exceptions import InvalidPath

from secretops.engine.rotator import new_token
from secretops.engine.state import Stage
from secretops.errors import StoreError, UnreachableError, UsageError
from secretops.platforms.vault import server
from secretops.platforms.vault.api import VERSION, Api
from secretops.platforms.vault.errors import DeniedError
from secretops.platforms.vault.location import VaultLogin
from secretops.platforms.vault.login import Login
from secretops.platforms.vault.server import Answer, Connection, Server
from secretops.platforms.vault.store import VaultVersionStore
from secretops.platforms.vault.version_metadata import MAX_TEXT_BYTES
from secretops.stores import store_errors
from secretops.stores.lease import LeaseLostError, Timing
from tests.contract.vault_place import InMount
from tests.contract.versions import NOW, make, publish, stages, version
from tests.real.control_plane import make_keys
from tests.real.openbao import OpenBao, rotators_policy
from tests.real.ports import free_port

pytestmark = pytest.mark.real

DEADLINE = 600.0
MINE = "typed-by-a-person"
V = tuple(new_token(NOW + timedelta(hours=number)) for number in range(10))
Deed = Callable[[], object]


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PAUSES", (0.0,))


class Way:
    """An HTTP transport to the server, with hooks for the next request of a kind."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requested: list[str] = []  # What was sent, in order: "POST data/it".
        self._before: list[tuple[str, Deed]] = []
        self._losing: list[str] = []
        send = Connection._attempt

        def sent(connection: Connection, method: str, path: str, *more: Any) -> Answer:
            output = f"{method} {path.partition('/')[2]}"
            self.requested.append(output)
            kinds = (output,) if method == "GET" else (output, "any write")
            for one in [one for one in self._before if one[0] in kinds]:
                self._before.remove(one)
                one[1]()
            answer = send(connection, method, path, *more)
            if output in self._losing:
                self._losing.remove(output)
                raise requests.exceptions.ReadTimeout
            return answer

        monkeypatch.setattr(Connection, "_attempt", sent)

    def before(self, what: str, deed: Deed) -> None:
        """Run `deed` once, right before `what` is sent, after the check of the lease."""
        self._before.append((what, deed))

    def lose(self, what: str) -> None:
        self._losing.append(what)

    def count(self, what: str) -> int:
        return self.requested.count(what)


@pytest.fixture
def place(openbao: OpenBao, tmp_path: Path) -> InMount:
    return InMount.at(openbao, tmp_path / "place")


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> Way:
    impatient(monkeypatch)
    return Way(monkeypatch)


@pytest.fixture
def sealable(openbao: OpenBao) -> Iterator[OpenBao]:
    yield openbao
    if openbao.is_running:
        openbao.unseal()
    else:
        openbao.start()


@pytest.mark.parametrize("lacking", ["data/it", "destroy/it", "metadata/pending/it"])
def test_missing_right_is_reported_by_path_until_granted(openbao: OpenBao, place: InMount, lacking: str) -> None:
    old, newer, newest = publish(place, V[0]), publish(place, V[1]), make()
    rules = rotators_policy(place.location)
    policy = openbao.policy("\n".join(rule for rule in rules.splitlines() if f'/{lacking}"' not in rule))
    store = place.open(token=openbao.token(policy))
    path = lacking.partition("/")[2]
    with pytest.raises(DeniedError, match=f"{place.mount}/{path}"):
        store.add("it", version(V[2]), newest)
        store.publish("it", V[2], NOW)
    assert place.delivered() in (dict(newer), dict(newest))
    openbao.client().sys.create_or_update_policy(policy, rules)
    store.recover("it", NOW)
    store.add("it", version(V[2]), newest)
    store.publish("it", V[2], NOW)
    assert (stages(place), place.delivered()) == ({V[1]: Stage.PREVIOUS, V[2]: Stage.CURRENT}, dict(newest))
    assert place.keeps(old["password"]) == []


def test_restarting_server_is_waited_for(sealable: OpenBao, place: InMount, monkeypatch: pytest.MonkeyPatch) -> None:
    value = publish(place, V[1])
    sealable.stop()
    pauses, sleep = [], time.sleep

    def pause(seconds: float) -> None:
        if seconds not in server.PAUSES:
            return sleep(seconds)
        pauses.append(seconds)
        if len(pauses) == 2:
            sealable.start()
        return None

    monkeypatch.setattr(time, "sleep", pause)
    store = place.open()
    assert store.read("it", V[1], purpose="test") == value
    assert len(pauses) == 2


def test_another_mount_namespace_or_engine_is_refused_and_no_value_is_written(openbao: OpenBao, place: InMount) -> None:
    client, first = openbao.client(), f"kv1-{secrets.token_hex(4)}"
    client.sys.enable_secrets_engine("kv", path=first, options={"version": "1"})
    for changes, named in (
        ({"mount": "nowhere"}, r"\[vault-mount-missing\]"),
        ({"namespace": "nowhere"}, r"\[vault-namespace-missing\]"),
        ({"mount": first}, r"\[vault-mount-not-kv2\]"),
    ):
        location = place.location.model_copy(update=changes)
        at = Server(location.address, location.namespace, location.ca_file)
        other = VaultVersionStore(
            location,
            Api(at, location.mount, Login(at, environment={"VAULT_TOKEN": openbao.root, "VAULT_ADDR": at.address})),
        )
        with pytest.raises(StoreError, match=named):
            other.add("it", version(V[1]), make())
    with pytest.raises(InvalidPath):  # it is empty
        client.secrets.kv.v1.list_secrets("", mount_point=first)


def test_a_store_may_be_in_a_namespace_and_nothing_of_it_is_seen_from_outside(openbao: OpenBao, tmp_path: Path) -> None:
    place = InMount.at(openbao, tmp_path / "place", openbao.namespace())
    value = publish(place, V[1])
    assert place.delivered() == dict(value)
    with place.open().lease("x"):
        place.open().recover("it", NOW)
    outside = place.open(place.location.model_copy(update={"namespace": ""}))
    outside._api = Api(Server(openbao.address, "", str(openbao.ca_file)), place.mount, place.api().login)
    with pytest.raises(StoreError):
        outside.versions("it")


@pytest.mark.usefixtures("way")
def test_no_token_is_sent_to_an_unproven_server(openbao: OpenBao, place: InMount, tmp_path: Path) -> None:
    make_keys(tmp_path)
    missing = str(tmp_path / "none.crt")

    for changes, kind in (
        ({"ca_file": str(tmp_path / "ca.crt")}, StoreError),
        ({"ca_file": missing}, UsageError),
        ({"address": openbao.address.replace("https", "http")}, UsageError),
        ({"address": "https://"}, UsageError),
        ({"address": f"https://127.0.0.1:{free_port()}"}, UnreachableError),
    ):
        location = place.location.model_copy(update=changes)
        at = Server(location.address, "", location.ca_file)
        with pytest.raises(kind) as reported:
            Api(
                at, place.mount, Login(at, environment={"VAULT_TOKEN": openbao.root, "VAULT_ADDR": at.address})
            ).metadata("it")
        assert reported.value.remedy and openbao.root not in str(reported.value)


def test_concurrent_write_by_hand_is_not_overwritten(place: InMount, way: Way) -> None:
    publish(place, V[1])
    place.open().add("it", version(V[2]), new := make())
    theirs = {"password": MINE}
    way.before("POST data/it", lambda: place.write("it", theirs))
    with pytest.raises(StoreError, match=r"version 2 \[value-edited\]"):
        place.open().publish("it", V[2], NOW)
    assert place.document() == theirs
    assert stages(place) == {V[1]: Stage.CURRENT, V[2]: Stage.PENDING}
    place.clear()
    place.open().publish("it", V[2], NOW)
    assert place.delivered() == dict(new)


def test_late_publish_is_refused_after_a_follower_prepared_another(place: InMount, way: Way) -> None:
    """Both versions have the same user. The successor sets its password, so the late version could not log in."""
    value, late = publish(place, V[1]), make()
    store = place.open()

    def followed() -> None:
        place.write("rotator/lease", {"holder": "the follower", "since": "", "token": "", "renewed": "0"})
        other = place.open()
        other.recover("it", NOW)
        other.add("it", version(V[3]), make())

    with store.lease("the first"):
        store.add("it", version(V[2]), late)
        way.before("POST data/it", followed)
        with pytest.raises(LeaseLostError, match="the follower"):
            store.publish("it", V[2], NOW)
    assert (stages(place), place.delivered()) == ({V[1]: Stage.CURRENT, V[3]: Stage.PENDING}, dict(value))
    current = place.open().versions("it").current
    assert current and current.published == NOW
    place.open().publish("it", V[3], NOW)
    assert place.keeps(late["password"]) == []
    notes = place.metadata()["custom_metadata"]
    assert len(notes) == 2 and not any("planned" in text for text in notes.values())


@pytest.mark.parametrize("lost", ["POST data/it", "PATCH metadata/it"])
def test_lost_answer_is_retried_and_nothing_written_twice(place: InMount, way: Way, lost: str) -> None:
    publish(place, V[0])
    publish(place, V[1])
    way.lose(lost)
    value, before = make(), way.count(lost)
    place.open().add("it", version(V[2]), value)
    place.open().publish("it", V[2], NOW)
    assert way.count(lost) >= before + 2
    assert (stages(place), place.delivered()) == ({V[1]: Stage.PREVIOUS, V[2]: Stage.CURRENT}, dict(value))
    assert place.metadata()["current_version"] == 3
    assert place.metadata("pending/it") == {}


LEASE = "rotator/lease"
WRITE = f"POST data/{LEASE}"
NOT_RENEWED = Timing(duration=60, renew=3600, poll=0.1)
QUICK = Timing(duration=2, renew=3600, poll=0.1)  # Of a holder that does not renew, and expires soon.


def test_who_does_not_renew_is_followed_and_writes_no_more(place: InMount) -> None:
    publish(place, V[1])
    first, second = place.open(timing=QUICK), place.open(timing=QUICK)
    first.add("it", version(V[2]), make())
    with first.lease("the first"), second.lease("the second"):
        for act in (
            lambda: first.publish("it", V[2], NOW),
            lambda: first.add("it", version(V[3]), make()),
            lambda: first.read("it", V[1], purpose="test"),
            first.confirm,
        ):
            with pytest.raises(StoreError, match="lost: its holder is now the second"):
                act()
        second.publish("it", V[2], NOW)
    assert place.document(LEASE) == {"holder": ""}, "and who was followed frees nobody's lease but its own"


@pytest.mark.parametrize("writes", ["taken", "renewed"])
def test_a_lost_answer_leaves_the_lease_ours(place: InMount, way: Way, writes: str) -> None:
    store = place.open(timing=NOT_RENEWED)
    if writes == "taken":
        way.lose(WRITE)
    with store.lease("the first"):
        if writes == "renewed":
            way.lose(WRITE)
        store.confirm()
        assert place.document(LEASE)["holder"] == "the first"
    assert place.document(LEASE) == {"holder": ""}


def test_lease_deleted_by_hand_can_be_acquired_again(place: InMount) -> None:
    with place.open().lease("one"):
        pass
    kv = place.client.secrets.kv.v2
    kv.delete_latest_version_of_secret(LEASE, mount_point=place.mount)
    with place.open().lease("two"):
        assert place.document(LEASE)["holder"] == "two"
    kv.delete_metadata_and_all_versions(LEASE, mount_point=place.mount)
    with place.open().lease("three"):
        assert place.document(LEASE)["holder"] == "three"
    place.write(LEASE, {"something": "else"})
    with place.open().lease("four"):
        assert place.document(LEASE)["holder"] == "four"


def test_current_version_deleted_by_hand_stays_deleted(place: InMount) -> None:
    value = publish(place, V[1])
    place.clear()
    with pytest.raises(store_errors.RemovedError, match=f"bao kv undelete -mount={place.mount} -versions=1 it"):
        place.open().recover("it", NOW)
    assert place.delivered()["password"] is None
    assert place.open().delivery_drift("it")
    place.client.secrets.kv.v2.undelete_secret_versions("it", [1], mount_point=place.mount)
    place.open().recover("it", NOW)
    assert place.delivered() == dict(value)
    place.clear()
    new = publish(place, V[2])
    assert place.delivered() == dict(new), "another one takes its place"


def test_undeclared_secret_is_found_without_list_and_forgotten(place: InMount) -> None:
    value = publish(place, V[1])
    without = place.location.model_copy(update={"secrets": {}, "pending": {}, "fields": {}})
    store = place.open(without)
    assert store.secret_names() == ("it",)
    assert [one.id for one in store.versions("it").all] == [V[1]]
    store.forget("it")
    assert (store.secret_names(), place.metadata(), place.keeps(value["password"])) == ((), {}, [])


@pytest.mark.slow
def test_a_purge_killed_anywhere_is_never_undone(openbao: OpenBao, tmp_path: Path) -> None:
    begun, number = False, 0
    while True:
        place = InMount.at(openbao, tmp_path / f"{number}")
        value, pending = publish(place, V[1]), make()
        place.open().add("it", version(V[2]), pending)
        was_killed = place.killed_at(lambda place=place: place.open().forget("it"), number)  # type: ignore[misc]
        begun = begun or place.open().versions("it").current is None
        place.open().recover("it", NOW)
        assert place.delivered() == (dict.fromkeys(value) if begun else dict(value)), number
        if begun:
            assert place.open().versions("it").all == ()
            assert place.keeps(pending["password"]) == place.keeps(value["password"]) == []
        if not was_killed:
            break
        number += 1
    assert begun and number >= 4


@pytest.mark.parametrize(
    ("user", "fields"),
    [("u" * MAX_TEXT_BYTES, {}), ("a", {VERSION: "mine"})],
    ids=["too long a name", "a field of our own name"],
)
def test_oversized_value_or_metadata_is_refused_unsaved(place: InMount, user: str, fields: dict[str, str]) -> None:
    publish(place, V[1])
    with pytest.raises(UsageError):
        place.open().add("it", version(V[2], user), make(**fields))
    assert (stages(place), place.metadata("pending/it")) == ({V[1]: Stage.CURRENT}, {})


TTL = 3600  # Seconds. Longer than any test takes.


@dataclass
class AppRole:
    openbao: OpenBao
    mount: str
    role_id: str
    file: Path
    namespace: str = ""

    @classmethod
    def at(cls, openbao: OpenBao, folder: Path, *, namespace: str = "", **options: Any) -> AppRole:
        mount, client = f"approle-{secrets.token_hex(4)}", openbao.client(namespace=namespace)
        client.sys.enable_auth_method("approle", path=mount)
        options = {"token_ttl": TTL, **options}
        client.auth.approle.create_or_update_approle("rotator", mount_point=mount, **options)
        found = client.auth.approle.read_role_id("rotator", mount_point=mount)["data"]["role_id"]
        made = cls(openbao, mount, found, folder / "secret-id", namespace)
        made.file.write_text(f"{made.secret_id()}\n")
        return made

    def secret_id(self) -> str:
        client = self.openbao.client(namespace=self.namespace)
        made = client.auth.approle.generate_secret_id("rotator", mount_point=self.mount)
        return str(made["data"]["secret_id"])

    def wrap(self) -> None:
        """Replace the secret id in the file with a wrapping token."""
        made = self.openbao.client(namespace=self.namespace).write_data(
            f"auth/{self.mount}/role/rotator/secret-id", data={}, wrap_ttl=f"{TTL}s"
        )
        self.file.write_text(made["wrap_info"]["token"])

    def method(self, *, wrapped: bool = False) -> VaultLogin:
        return VaultLogin(method="approle", mount=self.mount, role=self.role_id, file=str(self.file), wrapped=wrapped)

    def login(self, *, wrapped: bool = False) -> Login:
        server = Server(self.openbao.address, self.namespace, str(self.openbao.ca_file))
        return Login(server, self.method(wrapped=wrapped), environment={})


def is_good(openbao: OpenBao, token: str) -> bool:
    return bool(openbao.client(token).is_authenticated())


UNWRAP = "POST wrapping/unwrap"


def logins(way: Way, role: AppRole) -> int:
    return way.count(f"POST {role.mount}/login")


def test_revoked_token_is_renewed_by_a_login(openbao: OpenBao, tmp_path: Path, way: Way) -> None:
    role = AppRole.at(openbao, tmp_path)
    login = role.login()
    first = login.token()
    openbao.client().auth.token.revoke(first)
    assert login.is_invalid(first)
    second = login.token()
    assert second != first and is_good(openbao, second)
    assert login.is_invalid(first), "another thread's question about the old one costs no new login"
    assert not login.is_invalid(second), "the token is valid, but may not do this"
    assert login.token() == second and logins(way, role) == 2
    login.close()


END = """
import sys
from secretops.platforms.vault.location import VaultLogin
from secretops.platforms.vault.login import Login
from secretops.platforms.vault.server import Connection, Server
server = Server(sys.argv[1], ca_file=sys.argv[2])
login = Login(server, VaultLogin.model_validate_json(sys.argv[3]))
found = Connection(server).request("GET", "auth/token/lookup-self", token=login.token())
print(found.data["accessor"])
"""


def test_a_program_that_ends_leaves_no_token(openbao: OpenBao, tmp_path: Path) -> None:
    method = AppRole.at(openbao, tmp_path).method().model_dump_json()
    command = [sys.executable, "-c", END, openbao.address, str(openbao.ca_file), method]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE)
    assert done.stdout.strip()
    with pytest.raises(hvac.exceptions.InvalidRequest, match="invalid accessor"):
        openbao.client().auth.token.lookup_accessor(done.stdout.strip())


def test_wrapped_secret_id_is_unwrapped_once_for_all_logins(openbao: OpenBao, tmp_path: Path, way: Way) -> None:
    role = AppRole.at(openbao, tmp_path)
    role.wrap()
    login = role.login(wrapped=True)
    first = login.token()
    openbao.client().auth.token.revoke(first)
    assert login.is_invalid(first)
    second = login.token()
    assert is_good(openbao, second)
    assert (way.count(UNWRAP), logins(way, role)) == (1, 2)
    login.close()
    assert not is_good(openbao, second), "the unused token is revoked"


def wrapped_by_the_server(thief: hvac.Client, _role: AppRole, taken: dict[str, Any]) -> Any:
    return thief.write_data("sys/wrapping/wrap", data=taken, wrap_ttl=f"{TTL}s")


def out_of_a_mount(thief: hvac.Client, role: AppRole, taken: dict[str, Any]) -> Any:
    mount = f"kv-{secrets.token_hex(4)}"
    role.openbao.client().sys.enable_secrets_engine("kv", path=mount, options={"version": "1"})
    policy = role.openbao.policy(f'path "{mount}/*" {{ capabilities = ["create", "update", "read"] }}')
    thief = role.openbao.client(role.openbao.token(policy))
    thief.write_data(f"{mount}/auth/{role.mount}/role/rotator/secret-id", data=taken)
    return thief.adapter.get(f"/v1/{mount}/auth/{role.mount}/role/rotator/secret-id", wrap_ttl=f"{TTL}s")


@pytest.mark.parametrize("rewrap", [wrapped_by_the_server, out_of_a_mount])
def test_rewrapped_secret_id_is_an_alarm_and_not_used(
    rewrap: Callable[[hvac.Client, AppRole, dict[str, Any]], Any], openbao: OpenBao, tmp_path: Path, way: Way
) -> None:
    role = AppRole.at(openbao, tmp_path)
    role.wrap()
    taken = openbao.client(role.file.read_text()).sys.unwrap()["data"]
    again = rewrap(openbao.client(openbao.token()), role, {"secret_id": taken["secret_id"]})
    role.file.write_text(again["wrap_info"]["token"])
    with pytest.raises(StoreError, match=r"\[vault-wrapping-token-forged\]"):
        role.login(wrapped=True).token()
    assert logins(way, role) == 0


def test_lost_unwrap_answer_is_neither_retried_nor_an_alarm(openbao: OpenBao, tmp_path: Path, way: Way) -> None:
    role = AppRole.at(openbao, tmp_path)
    role.wrap()
    login = role.login(wrapped=True)
    way.lose(UNWRAP)
    with pytest.raises(UnreachableError):
        login.token()
    assert way.count(UNWRAP) == 1
    for again in (login, role.login(wrapped=True)):
        with pytest.raises(StoreError, match=r"\[vault-wrapping-token-reused\]"):
            again.token()
    role.wrap()
    assert is_good(openbao, login.token()), "a new one in the file is enough"
    login.close()


def test_token_that_a_thief_uses_after_the_lookup_is_an_alarm_each_time(
    openbao: OpenBao, tmp_path: Path, way: Way
) -> None:
    role = AppRole.at(openbao, tmp_path)
    role.wrap()
    login = role.login(wrapped=True)
    way.before(UNWRAP, openbao.client(role.file.read_text()).sys.unwrap)
    for again in (login, login, role.login(wrapped=True)):
        with pytest.raises(StoreError, match=r"\[vault-wrapping-token-used\]"):
            again.token()


def test_jwt_is_read_again_for_each_login(openbao: OpenBao, tmp_path: Path) -> None:
    jwt = pytest.importorskip("jwt", reason="PyJWT is not installed: it comes with the extra `azure`")
    key, mount, client = ec.generate_private_key(ec.SECP256R1()), f"jwt-{secrets.token_hex(4)}", openbao.client()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    client.sys.enable_auth_method("jwt", path=mount)
    client.write_data(f"auth/{mount}/config", data={"jwt_validation_pubkeys": [public.decode()]})
    client.write_data(
        f"auth/{mount}/role/server",
        data={"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_ttl": TTL},
    )
    file = tmp_path / "token"

    def write(audience: str) -> None:
        claims = {"sub": "server", "aud": audience, "iat": int(time.time()), "exp": int(time.time()) + TTL}
        file.write_text(jwt.encode(claims, key, algorithm="ES256"))

    server = Server(openbao.address, ca_file=str(openbao.ca_file))
    login = Login(server, VaultLogin(method="jwt", mount=mount, role="server", file=str(file)))
    write("another")
    with pytest.raises(StoreError, match=str(file)) as reported:
        login.token()
    assert file.read_text() not in str(reported.value)
    write("vault")
    token = login.token()
    assert is_good(openbao, token)
    login.close()
