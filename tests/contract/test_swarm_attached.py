"""What a program is told of a service's secrets, by a real manager."""

from __future__ import annotations

import secrets

import pytest

from secretops.errors import UsageError
from secretops.stores.swarm.api import Api
from secretops.stores.swarm.attached import attached, named
from secretops.stores.swarm.daemon import open_connection
from tests.real.swarm import Swarm

pytestmark = [pytest.mark.real, pytest.mark.slow]


def api(swarm: Swarm) -> Api:
    return Api(lambda: open_connection({"DOCKER_HOST": swarm.host}))


def test_the_list_of_a_service_is_told_by_ids_names_and_files_and_a_name_is_looked_up(swarm: Swarm) -> None:
    mine = f"attached-{secrets.token_hex(4)}"
    for name in (f"{mine}-v1", f"{mine}-v1-longer"):
        swarm.docker.tell("secret", "create", name, "-", given=secrets.token_hex(20))
    wanted = f"source={mine}-v1,target=mqtt_password,uid=10001,gid=10001,mode=0400"
    swarm.docker.tell(
        "service", "create", "--detach", "--name", mine, "--replicas", "0", "--secret", wanted,
        "--secret", f"source={mine}-v1-longer,target=/run/secrets/login/server", swarm.debian(),
    )  # fmt: skip

    other, one = attached(mine, api(swarm))

    assert (one.secret_name, one.file_name, one.uid, one.gid, one.mode) == (
        f"{mine}-v1",
        "mqtt_password",
        "10001",
        "10001",
        0o400,
    )
    assert one.secret_id == swarm.docker.tell("secret", "inspect", "--format", "{{.ID}}", f"{mine}-v1")
    assert other.file_name == "/run/secrets/login/server"
    assert named(f"{mine}-v1", file_name="mqtt_password", uid="10001", gid="10001", api=api(swarm)) == one


def test_a_service_that_is_not_there_has_none_though_anothers_name_begins_with_its(swarm: Swarm) -> None:
    mine = f"attached-{secrets.token_hex(4)}"
    swarm.docker.tell("service", "create", "--detach", "--name", f"{mine}-more", "--replicas", "0", swarm.debian())

    assert attached(mine, api(swarm)) == ()


def test_a_secret_that_nobody_made_is_told_with_the_command_that_makes_it(swarm: Swarm) -> None:
    with pytest.raises(UsageError, match="docker secret create nobodys-login FILE"):
        named("nobodys-login", file_name="login", uid="10001", gid="10001", api=api(swarm))
