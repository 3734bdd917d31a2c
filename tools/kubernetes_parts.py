"""Programs for the Kubernetes tests: API server, controller manager and Pulumi provider, built from Go modules.

etcd is Debian's (tools/parts.py).
"""

from __future__ import annotations

from pathlib import Path

from tools.steps import ROOT
from tools.toolchain.gobuild import EmbeddedFiles, cached_binary, cached_path

KUBERNETES = "1.37.2"
# Version of the Python SDK, as the label of our build. go.mod has the version of the sources.
PROVIDER = "4.34.2"

PROGRAMS = ("kube-apiserver", "kube-controller-manager")
PLUGIN = "pulumi-resource-kubernetes"

_KUBERNETES = ROOT / "tools/kubernetes"
_PROVIDER = ROOT / "tools" / PLUGIN
_MODULE = "github.com/pulumi/pulumi-kubernetes/provider/v4"
_LABEL = f"-X {_MODULE}/pkg/version.Version={PROVIDER}"
_MAJOR, _MINOR, _ = KUBERNETES.split(".")
_VERSION = " ".join(
    f"-X k8s.io/component-base/version.{name}={text}"
    for name, text in (("gitVersion", f"v{KUBERNETES}"), ("gitMajor", _MAJOR), ("gitMinor", _MINOR))
)


def kubernetes(program: str) -> Path:
    return cached_binary(program, _KUBERNETES, f"k8s.io/kubernetes/cmd/{program}", _VERSION)


def provider() -> Path:
    return cached_binary(
        PLUGIN,
        _PROVIDER,
        ".",
        _LABEL,
        EmbeddedFiles(_MODULE, "cmd/pulumi-resource-kubernetes", ("schema.json", "terraform-mapping.json")),
    )


def built() -> dict[str, Path]:
    paths = {name: cached_path(name, _KUBERNETES, f"k8s.io/kubernetes/cmd/{name}", _VERSION) for name in PROGRAMS}
    paths[PLUGIN] = cached_path(PLUGIN, _PROVIDER, ".", _LABEL)
    return {name: path for name, path in paths.items() if path.exists()}


def build_all() -> None:
    for program in PROGRAMS:
        kubernetes(program)
    provider()
