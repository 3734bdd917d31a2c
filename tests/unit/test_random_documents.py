"""Read documents of secretops that are truncated, foreign, or changed in one place.

Each reader returns typed values (texts, aware times), skips foreign content where documented, or raises its own error.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from pydantic import BaseModel

from secretops.access import AccessRecords
from secretops.broker.users import USERS_FILE, Users
from secretops.engine.journal import Entry
from secretops.engine.state import Versions
from secretops.errors import SecretopsError
from secretops.launcher import polling_source
from secretops.launcher.sources import Json
from secretops.operations import stack as manifests
from secretops.operations.compromise import incident
from secretops.operations.history import _entries as entries_of_a_log
from secretops.platforms.azure import tags
from secretops.platforms.azure.api import KeyVaultVersion
from secretops.platforms.dotenv.delivery import DELIVERED
from secretops.platforms.dotenv.location import DotenvStoreLocation
from secretops.platforms.dotenv.store import DotenvVersionStore, JournalFile
from secretops.platforms.kubernetes.secrets import SecretData
from secretops.platforms.kubernetes.store import SecretState
from secretops.platforms.swarm.version_state import VersionState
from secretops.platforms.vault import version_metadata as notes
from secretops.platforms.vault.api import Metadata
from secretops.stores import files, payload
from tests.unit import test_swarm_events
from tests.unit.fuzz import BOUNDED, texts

NOW = "2026-03-01T12:00:00+00:00"
VERSION = {"id": "v1", "stage": "current", "created": NOW, "user": "mcp-a", "published": NOW, "expires": None}
ENTRY = {"time": NOW, "secret": "mqtt", "version": "v1", "step": "publish", "outcome": "done", "actor": "me"}
INCIDENT = json.loads(
    incident.Incident(
        project="coreflux-mcp-secrets", stack="prod", store="swarm", secret="mqtt", kind="mqtt-user",
        began=datetime(2026, 3, 1, tzinfo=UTC), since=datetime(2026, 3, 1, tzinfo=UTC), known=("v1",),
        exposed=(incident.ExposedVersion(id="v1", stage="current", user="mcp-a"),),
    ).model_dump_json()
)  # fmt: skip
TERM = {"holder": "rotator:0@task", "token": "t", "since": NOW, "duration": 30.0, "renewals": 2}
PAGE = {"kept": [{"version": VERSION, "number": 3, "fields": ["username", "password"]}], "next": 4}
Read = Callable[[bytes], object]
Reader = Callable[[Path], Read]


def of_file(name: str, read: Callable[[Path], object]) -> Reader:
    """Return a Reader that writes its input to the file `name`, and then calls `read` with the folder."""

    def opened(folder: Path) -> Read:
        path = folder / name

        def reader(text: bytes) -> object:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text)
            return read(folder)

        return reader

    return opened


def of_text(read: Callable[[str], object]) -> Reader:
    """Return a Reader that passes its input to `read` as the text of a server."""
    return lambda _: lambda text: read(text.decode(errors="replace"))


def of_bytes(read: Read) -> Reader:
    return lambda _: read


def dotenv(folder: Path) -> DotenvVersionStore:
    location = DotenvStoreLocation(root=str(folder), variables={"mqtt": {"password": "MQTT_PASSWORD"}})
    (folder / "log").mkdir(exist_ok=True)
    return DotenvVersionStore(location, AccessRecords(folder / "log" / "access.jsonl", "operator:me@here"))


def swarm(label: str, text: str) -> VersionState:
    return VersionState("book", {f"coreflux-mcp-secrets.{label}": text})


def kubernetes(note: str, text: str) -> SecretState:
    content = SecretData(None)
    content.annotations[f"coreflux-mcp-secrets/{note}"] = text
    return SecretState("versions", content, "mqtt")


def kubernetes_value(text: bytes) -> object:
    content = SecretData(None)
    content.data["mqtt.v1"] = text
    return dict(SecretState("versions", content, "mqtt").value("v1"))


def vault(note: str, text: str) -> Metadata:
    return Metadata(1, {}, {note: text})


class OnePath:
    """A fake of Vault's API with one path, for `SecretIndex`. It returns metadata as written."""

    def __init__(self, found: Metadata) -> None:
        self._found = found

    def metadata(self, _path: str) -> Metadata:
        return self._found


def key_vault(**tagged: str) -> tags.TagState:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    leaves = {tags.ID: "v1", tags.NUMBER: "1", tags.WRITE: "w", f"{tags.PREFIX}created": NOW}
    return tags.TagState((KeyVaultVersion("it", "0", True, now, None, {**leaves, **tagged}),), ())


def last_of_a_journal(folder: Path) -> Entry | None:
    path = folder / "journal.jsonl"
    path.write_bytes(path.read_bytes() + b"\n")  # a line that is whole: another is left until it is
    return JournalFile(path).last("mqtt")


DOCUMENTS: Mapping[str, tuple[tuple[Any, ...], Reader]] = {
    "a folder's versions": (([VERSION],),
         of_file("versions/mqtt/state.json", lambda folder: dotenv(folder).versions("mqtt"))),
    "a folder's value": (({"username": "a", "password": "b"},),
         of_file("versions/mqtt/v1.json", lambda folder: dict(dotenv(folder).read("mqtt", "v1", purpose="test")))),
    "what a folder delivers": (({"variables": ["MQTT_PASSWORD"], "files": ["secrets/x"]},),
         of_file(f"versions/mqtt/{DELIVERED}", lambda folder: dotenv(folder).forget("mqtt"))),
    "a journal": ((ENTRY,), of_file("journal.jsonl", last_of_a_journal)),
    "a rotator's log": ((ENTRY,), of_file("log", lambda folder: entries_of_a_log(str(folder / "log")))),
    "a manifest": ((json.loads(test_swarm_events.MANIFEST.model_dump_json()),),
         of_bytes(lambda text: manifests._parse(text, "it"))),
    "whose a folder is": (({"stack": "prod"},), of_file("config/secretops.json", files.stack_of)),
    "an incident": ((INCIDENT,), of_file("incident.json", lambda folder: incident.load(folder / "incident.json"))),
    "a cloud's value": (({"username": "a", "password": "b"},),
         of_text(lambda text: dict(payload.parse("mqtt", "v1", text)))),
    "a cluster's versions": (([VERSION],), of_text(lambda text: kubernetes("versions.mqtt", text).versions)),
    "a cluster's value": (({"username": "a", "password": "b"},), of_bytes(kubernetes_value)),
    "what a cluster delivers": (({"coreflux-mcp-secrets": ["mqtt-password"]},),
         of_text(lambda text: kubernetes("delivered.mqtt", text).delivered)),
    "a cluster's journal": ((ENTRY,), of_text(lambda text: kubernetes("journal.mqtt", text).last_entry)),
    "a Swarm's page": ((PAGE,), of_text(lambda text: swarm("versions.mqtt", text).secret("mqtt"))),
    "a Swarm's lease": ((TERM,), of_text(lambda text: swarm("lease", text).lease)),
    "a Swarm's journal": ((ENTRY,), of_text(lambda text: swarm("journal.mqtt", text).last_entry("mqtt"))),
    "a Vault's note of a version": (({"created": NOW, "published": NOW, "user": "mcp-a", "numbers": [1, 2],
         "planned": 3, "copies": [2]},),
         of_text(lambda text: notes.version_records(vault(f"{notes.VERSION_KEY}v1", text)))),
    "a Vault's journal": ((ENTRY,), of_text(lambda text: notes.last_entry("mqtt", vault(notes.JOURNAL_KEY, text)))),
    "a Vault's register": ((["mqtt", "pending/mqtt"],),
         of_text(lambda text: notes.SecretIndex(OnePath(vault(f"{notes.INDEX_KEY}mqtt", text)), "lease").paths())),  # type: ignore[arg-type]
    "a key vault's journal": (([NOW, "v1", "publish", "done", "me"],),
         of_text(lambda text: key_vault(**{tags.LAST: text}).last("mqtt"))),
    "a key vault's time": ((NOW,),
         of_text(lambda text: key_vault(**{f"{tags.PREFIX}published": text.strip('"')}).versions)),
    "a key vault's number": ((7,), of_text(lambda text: key_vault(**{tags.NUMBER: text}).versions)),
    "a launcher's document": (
         ({"mqtt": {"username": "a", "password": "b", "version": "v1"}, "agent-key": {"api-key": "k"}},),
         of_file("secrets.json", lambda folder: dict(Json(str(folder / "secrets.json")).variables()))),
    "what a launcher fetched": (({"username": "a", "password": "b"},),
         of_text(lambda text: bool(polling_source.parse_version("mqtt", "v1", text)))),
    "the embedded broker's users": (({"users": {"root": {"password": {"salt": "AA==", "hash": "AA=="}, "flags": [],
         "groups": []}}},), of_file(USERS_FILE, lambda folder: "root" in Users.load(folder))),
}  # fmt: skip


def leaves(found: object) -> Iterator[object]:
    if isinstance(found, BaseModel):
        found = {name: getattr(found, name) for name in type(found).model_fields}
    elif dataclasses.is_dataclass(found) and not isinstance(found, type):
        found = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    if isinstance(found, Mapping):
        found = list(found.values())
    if isinstance(found, list | tuple | frozenset):
        for inner in found:
            yield from leaves(inner)
    else:
        yield found


def can_be_rested_on(found: object) -> bool:
    """Return whether all times have a time zone, and all text fields of entries and versions are texts."""
    entries = [found] if isinstance(found, Entry) else found if isinstance(found, list) else []
    versions = found.all if isinstance(found, Versions) else ()
    named = [text for each in entries if isinstance(each, Entry) for text in (each.secret, each.version, each.outcome)]
    named += [each.id for each in versions] + [each.user or "" for each in versions]
    times = [each for each in leaves(found) if isinstance(each, datetime)]
    return all(isinstance(text, str) for text in named) and all(each.utcoffset() is not None for each in times)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_random_document_is_read_skipped_or_reported_with_its_place(name: str, tmp_path: Path) -> None:
    documents, reader = DOCUMENTS[name]
    read = reader(tmp_path)
    read(json.dumps(documents[0]).encode())  # as secretops writes it

    @BOUNDED
    @given(texts(documents))
    def holds(text: bytes) -> None:
        try:
            found = read(text)
        except SecretopsError as error:
            assert error.what and error.remedy, "an error has a remedy"
            return
        assert can_be_rested_on(found), found

    holds()


@pytest.mark.parametrize("named", ["../mine", "/etc/passwd", "secrets/../../mine"])
def test_foreign_path_in_delivered_files_is_not_removed(named: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    root = tmp_path / "store"
    (root / "versions" / "mqtt").mkdir(parents=True)
    (root / "versions" / "mqtt" / DELIVERED).write_text(json.dumps({"files": [named]}))
    with pytest.raises(SecretopsError, match=r"\[dotenv-file-invalid\]"):
        dotenv(root).forget("mqtt")
    assert mine.read_text() == "mine"
