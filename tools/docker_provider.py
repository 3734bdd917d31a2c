"""Build Pulumi's provider for Docker, for Swarm stacks, from Go modules, because it is in no package registry.

The provider imports an internal package of the Terraform provider that it bridges. So the build adds a folder
`upstream` with the Terraform provider's sources, and with a package that exports the internal one. To change a version,
edit go.mod, then run `python -m tools.docker_provider`, which tidies go.mod.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tools.steps import ROOT, SetupError, run_step
from tools.toolchain.gobuild import GO_SETTINGS, cached_binary, cached_path, downloaded, find_go, write_overlay

# Version of the Python SDK, as the label of our build. go.mod has the version of the sources.
PROVIDER = "5.2.0"

PLUGIN = "pulumi-resource-docker"

# Checksum of the sources, since go.sum has none for a replaced module.
SUM = "h1:T3HvvZCRd4h2qkMl+SXA2zza26Rdz8xqV81skikQWy4="

_FOLDER = ROOT / "tools" / PLUGIN
_MODULE = "github.com/kreuzwerker/terraform-provider-docker"
_CALLS_ITSELF = "github.com/terraform-providers/terraform-provider-docker"
# Files that import this module are left out: actions, compose files and two data sources, which Pulumi's SDK lacks.
_TERRAFORM_ALONE = "github.com/hashicorp/terraform-plugin-framework"
_LABEL = f"-X main.version={PROVIDER}"


class Upstream:
    """The Terraform provider's sources, which become the folder `upstream`."""

    def files(self, go: Path, module: Path) -> dict[Path, Path]:
        found = downloaded(go, module, f"{_MODULE}@{_version()}")
        if found["Sum"] != SUM:
            raise SetupError(
                f"the sources of {_MODULE}",
                f"  {found['Sum']} is not {SUM}",
                "if go.mod has a new version, set SUM in tools/docker_provider.py; otherwise do not trust the module "
                "proxy",
            )
        source, seen = Path(found["Dir"]), module / "upstream"
        ours = [source / "go.mod", *(path for path in (source / "internal").rglob("*.go") if _is_needed(path))]
        linked = {seen / path.relative_to(source): path for path in ours}
        return linked | {seen / "shim/shim.go": module / "shim/shim.go"}


def provider() -> Path:
    return cached_binary(PLUGIN, _FOLDER, ".", _LABEL, Upstream())


def built() -> Path | None:
    path = cached_path(PLUGIN, _FOLDER, ".", _LABEL)
    return path if path.exists() else None


def tidy() -> None:
    """Run `go mod tidy` with the sources of `upstream` present. Raises SetupError."""
    go = find_go(_FOLDER)
    with tempfile.TemporaryDirectory() as work:
        run_step(
            "go.mod and go.sum of pulumi-resource-docker",
            [go, "mod", "tidy", "-overlay", write_overlay(go, _FOLDER, Upstream(), Path(work))],
            cwd=_FOLDER,
            env=GO_SETTINGS,
            remedy="check that this machine reaches a Go module proxy (GOPROXY)",
        )


def _version() -> str:
    return (_FOLDER / "go.mod").read_text().partition(f"\t{_CALLS_ITSELF} ")[2].split()[0]


def _is_needed(source: Path) -> bool:
    return not source.name.endswith("_test.go") and _TERRAFORM_ALONE not in source.read_text()


if __name__ == "__main__":
    tidy()
