"""Deploy CorefluxSecrets in your own network: another component of the program creates the subnets."""

import pulumi
import pulumi_aws as aws
from coreflux_mcp_secrets import CorefluxSecrets

ACCOUNT, REGION = "123456789012", "eu-central-1"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/coreflux-mcp-secrets:0.1.0"
OPERATOR = f"arn:aws:iam::{ACCOUNT}:role/secrets-operator"


class Vpc(pulumi.ComponentResource):
    """Two private subnets that reach the broker, the registry and AWS through a NAT gateway."""

    def __init__(self, name: str) -> None:
        super().__init__("shop:index:Vpc", name)
        child = pulumi.ResourceOptions(parent=self)
        vpc = aws.ec2.Vpc(name, cidr_block="10.0.0.0/16", opts=child)

        gateway = aws.ec2.InternetGateway(name, vpc_id=vpc.id, opts=child)
        to_gateway = aws.ec2.RouteTableRouteArgs(cidr_block="0.0.0.0/0", gateway_id=gateway.id)
        table = aws.ec2.RouteTable(f"{name}-public", vpc_id=vpc.id, routes=[to_gateway], opts=child)
        public = aws.ec2.Subnet(f"{name}-public", vpc_id=vpc.id, cidr_block="10.0.0.0/24", opts=child)
        aws.ec2.RouteTableAssociation(name, subnet_id=public.id, route_table_id=table.id, opts=child)

        address = aws.ec2.Eip(name, domain="vpc", opts=child)
        nat = aws.ec2.NatGateway(name, subnet_id=public.id, allocation_id=address.id, opts=child)
        to_nat = aws.ec2.DefaultRouteTableRouteArgs(cidr_block="0.0.0.0/0", nat_gateway_id=nat.id)
        main = vpc.default_route_table_id  # applies to all other subnets
        aws.ec2.DefaultRouteTable(name, default_route_table_id=main, routes=[to_nat], opts=child)

        def private(zone: str, block: str) -> pulumi.Output[str]:
            at = f"{REGION}{zone}"
            return aws.ec2.Subnet(
                f"{name}-{zone}", vpc_id=vpc.id, cidr_block=block, availability_zone=at, opts=child
            ).id

        self.id = vpc.id
        self.private_subnet_ids = pulumi.Output.all(private("a", "10.0.1.0/24"), private("b", "10.0.2.0/24"))
        self.register_outputs({"id": self.id, "private_subnet_ids": self.private_subnet_ids})


vpc = Vpc("shop")
group = aws.ec2.SecurityGroup(
    "mcp", vpc_id=vpc.id, egress=[{"protocol": "-1", "from_port": 0, "to_port": 0, "cidr_blocks": ["0.0.0.0/0"]}]
)

mcp = CorefluxSecrets(
    "mcp",
    {
        "store": {"kind": "aws", "account": ACCOUNT, "region": REGION, "operators": [OPERATOR]},
        "server": {"kind": "ecs", "image": IMAGE, "subnets": vpc.private_subnet_ids, "security_groups": [group.id]},
        "broker": {"kind": "coreflux", "host": "mqtt.example.com"},
    },
)
pulumi.export("secretops", mcp.secretops)  # the command `secretops` reads this output
pulumi.export("environment", mcp.environment)  # the policies read this output
pulumi.export("gaps", mcp.gaps)  # what the store does not do; the policies read it, too
