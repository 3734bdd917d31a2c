"""Fixtures with a stack on a real broker for each test."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

import pytest

from secretops.manifest import Broker
from secretops.values import Value
from tests.real.cloud_stack import CloudStack
from tests.real.mosquitto import installed_mosquitto, record_replacement
from tests.real.stack import Stack, make_stack


class MakeStack(Protocol):
    def __call__(self, target: str, delivery: str = "variables") -> Stack: ...


@pytest.fixture
def broker_of(request: pytest.FixtureRequest) -> Callable[[str], tuple[Broker, Value]]:
    """Return a running broker and its first admin by the target's name: mosquitto (TLS, dynamic security) or coreflux.

    Without mosquitto the embedded broker serves both.
    """

    def of(target: str) -> tuple[Broker, Value]:
        replaced = target != "coreflux" and installed_mosquitto() is None
        if replaced:
            record_replacement(request)
        if target == "coreflux" or replaced:
            embedded = request.getfixturevalue("embedded_broker")
            broker = embedded.broker()
            if replaced:  # not the stack's, like mosquitto: a purge leaves it
                broker = broker.model_copy(update={"embedded": False, "home": None})
            return broker, embedded.admin
        mosquitto = request.getfixturevalue("mosquitto")
        return mosquitto.broker(), mosquitto.admin

    return of


@pytest.fixture
def stack_on(
    request: pytest.FixtureRequest, tmp_path: Path, broker_of: Callable[[str], tuple[Broker, Value]]
) -> MakeStack:
    """Return a function that makes a stack of a folder or a cloud's store, on a target's broker, with a broker
    admin."""

    def on(target: str, delivery: str = "variables") -> Stack:
        broker, admin = broker_of(target)
        if delivery == "aws":
            stack = aws_stack(tmp_path, broker, request)
        elif delivery == "azure":
            stack = azure_stack(tmp_path, broker, request)
        elif delivery == "vault":
            stack = openbao_stack(tmp_path, broker, request)
        else:
            stack = make_stack(tmp_path / "store", broker, delivery=delivery)
        stack.put("broker-admin", dict(admin))
        return stack

    return on


def aws_stack(folder: Path, broker: Broker, request: pytest.FixtureRequest) -> Stack:
    aws = request.getfixturevalue("moto_environment")
    from tests.real.aws_stack import make_aws_stack

    stack = make_aws_stack(broker, aws)
    stack.manifest_file = folder / "secretops.json"
    stack.manifest_file.write_text(stack.manifest.model_dump_json())
    return stack


def azure_stack(folder: Path, broker: Broker, request: pytest.FixtureRequest) -> Stack:
    azure, azurite = request.getfixturevalue("azure"), request.getfixturevalue("azurite")
    from tests.real.azure_stack import make_azure_stack

    return make_azure_stack(folder, broker, azure, azurite)


def openbao_stack(folder: Path, broker: Broker, request: pytest.FixtureRequest) -> Stack:
    openbao = request.getfixturevalue("openbao")
    from tests.real.openbao_stack import make_openbao_stack

    return make_openbao_stack(folder, broker, openbao)


@pytest.fixture(
    params=["aws", pytest.param("azure", marks=pytest.mark.slow), pytest.param("vault", marks=pytest.mark.slow)]
)
def cloud(request: pytest.FixtureRequest, stack_on: MakeStack) -> CloudStack:
    return cast(CloudStack, stack_on("mosquitto", request.param))
