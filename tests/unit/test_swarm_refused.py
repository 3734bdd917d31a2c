"""What a stack file of the Swarm platform may not say, each refused before anything is made."""

from __future__ import annotations

import pytest

from settings import ConfigurationError
from tests.unit.swarm_stack import file_on_swarm, refusals


@pytest.mark.parametrize(
    ("server", "told"),
    [
        (", publish: ingress", ("server.port: missing", "one port of every node", "add port")),
        (
            ", publish: ingress, port: 8000",
            ("server.replicas: 2", "an MCP session lives in one replica", "write replicas: 1"),
        ),
        (", publish: host, port: 8000", ("server.port: 8000", "two can't listen on one port", "take port out")),
        (", port: 8000", ("server.port: 8000", "no port of a node is the server's", "take port out")),
        (", log_driver: {name: none}", ("server.log_driver.name", "one of local", "")),
    ],
)
def test_a_server_is_refused(server: str, told: tuple[str, str, str]) -> None:
    assert any(all(part in one for part in told) for one in refusals(server=server))


def test_a_credential_of_a_log_driver_is_refused_and_not_repeated() -> None:
    found = refusals(server=", log_driver: {name: gelf, options: {gelf-token: not-shown}}")

    assert found
    assert not any("not-shown" in one for one in found)


def test_a_grace_that_ends_before_the_last_replica_is_replaced_is_refused() -> None:
    (told,) = refusals(rotation="{grace_seconds: 200}")

    assert told.startswith("rotation.grace_seconds: 200 with 2 replicas at least 210")
    file_on_swarm(rotation="{grace_seconds: 210}").parse("prod")


def test_a_brokers_host_that_is_each_containers_own_is_refused() -> None:
    file = file_on_swarm()
    file.entries["broker"] = '{"kind": "coreflux", "host": "127.9.9.9"}'

    with pytest.raises(ConfigurationError, match=r"broker\.host: 127\.9\.9\.9 with server swarm"):
        file.parse("prod")
