"""What the program is told of a service's secrets, by an engine in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("docker", reason="Docker's client is not installed: the extra `swarm`")

from secretops.errors import UsageError
from secretops.stores.swarm.api import encoded
from secretops.stores.swarm.attached import Attached, attached, named
from tests.unit.memory_swarm import InMemory, in_memory


@pytest.fixture
def place(tmp_path: Path) -> InMemory:
    return in_memory(tmp_path, "server")


def attach(place: InMemory, name: str, file: str) -> dict[str, Any]:
    id = place.api.create("secrets", {"Name": name, "Data": encoded(b"text")})
    return {"SecretID": id, "SecretName": name, "File": {"Name": file, "UID": "10001", "GID": "10001", "Mode": 0o400}}


def test_a_services_secrets_are_listed_by_file_and_found_by_their_whole_name(place: InMemory) -> None:
    password, login = attach(place, "a-v1", "mqtt_password"), attach(place, "a-v1-longer", "/run/secrets/login/server")
    place.set_list([password, login])
    other, one = attached("server", place.api)
    assert other.file_name == "/run/secrets/login/server"
    assert one == Attached(
        secret_id=password["SecretID"],
        secret_name="a-v1",  # nosec B106 - a secret's name
        file_name="mqtt_password",
        uid="10001",
        gid="10001",
        mode=0o400,
    )
    assert named("a-v1", file_name="mqtt_password", uid="10001", gid="10001", api=place.api) == one


def test_a_service_that_is_not_there_has_none_though_anothers_name_begins_with_its(place: InMemory) -> None:
    assert attached("serv", place.api) == ()


def test_a_secret_that_nobody_made_is_a_usage_error_with_the_command(place: InMemory) -> None:
    with pytest.raises(UsageError, match="docker secret create nobodys-login FILE"):
        named("nobodys-login", file_name="login", uid="10001", gid="10001", api=place.api)
