"""Install or build the programs for the full tests. Their services are neither started nor enabled."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tools import axe, azure_parts, docker_provider, kubernetes_parts, kusto_parser
from tools.steps import SetupError, run_step, say
from tools.toolchain.gobuild import cached_binary
from tools.toolchain.pulumi_cli import YAML_HOST

# Command -> its Debian package.
PARTS = {
    "mosquitto": "mosquitto",
    "mosquitto_pub": "mosquitto-clients",
    "git-secrets": "git-secrets",
    "etcd": "etcd-server",
    "dockerd": "docker.io",
    "mmdebstrap": "mmdebstrap",
    "npm": "npm",
    "chromium": "chromium",
    "promtool": "prometheus",
}

# Package -> services that it would start at boot.
UNITS = {
    "mosquitto": ("mosquitto",),
    "docker.io": ("docker.service", "docker.socket", "containerd.service"),
    "prometheus": ("prometheus.service",),
}

# Debian has the broker in /usr/sbin, which is not on every user's PATH.
SYSTEM_PATH = "/usr/sbin:/sbin:/usr/local/sbin"

POLICY = Path("/usr/sbin/policy-rc.d")
# Debian's policy that no package may start a service; exit code 101 is "not allowed" (invoke-rc.d(8)).
OURS = "#!/bin/sh\n# coreflux-mcp-secrets: no service starts while packages are installed\nexit 101\n"


def missing_parts() -> list[str]:
    return [package for command, package in PARTS.items() if found(command) is None]


def provide_parts(*, must: bool) -> None:
    """Provide Debian packages, Go builds and npm packages for the full tests.

    Reports each that is missing, and its tests skip. If `must` is set (CI), raises SetupError instead.
    """
    install_packages(must=must)
    parts: tuple[tuple[str, Callable[[], object], str], ...] = (
        ("etcd", kubernetes_parts.build_all, "a Kubernetes API server, its tests are"),
        ("dockerd", docker_provider.provider, "Pulumi's provider for Docker, the Swarm stacks' tests are"),
        ("", partial(cached_binary, *YAML_HOST), "Pulumi's language host for YAML, the test of a program in YAML is"),
        ("", azure_parts.provide_all, "Azurite and Azure's description of Key Vault, their tests are"),
        ("", kusto_parser.provide, "Kusto's parser, its tests are"),
        ("", axe.provide, "axe-core, the report's test in a browser is"),
    )
    for needs, provide, without in parts:
        try:
            if not needs or found(needs):
                provide()
        except SetupError as error:
            if must:
                raise
            say(f"- without {without} skipped: {error}")


def found(command: str) -> str | None:
    """Return the path of a command on PATH or in Debian's folders for daemons."""
    return shutil.which(command, path=f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PATH}")


def install_packages(*, must: bool) -> None:
    missing = missing_parts()
    if not missing:
        return
    install = f"apt-get install --no-install-recommends {' '.join(missing)}"
    reason = ""
    if shutil.which("apt-get") is None:
        reason = "this is not a Debian"
    elif os.geteuid() != 0:
        reason = f"this account is not root (sudo {install})"
    if reason:
        if must:
            problem = f"  missing: {', '.join(missing)}; {reason}"
            raise SetupError(
                "parts for the full tests",
                problem,
                f"install {', '.join(missing)}, or skip the tests that need these packages: unset CI",
            )
        say(f"- without {', '.join(missing)}: {reason}; their tests are skipped")
        return
    steps = [
        ("package lists of Debian", ["apt-get", "update"]),
        (", ".join(missing), ["apt-get", "install", "-y", "--no-install-recommends", *missing]),
    ]
    units = [unit for package in missing for unit in UNITS.get(package, ())]
    if units and shutil.which("systemctl"):
        steps.append(("disabling their services at the next boot", ["systemctl", "disable", *units]))
    try:
        with no_service_starts():
            for step, argv in steps:
                run_step(
                    f"{step} (for the full tests)",
                    argv,
                    env={"DEBIAN_FRONTEND": "noninteractive"},
                    remedy="check apt's sources and this machine's network",
                )
    except SetupError as error:
        if must:
            raise
        say(f"- without {', '.join(missing)}, their tests are skipped: {error}")


@contextlib.contextmanager
def no_service_starts() -> Iterator[None]:
    """Prevent packages from starting services while the block runs. Another policy-rc.d is not changed."""
    if POLICY.exists() and POLICY.read_text() != OURS:  # from an earlier set-up that was killed
        yield
        return
    POLICY.write_text(OURS)
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
