"""Pulumi's provider for Docker, which the Swarm stacks run on: the real one, from the sources that theirs is made from.

Pulumi's own build is in no package registry, nor is its module. What it bridges is: the Terraform provider for Docker.
Its package is internal and some of it is for Terraform alone, so the build sees its sources in a folder of ours that
does not exist (`upstream`, a replacement in go.mod), without those files and with a package that lets ours in.

To change a version, edit go.mod, then `python -m tools.docker_provider`, which tidies it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tools.steps import ROOT, SetupError, run_step
from tools.toolchain.gobuild import GO_SETTINGS, cached_binary, cached_path, downloaded, find_go, write_overlay

PROVIDER = "5.2.0"
"""The label of our build: the version of the Python SDK. Its source is go.mod's."""

PLUGIN = "pulumi-resource-docker"

SUM = "h1:T3HvvZCRd4h2qkMl+SXA2zza26Rdz8xqV81skikQWy4="
"""Of the sources, as go.sum would have it, where a module that is replaced by a folder has none."""

_FOLDER = ROOT / "tools" / PLUGIN
_MODULE = "github.com/kreuzwerker/terraform-provider-docker"
_CALLS_ITSELF = "github.com/terraform-providers/terraform-provider-docker"
_TERRAFORM_ALONE = "github.com/hashicorp/terraform-plugin-framework"
"""What only actions, compose files and two data sources are written with: Pulumi's SDK has none of them."""
_LABEL = f"-X main.version={PROVIDER}"


class Upstream:
    """The sources that go.mod replaces by the folder `upstream`."""

    def files(self, go: Path, module: Path) -> dict[Path, Path]:
        """What the package is made of, and the package that reaches it."""
        found = downloaded(go, module, f"{_MODULE}@{_version()}")
        if found["Sum"] != SUM:
            raise SetupError(
                f"the sources of {_MODULE}",
                f"  {found['Sum']} is not {SUM}",
                "set SUM in tools/docker_provider.py if go.mod has another version, else mistrust the module proxy",
            )
        source, seen = Path(found["Dir"]), module / "upstream"
        ours = [source / "go.mod", *(path for path in (source / "internal").rglob("*.go") if _is_needed(path))]
        laid = {seen / path.relative_to(source): path for path in ours}
        return laid | {seen / "shim/shim.go": module / "shim/shim.go"}


def provider() -> Path:
    """pulumi-resource-docker, built once for this user. Raises SetupError."""
    return cached_binary(PLUGIN, _FOLDER, ".", _LABEL, Upstream())


def built() -> Path | None:
    """The same if it is there already: for whoever must not begin a build of minutes."""
    path = cached_path(PLUGIN, _FOLDER, ".", _LABEL)
    return path if path.exists() else None


def tidy() -> None:
    """`go mod tidy`, which has to see the lent sources. Raises SetupError."""
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
