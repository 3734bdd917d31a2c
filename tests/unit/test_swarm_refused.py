"""What a stack file of the Swarm platform may not say, each refused before anything is made."""

from __future__ import annotations

import pytest

from settings import ConfigurationError
from tests.unit.stack_file import StackFile
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
        (", networks: [plant]", ("server.networks", "the id of an overlay network", "docker network inspect")),
        (
            ", constraints: [zone]",
            ("server.constraints", "a placement constraint", "write it like node.labels.zone==a"),
        ),
        (", spread: [zone]", ("server.spread", "spread over", "write it like node.labels.zone")),
        (", log_driver: {name: none}", ("server.log_driver.name", "one of local", "")),
        (", log_driver: {nam: local}", ("server.log_driver.nam", "unknown", "did you mean name")),
        (", replicas: 0", ("server.replicas: 0", "", "")),
    ],
)
def test_a_server_is_refused(server: str, told: tuple[str, str, str]) -> None:
    assert any(all(part in one for part in told) for one in refusals(server=server))


def test_a_login_to_a_registry_that_the_image_does_not_name_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        StackFile.read(
            """
config:
  store: {kind: swarm}
  server: {kind: swarm, image: "coreflux/mcp-secrets:0.1.0", registry_login: true}
  broker: {kind: coreflux, host: mqtt.example.com}
"""
        ).parse("prod")

    (problem,) = caught.value.problems
    assert problem.what.startswith("server.registry_login: ")
    assert "the registry that the image's name begins with" in problem.rule
    assert problem.remedy == "write docker.io/coreflux/mcp-secrets:0.1.0"


def test_a_credential_of_a_log_driver_is_refused_and_not_repeated() -> None:
    found = refusals(server=", log_driver: {name: gelf, options: {gelf-token: not-shown}}")

    assert found
    assert not any("not-shown" in one for one in found)


def test_a_grace_that_ends_before_the_last_replica_is_replaced_is_refused() -> None:
    (told,) = refusals(rotation="{grace_seconds: 200}")

    assert told == (
        "rotation.grace_seconds: 200 with 2 replicas at least 210: a new version is a new container, and replicas "
        "follow one after another -> lengthen it, or take it out for its default"
    )
    file_on_swarm(rotation="{grace_seconds: 210}").parse("prod")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "mqtt.localhost"])
def test_a_brokers_host_that_is_each_containers_own_is_refused(host: str) -> None:
    file = file_on_swarm()
    file.entries["broker"] = f'{{"kind": "coreflux", "host": "{host}"}}'

    with pytest.raises(ConfigurationError, match=rf"broker\.host: {host} with server swarm\n .* own loopback"):
        file.parse("prod")


def test_a_secret_whose_name_a_swarm_does_not_take_is_refused_with_how_much_too_long() -> None:
    found = refusals(secrets="{a-connection-string-of-the-plant: {fields: [and-its-field]}}")

    assert any(
        "which takes 64 characters" in one and "shorten the secret's or the field's name by" in one for one in found
    )


@pytest.mark.parametrize("name", ["api", "db"])
def test_two_secrets_that_would_be_one_file_are_refused(name: str) -> None:
    declared = {
        "api": "{api: {fields: [key]}}",
        "db": "{db: {fields: [the-url]}, db-the: {fields: [url]}}",
    }[name]

    assert any("a container has one file of a name" in one for one in refusals(secrets=declared))
