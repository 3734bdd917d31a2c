"""Test own_store.py with pytest. It deploys nothing, and needs no account."""

from typing import Any

import pulumi

inputs: dict[str, Any] = {}


class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        inputs[args.name] = args.inputs
        return f"{args.name}-id", args.inputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, Any], None]:
        return {}, None


@pulumi.runtime.test
def declare() -> None:
    pulumi.runtime.set_mocks(Mocks(), project="shop", stack="prod")
    import own_store  # noqa: F401


def test_server_starts_with_a_secret_of_yours_which_its_role_may_read() -> None:
    declare()
    arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop/mqtt-AbCdEf"
    assert f"{arn}:username::" in inputs["mcp-task"]["containerDefinitions"]
    assert arn in inputs["mcp-reads-mqtt"]["policy"]
