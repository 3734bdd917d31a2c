"""Test own_network.py with pytest. It deploys nothing, and needs no account."""

from typing import Any

import pulumi

# Prefixes of ids in AWS' format, which rules check.
PREFIXES = {"aws:ec2/subnet:Subnet": "subnet", "aws:ec2/securityGroup:SecurityGroup": "sg"}
ids: dict[str, str] = {}
inputs: dict[str, Any] = {}


class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        ids[args.name], inputs[args.name] = f"{PREFIXES.get(args.typ, 'id')}-{len(ids):08x}", args.inputs
        return ids[args.name], args.inputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, Any], None]:
        return {}, None


@pulumi.runtime.test
def declare() -> None:
    pulumi.runtime.set_mocks(Mocks(), project="shop", stack="prod")
    import own_network  # noqa: F401


def test_server_runs_in_the_private_subnets() -> None:
    declare()
    assert inputs["server-service"]["networkConfiguration"]["subnets"] == [ids["shop-a"], ids["shop-b"]]
