"""A stack whose client certificate a CA of AWS Private CA signs: what its file says, and what is made of it."""

from __future__ import annotations

from components.catalogue import CLIENT_CERT
from components.next_step import next_step
from secretops.manifest import AwsPrivateCaIssuer
from settings import Settings
from tests.unit.aws_stack import CA, SERVER, STORE
from tests.unit.stack_file import StackFile

ISSUER = f"kind: aws-private-ca, arn: '{CA}'"
FETCHED = f"{SERVER}, image: 'registry.example.com/mcp:1.0.0', reference: Fetched"


def parse(
    issuer: str = ISSUER, *, store: str = STORE, server: str = FETCHED, asks: bool = True, stack: str = "prod"
) -> Settings:
    asked = ", client_certificate: true" if asks else ""
    text = "\n".join(
        [
            "config:",
            f"  store: {{{store}}}",
            f"  server: {{{server}}}",
            f"  broker: {{kind: coreflux, host: mqtt.example.com{asked}}}",
            f"  issuer: {{{issuer}}}",
        ]
    )
    return StackFile.read(text).parse(stack)


def issuer_of(settings: Settings) -> AwsPrivateCaIssuer:
    (issuer,) = [secret.issuer for secret in settings.catalogue if secret.name == CLIENT_CERT]
    assert isinstance(issuer, AwsPrivateCaIssuer)
    return issuer


def test_the_certificate_is_for_the_stacks_client_and_thirty_days() -> None:
    issuer = issuer_of(parse())
    assert issuer == AwsPrivateCaIssuer(arn=CA, common_name="coreflux-mcp-prod", seconds=30 * 86400)
    assert issuer.region == "eu-west-1", "the CA's own"
    assert issuer.template == "arn:aws:acm-pca:::template/EndEntityClientAuthCertificate/V1"


def test_a_long_name_of_a_stack_stays_one_that_a_certificate_can_have() -> None:
    assert len(issuer_of(parse(stack="prod-" + "x" * 80)).common_name) <= 64


def test_the_first_tick_has_it_signed_since_its_role_may_and_an_operator_need_not() -> None:
    step = next_step(parse())
    assert "secretops rotate client-cert" not in step
    assert step.index("-tick /dev/stdout") < step.index("secretops put broker-admin")
    assert "has the client certificate signed" in step
