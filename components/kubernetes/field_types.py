from __future__ import annotations

from functools import partial
from typing import Annotated

from secretops.formats import parse_https_url
from secretops.platforms.kubernetes.location import KUBERNETES_NAME

from ..settings.constraints import ONE_LINE, URL_WITH_PATH, is_one_line, matching, parsed, satisfying, whole
from ..settings.outputs import MayBeOutput

KubernetesName = Annotated[
    str,
    matching(
        KUBERNETES_NAME,
        "a Kubernetes name (RFC 1123): lower-case letters, digits and dashes, in parts separated by dots",
        "write the name as kubectl shows it",
    ),
]
ApiGroup = Annotated[
    str,
    matching(
        KUBERNETES_NAME,
        "the API group of an issuer of cert-manager, or of an external issuer",
        "kubectl api-resources lists the groups; or remove the key to use cert-manager.io",
    ),
]
Kind = Annotated[
    str,
    matching(r"[A-Z][A-Za-z0-9]*", "a kind of the Kubernetes API", "for example ClusterIssuer"),
]
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
LabelKey = Annotated[
    str,
    matching(
        rf"(?!app\.kubernetes\.io/|coreflux-mcp-secrets/)([a-z0-9.-]{{1,253}}/)?{_LABEL}",
        "a key of a label or an annotation; not app.kubernetes.io/... or coreflux-mcp-secrets/..., which the stack "
        "sets",
        "for example example.com/team",
    ),
]
LabelValue = Annotated[
    str,
    matching(
        rf"({_LABEL})?",
        "a label's value: at most 63 letters, digits, dashes, dots, underscores",
        "for example team-a",
    ),
]
Annotation = Annotated[str, satisfying(is_one_line, "one line", "write the text in one line", keywords=whole(ONE_LINE))]
Quantity = Annotated[
    str,
    matching(
        r"\d+(\.\d+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?",
        "a quantity of Kubernetes: of CPU like 250m, of bytes like 512Mi",
        "write the quantity in quotes, for example '250m' or '512Mi'",
    ),
]
Operator = Annotated[
    str,
    satisfying(
        is_one_line,
        "a user or a group, by its name in the API server",
        "kubectl auth whoami shows your name; or remove the entry",
        keywords=whole(ONE_LINE),
    ),
]
Namespace = Annotated[
    str,
    matching(
        r"(?!default$|kube-)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
        "a namespace for the stack alone: a DNS label, not default, not kube-...",
        "for example coreflux-mcp",
    ),
]
# Maximum number of characters of a context's name in the manifest.
LONGEST_CONTEXT = 253
Context = Annotated[
    str,
    satisfying(
        lambda text: is_one_line(text) and len(text) <= LONGEST_CONTEXT,
        "the name of a context of the kubeconfig",
        "kubectl config get-contexts lists the contexts; or remove the key to use the current context",
        keywords=whole(ONE_LINE) | {"maxLength": LONGEST_CONTEXT},
    ),
]
Issuer = Annotated[
    str,
    parsed(
        partial(parse_https_url, path=True),
        "the URL of the cluster's OIDC issuer, as in its tokens",
        "az aks show --query oidcIssuerProfile.issuerUrl shows the URL",
        is_host=True,
        keywords=whole(URL_WITH_PATH),
    ),
    MayBeOutput(),
]
