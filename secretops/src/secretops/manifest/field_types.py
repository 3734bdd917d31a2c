"""Types of a manifest's fields: what each may contain, with the rule and the remedy of a refusal.

A manifest comes from a stack's outputs or from a file, which others may be able to write. So nothing of it is trusted
that a stack file could not say: every text is ASCII without spaces unless its type says otherwise.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from secretops import forms

WRITE_AGAIN = "run pulumi up, which writes the manifest again; a manifest is not edited by hand"


def refused(rule: str, *, remedy: str = WRITE_AGAIN, shown: str = "") -> PydanticCustomError:
    """Return the error that a validator of a manifest raises. `shown` is printed in place of the whole input."""
    return PydanticCustomError("refused", "{rule}", {"rule": rule, "remedy": remedy, "shown": shown})


def matching(pattern: str, rule: str) -> AfterValidator:
    """Return a validator for text that the whole of `pattern` matches, with ASCII classes."""
    compiled = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise refused(rule)
        return text

    return AfterValidator(check)


def between(low: int, high: int, unit: str = "") -> AfterValidator:
    """Return a validator for a number of `unit` from `low` to `high`, both included."""

    def check(number: int) -> int:
        if not low <= number <= high:
            raise refused(f"from {low} to {high} {unit}".rstrip())
        return number

    return AfterValidator(check)


def _check_host(text: str) -> str:
    try:
        forms.parse_host(text)
    except ValueError:
        raise refused("a host's name or IP address alone: no scheme, port, path or space") from None
    return text


def _check_server_url(text: str) -> str:
    try:
        forms.parse_https_url(text)
    except ValueError:
        raise refused("https, a host and at most a port: credentials travel over TLS, to the declared host") from None
    return text


def _check_topic(text: str) -> str:
    if not forms.is_topic_filter(text):
        raise refused("a topic filter of MQTT, for example plant/#")
    return text


_UP = re.compile(r"(^|/)\.{1,2}(/|$)|//")


def _check_path(text: str) -> str:
    if not text.startswith("/") or _UP.search(text) or not text.isprintable() or text.endswith("/"):
        raise refused("an absolute path on one line, without . or .. in it")
    return text


def _check_root(text: str) -> str:
    if _check_path(text).count("/") <= 1:
        raise refused("the store has a folder of its own, below a folder of the machine")
    return text


def _check_variable(name: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,127}", name, re.ASCII):
        raise refused("a variable's name: capital letters, digits and underscores, a letter first")
    if name in _SETTINGS or forms.is_reserved_variable(name):
        raise refused("a variable that carries a secret is none that the system, a library or a client reads")
    return name


# The server's own public settings: the stack sets them, and no secret does.
_SETTINGS = frozenset(
    {"MQTT_BROKER", "MQTT_PORT", "MQTT_USE_TLS", "MQTT_PROTOCOL", "MQTT_CLIENT_ID"}
    | {"DO_AGENT_URL", "LOG_LEVEL", "LOT_VERIFIER_API_URL", "COREFLUX_SERVER_DIR"}
)

_LINE = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"

SecretName = Annotated[
    str,
    matching(
        forms.NAME,
        "a secret's name: lower-case letters, digits and dashes, at most 40, a letter first and no dash last",
    ),
]
FieldName = Annotated[
    str, matching(r"[a-z][a-z0-9-]{0,39}(\.[a-z]{1,8})?", "a field's name: lower-case letters, digits and dashes")
]
StackName = Annotated[str, matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", "a stack's name as Pulumi takes it")]
ProjectName = Annotated[str, matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", "a project's name as Pulumi takes it")]
Grace = Annotated[int, between(0, 7 * 86400, "seconds")]
Replicas = Annotated[int, between(1, 100)]
UserName = Annotated[
    str, matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", "a broker user: letters, digits, dots and dashes, at most 64")
]
GroupName = Annotated[str, matching(forms.GROUP, "a broker's group: letters, digits, dots and dashes, at most 64")]
CommonName = Annotated[str, matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", "a client's name, at most 64 characters")]
Host = Annotated[str, AfterValidator(_check_host)]
Port = Annotated[int, between(1, 65535)]
ServerUrl = Annotated[str, AfterValidator(_check_server_url)]
AbsolutePath = Annotated[str, AfterValidator(_check_path)]
RootFolder = Annotated[str, AfterValidator(_check_root)]
Variable = Annotated[str, AfterValidator(_check_variable)]
DeliveredFile = Annotated[
    str,
    matching(
        r"(certs|secrets)/[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(\{version\})?([A-Za-z0-9_.-]{0,32})",
        "a file in certs/ or secrets/ of the store's root; {version} is the only placeholder",
    ),
]
Topic = Annotated[str, AfterValidator(_check_topic)]
ReaderName = Annotated[str, matching(rf"{_LINE}{{1,1024}}", "a reader's name on one line")]
Days = Annotated[int, between(1, 3660, "days")]
Seconds = Annotated[int, between(1, 3660 * 86400, "seconds")]

KubernetesName = Annotated[
    str, matching(forms.KUBERNETES_NAME, "a Kubernetes name: lower case, digits, dashes and dots")
]
KubernetesNamespace = Annotated[str, matching(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "a DNS label")]
KubernetesKey = Annotated[str, matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}", "a key of a Kubernetes Secret")]
Label = Annotated[str, matching(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?", "a label's value")]
Context = Annotated[str, matching(rf"{_LINE}{{1,253}}", "a context of the kubeconfig, on one line")]

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

Guid = Annotated[str, matching(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "a GUID")]
GuidOrEmpty = Annotated[str, matching(r"([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?", "a GUID, or empty")]
KeyVaultName = Annotated[str, matching(r"[0-9A-Za-z-]{1,127}", "a secret's name in Key Vault: letters, digits, dashes")]
_LOOPBACK = r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})"
KeyVaultUrl = Annotated[
    str,
    matching(
        rf"https://([a-z0-9-]{{3,24}}\.vault\.azure\.net|{_LOOPBACK})/?",
        "https://<name>.vault.azure.net: a token of Entra goes to no other host",
    ),
]
BlobUrl = Annotated[
    str,
    matching(
        rf"https://([a-z0-9]{{3,24}}\.blob\.core\.windows\.net|{_LOOPBACK})(/[A-Za-z0-9$_-]+){{2,3}}",
        "https://<account>.blob.core.windows.net/<container>/<blob>: a token of Entra goes to no other host",
    ),
]

VaultPath = Annotated[
    str,
    matching(
        forms.VAULT_PATH,
        "a path of Vault: letters, digits, dashes, dots and underscores, no slash at its ends, no ..",
    ),
]
VaultNamespace = Annotated[str, matching(rf"({forms.VAULT_PATH})?", "a namespace's path, or empty for the root")]
VaultRole = Annotated[str, matching(r"[\w.@:-]{1,256}", "a role's name or id: one word")]

SwarmName = Annotated[str, matching(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", "a name of a Swarm, at most 64 characters")]
SwarmFileName = Annotated[
    str, matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", "a file below /run/secrets: a name without a slash")
]
UserId = Annotated[int, between(0, 2**32 - 2)]
FileMode = Annotated[int, between(0, 0o777)]
Image = Annotated[str, matching(r"[A-Za-z0-9][\w.:/@-]{0,511}", "an image's name, with its tag or digest")]
