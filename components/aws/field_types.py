from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from ..settings.constraints import distinct, matching, no_number, one_of
from ..settings.outputs import MayBeOutput

# Codes of regions, as in botocore's partitions.json.
REGION = r"(us-gov|us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-\d"
Region = Annotated[
    str,
    matching(
        REGION,
        "the code of an AWS region in the partition aws or aws-us-gov",
        "for example eu-central-1",
    ),
]
_IN = "arn:aws(-us-gov)?"


def _id_of(kind: str, called: str = "") -> AfterValidator:
    return matching(
        rf"{kind}-[0-9a-f]{{8,17}}",
        f"the id of a {called or kind}",
        f"for example {kind}-0123456789abcdef0",
        is_id=True,
    )


Subnets = Annotated[
    tuple[Annotated[str, _id_of("subnet"), MayBeOutput()], ...],
    Field(min_length=1),
    AfterValidator(distinct),
    MayBeOutput(),
]
SecurityGroups = Annotated[
    tuple[Annotated[str, _id_of("sg", "security group"), MayBeOutput()], ...],
    Field(min_length=1),
    AfterValidator(distinct),
    MayBeOutput(),
]
VpcId = Annotated[str, _id_of("vpc", "VPC"), MayBeOutput()]
WayOut = Annotated[
    str,
    matching(
        r"(vpce|nat)-[0-9a-f]{8,17}",
        "the id of the VPC's endpoint of Secrets Manager, or of the NAT gateway of store.vpc.subnets",
        "for example vpce-0123456789abcdef0 or nat-0123456789abcdef0",
    ),
    MayBeOutput(),
]
_DIGITS = "the account's twelve digits, in quotes because YAML reads digits without quotes as a number"
_YOURS = "aws sts get-caller-identity shows your account"
Account = Annotated[
    str, matching(r"\d{12}", _DIGITS, _YOURS), no_number(_DIGITS, f"put quotes around the digits; {_YOURS}")
]


def _role_of_session(text: str) -> str | None:
    """Return the remedy if `text` is the ARN of a role's session, as `aws sts get-caller-identity` prints it; otherwise
    None."""
    session = re.fullmatch(rf"({_IN}):sts::(\d{{12}}):assumed-role/([\w+=,.@-]+)(?:/.*)?", text, re.ASCII)
    if not session:
        return None
    begin, _, account, role = session.groups()
    shows = f"aws iam get-role --role-name {role} shows the ARN"
    return f"write {begin}:iam::{account}:role/{role}, with its path, if the role has one; {shows}"


Operator = Annotated[
    str,
    matching(
        rf"{_IN}:iam::\d{{12}}:(role|user)/[\w+=,.@/-]+",
        "the ARN of an IAM role or user, without a wildcard",
        "for example arn:aws:iam::123456789012:role/secrets-operator",
        meant=_role_of_session,
    ),
]


def _name_of_cluster(text: str) -> str | None:
    cluster = re.fullmatch(rf"{_IN}:ecs:[a-z0-9-]+:\d{{12}}:cluster/([\w-]+)", text, re.ASCII)
    return f"write {cluster[2]}" if cluster else None


Cluster = Annotated[
    str,
    matching(
        r"[\w-]{1,255}",
        "a cluster's name",
        "aws ecs list-clusters shows the clusters; or remove the key, and the stack creates a cluster",
        meant=_name_of_cluster,
    ),
    MayBeOutput(),
]


def _arn(service: str, resource: str, rule: str, remedy: str, *, account: str = r"\d{12}") -> AfterValidator:
    region = "" if service == "iam" else "[a-z0-9-]+"
    return matching(f"{_IN}:{service}:{region}:{account}:{resource}", rule, remedy)


OidcProvider = Annotated[
    str,
    _arn(
        "iam",
        r"oidc-provider/[\w.-]+(/[\w.-]+)*",
        "the ARN of the account's OIDC provider for the cluster's tokens",
        "aws iam list-open-id-connect-providers shows the ARN; eksctl utils associate-iam-oidc-provider creates a "
        "provider",
    ),
    MayBeOutput(),
]
LogGroup = Annotated[
    str,
    matching(
        r"[\w./#-]{1,512}",
        "the name of the trail's log group in the stack's account and region",
        "aws cloudtrail describe-trails shows the group's ARN; write the name in the ARN",
    ),
    MayBeOutput(),
]
TopicArn = Annotated[
    str,
    _arn("sns", r"[\w-]{1,256}", "the ARN of an SNS topic, not a FIFO one", "aws sns list-topics shows the ARN"),
    MayBeOutput(),
]
PolicyArn = Annotated[
    str,
    _arn(
        "iam",
        r"policy/[\w+=,.@/-]+",
        "the ARN of a managed policy of IAM",
        "aws iam list-policies --scope Local shows the ARN",
        account=r"(\d{12}|aws)",
    ),
    MayBeOutput(),
]
# Limits of a path: https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
RolePath = Annotated[
    str,
    matching(
        r"(?=.{1,512}$)/([\w+=,.@-]+/)*",
        "an IAM path of at most 512 letters, digits and + = , . @ _ - /, with / at its beginning and end",
        "for example /platform/mcp/",
    ),
]
KeyArn = Annotated[
    str,
    _arn(
        "kms",
        r"key/(mrk-)?[0-9a-f-]{32,36}",
        "the ARN of a KMS key, not of an alias",
        "aws kms describe-key --key-id alias/NAME shows the ARN",
    ),
    MayBeOutput(),
]
# Limits of a tag: https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html
TagKey = Annotated[
    str,
    matching(
        r"(?!aws:|(project|stack)$)[\w .:/=+@-]{1,128}",
        "a key of a tag: at most 128 letters, digits, spaces, and . : / = + @ - _; not project or stack, "
        "which the stack sets, and not aws:..., which AWS reserves",
        "for example cost-center",
    ),
]
CertificateArn = Annotated[
    str,
    _arn("acm", r"certificate/[\w-]+", "the ARN of a certificate of ACM", "aws acm list-certificates shows the ARN"),
    MayBeOutput(),
]
PrivateCaArn = Annotated[
    str,
    _arn(
        "acm-pca",
        r"certificate-authority/[\w-]+",
        "the ARN of a CA of AWS Private CA, of any region and account",
        "aws acm-pca list-certificate-authorities shows the ARN",
    ),
    MayBeOutput(),
]
TrailArn = Annotated[
    str,
    _arn(
        "cloudtrail", r"trail/[\w.-]+", "the ARN of a CloudTrail trail", "aws cloudtrail describe-trails shows the ARN"
    ),
    MayBeOutput(),
]
Retention = Annotated[
    int,
    one_of(
        (30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
        "days, a retention of CloudWatch Logs",
    ),
]
