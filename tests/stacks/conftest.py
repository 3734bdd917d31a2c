"""Fixtures for the tests of several stacks."""

from collections.abc import Iterator

import pytest

from tests.real.mosquitto import Mosquitto, start_mosquitto


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    made = start_mosquitto(tmp_path_factory.mktemp("mosquitto"))
    yield made
    made.stop()
