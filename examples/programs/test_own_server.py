"""Test own_server.py with pytest. It deploys nothing, and needs no account."""

import json
from typing import Any

import pulumi

inputs: dict[str, Any] = {}


class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        inputs[args.name] = args.inputs
        return f"{args.name}-id", {"arn": f"arn:{args.name}", **args.inputs}

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, Any], None]:
        return {}, None


@pulumi.runtime.test
def declare() -> None:
    pulumi.runtime.set_mocks(Mocks(), project="shop", stack="prod")
    import own_server  # noqa: F401


def test_container_starts_with_the_secret() -> None:
    declare()
    (container,) = json.loads(inputs["sensors-task"]["containerDefinitions"])
    assert {"name": "MQTT_USER", "valueFrom": "arn:secrets-secret-mqtt:username::"} in container["secrets"]
