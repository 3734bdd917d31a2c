"""A stack whose client certificate AWS Private CA signs."""

from components.core.secrets import CLIENT_CERT
from secretops.platforms.aws.location import AwsPrivateCaIssuer
from tests.unit.aws_stack import CA, SERVER, STORE
from tests.unit.stack_file import StackFile

ISSUER = f"kind: aws-private-ca, arn: '{CA}'"
FETCHED = f"{SERVER}, image: 'registry.example.com/mcp:1.0.0', reference: Fetched"


def test_the_certificate_is_for_the_stacks_client_and_thirty_days() -> None:
    broker = "kind: coreflux, host: mqtt.example.com, client_certificate: true"
    sections = {"store": STORE, "server": FETCHED, "broker": broker, "issuer": ISSUER}
    text = "\n".join(["config:", *(f"  {name}: {{{section}}}" for name, section in sections.items())])
    settings = StackFile.read(text).parse("prod")
    (issuer,) = [secret.issuer for secret in settings.secrets if secret.name == CLIENT_CERT]
    assert isinstance(issuer, AwsPrivateCaIssuer)
    assert issuer == AwsPrivateCaIssuer(arn=CA, common_name="coreflux-mcp-prod", seconds=30 * 86400)
    assert issuer.region == "eu-west-1", "the CA's own"
    assert issuer.template == "arn:aws:acm-pca:::template/EndEntityClientAuthCertificate/V1"
