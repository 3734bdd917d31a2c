from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from secretops.manifest.field_types import CommonName, FieldName, ReaderName, Seconds, SecretName, matching
from secretops.manifest.model import Issuer, StoreLocation

AwsAccount = Annotated[str, matching(r"\d{12}", "an AWS account: twelve digits")]
AwsRegion = Annotated[str, matching(r"(us-gov|us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-\d", "an AWS region's code")]
AwsSecretName = Annotated[
    str, matching(r"[A-Za-z0-9][A-Za-z0-9/_+=.@-]{0,511}", "a name in Secrets Manager: letters, digits and /_+=.@-")
]
TableArn = Annotated[
    str, matching(r"arn:aws(-us-gov)?:dynamodb:[a-z0-9-]+:\d{12}:table/[\w.-]{3,255}", "the ARN of a DynamoDB table")
]
TopicArn = Annotated[
    str, matching(r"(arn:aws(-us-gov)?:sns:[a-z0-9-]+:\d{12}:[\w-]{1,256})?", "the ARN of an SNS topic, or empty")
]
AwsLogGroup = Annotated[str, matching(r"[\w./#-]{0,512}", "the name of a log group, or empty")]
PrivateCaArn = Annotated[
    str,
    matching(
        r"arn:aws(-us-gov)?:acm-pca:[a-z0-9-]+:\d{12}:certificate-authority/[\w-]+", "the ARN of a CA of AWS Private CA"
    ),
]


class AwsStoreLocation(StoreLocation):
    kind: Literal["aws"] = "aws"
    # Twelve digits. Another account may have secrets of the same names.
    account: AwsAccount
    region: AwsRegion
    # Secret -> its full name in Secrets Manager. Not the ARN, which is unknown at a preview.
    secrets: dict[SecretName, AwsSecretName]
    # Secret -> the fields that its readers expect, as keys of a JSON object.
    fields: dict[SecretName, tuple[FieldName, ...]] = Field(default_factory=dict)
    # ARN of the DynamoDB table whose only item is the lease.
    lease: TableArn
    # ARN of the topic for the stack's alarms; empty without one.
    alerts: TopicArn = ""
    # Log group of CloudTrail, which the stack's alarms read; empty in manifests of earlier programs.
    log_group: AwsLogGroup = ""
    # Name in Secrets Manager -> the declared readers: names or ARNs of IAM roles.
    readers: dict[AwsSecretName, tuple[ReaderName, ...]] = Field(default_factory=dict)


class AwsPrivateCaIssuer(Issuer):
    kind: Literal["aws-private-ca"] = "aws-private-ca"
    # ARN of the CA. Its region may differ from the store's.
    arn: PrivateCaArn
    # Common name in each request. The CA itself would sign any name.
    common_name: CommonName
    # Validity of a certificate, in whole days. A short-lived CA signs for at most 7 days.
    seconds: Seconds

    @property
    def revocation(self) -> str:
        return f"aws acm-pca revoke-certificate --certificate-authority-arn {self.arn} …"

    @property
    def region(self) -> str:
        return self.arn.split(":")[3]

    @property
    def template(self) -> str:
        """Return the ARN of the template for client certificates, which ignores extensions in the request.

        https://docs.aws.amazon.com/privateca/latest/userguide/template-definitions.html
        """
        return f"arn:{self.arn.split(':')[1]}:acm-pca:::template/EndEntityClientAuthCertificate/V1"
