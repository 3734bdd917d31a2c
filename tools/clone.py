"""Set up a clone. A step is skipped if its sources have not changed since its last run."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools import docker_provider, kubernetes_parts
from tools.standin import choice
from tools.steps import ROOT, TOOLS, SetupError, run_step, say, step_in_background, write_whole
from tools.toolchain import pulumi_cli
from tools.toolchain.gobuild import WHEELS, make_venv, pinned, pip_install
from tools.toolchain.pulumi_cli import PulumiCli

UV_VERSION = pinned("uv")
VENV = ROOT / ".venv"
TEMPLATE = ROOT / "tools/toolchain/pulumi-wrapper.sh"
# Extras of the platforms, with their SDKs.
EXTRAS = ("aws", "azure", "kubernetes", "swarm", "vault")
LOCKED = ("uv.lock", "pyproject.toml", "secretops/pyproject.toml")


@dataclass(frozen=True, kw_only=True)
class CloudProvider:
    """Pulumi's provider for a cloud. `credentials` explains how to configure credentials."""

    name: str
    package: str
    credentials: str

    @property
    def version(self) -> str:
        packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
        return next(str(one["version"]) for one in packages if one["name"] == f"pulumi-{self.package}")


# Kinds of store whose provider has a stand-in.
CLOUDS = {
    "aws": CloudProvider(name="AWS", package="aws", credentials="AWS_PROFILE, AWS_ACCESS_KEY_ID, a role"),
    "azure": CloudProvider(
        name="Azure", package="azure-native", credentials="az login, or variables such as ARM_CLIENT_ID"
    ),
    "vault": CloudProvider(name="Vault", package="vault", credentials="VAULT_TOKEN, vault login"),
}


# A kind in a stack file, the package of its provider, and the module that builds the real provider.
PROVIDERS = (("kubernetes", "kubernetes", kubernetes_parts), ("swarm", "docker", docker_provider))


def make_ready(stack: str | None = None, *, deploys: bool = False, checks: bool = False) -> None:
    """Provide uv, the environment, Pulumi, and the providers for `stack`. Raises SetupError.

    `deploys`: a deployment follows, for which a stand-in is not enough. `checks`: an error in the stack file ends the
    process before anything is built.
    """
    with synced_environment() as synced:
        # Builds take minutes, so errors of the file are reported first.
        cli = None if checks or pulumi_is_ready() else pulumi_cli.find_or_build()
    if stack and checks:
        check_stack_file(stack, deploys=deploys)
    # For another version of Python, uv sync creates the environment again, without Pulumi.
    missing = bool(cli) or ((synced or checks) and not pulumi_is_ready())
    if missing:
        install_pulumi(cli or pulumi_cli.find_or_build())
    plugins = provide_plugins(stack) if stack else False
    if synced or missing or plugins:
        say("- this clone is ready")
    for kind in CLOUDS:
        if stack and asks_for(kind, stack):
            provide_cloud(kind, stack, deploys=deploys)


def check_stack_file(stack: str, *, deploys: bool) -> None:
    """Print every error in the file of `stack`, and exit if there is one.

    Before a deployment, an unchanged file that has passed is not checked again, because the program checks it at each
    run.
    """
    file, stamp = Path(f"Pulumi.{stack}.yaml"), TOOLS / f"checked/{stack}"
    key = hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""
    if key and stamp.exists() and stamp.read_text() == key:
        return
    command = [str(VENV / "bin/python"), "-m", "components.settings.stack_file", *(["--deploys"] if deploys else [])]
    # Runs in the current folder, like the check of `make up`.
    done = subprocess.run([*command, file], check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(done.returncode)
    if deploys and key:
        write_whole(stamp, key)


def provide_uv(tools: Path = TOOLS) -> Path:
    """Link `.tools/bin/uv` to the uv on PATH, or if that is missing or too old, to the uv of a wheel. Raises
    SetupError."""
    on_path = shutil.which("uv")
    uv = Path(on_path) if on_path else tools / "venv/bin/uv"
    if _uv_version(uv) < _numbers(UV_VERSION):
        uv = tools / "venv/bin/uv"
        if _uv_version(uv) < _numbers(UV_VERSION):
            # In its own environment: a system's Python rejects installing the wheel.
            requirements = WHEELS / "uv.txt"
            pip_install(make_venv(tools / "venv"), requirements, remedy=f"put uv {UV_VERSION} on PATH, or ")
    link = tools / "bin/uv"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(uv)
    return link


@contextlib.contextmanager
def synced_environment(venv: Path = VENV) -> Iterator[bool]:
    """Sync `.venv` with `uv.lock` while the block runs, if that is needed. Yield whether it is needed. Raises
    SetupError."""
    key = hashlib.sha256(f"{sys.version} {EXTRAS}".encode())
    for name in LOCKED:
        key.update((ROOT / name).read_bytes())
    stamp = venv / ".set-up-packages"
    if (TOOLS / "bin/uv").exists() and stamp.exists() and stamp.read_text() == key.hexdigest():
        yield False
        return
    uv = provide_uv()
    with step_in_background(
        "the project's environment, .venv (uv sync)",
        [uv, "sync", "--frozen", *(f"--extra={extra}" for extra in EXTRAS), "--python", base_python()],
        # This Python: uv must not download another one.
        env={"UV_PYTHON_DOWNLOADS": "never", "UV_PROJECT_ENVIRONMENT": str(venv)},
        remedy="check that uv reaches a package index (UV_DEFAULT_INDEX), then run the same command again",
    ):
        yield True
    write_whole(stamp, key.hexdigest())


def pulumi_is_ready(venv: Path = VENV) -> bool:
    stamp = venv / ".set-up-pulumi"
    if not stamp.exists() or not (venv / "bin/pulumi").exists():
        return False
    made_from, _, cli_path = stamp.read_text().partition("\n")
    return made_from == _pulumi_key() and os.access(cli_path, os.X_OK)


def install_pulumi(cli: PulumiCli, venv: Path = VENV) -> None:
    write_whole(venv / "bin/pulumi", wrapper_text(cli), mode=0o755)
    write_whole(venv / ".set-up-pulumi", f"{_pulumi_key()}\n{cli.path}")


def _pulumi_key() -> str:
    # Identifies a Pulumi by size and time, because running it for its version takes 0.3 s.
    key = hashlib.sha256(f"{pulumi_cli.VERSION} {ROOT} {pulumi_cli.expected_build()}".encode())
    key.update(TEMPLATE.read_bytes())
    for path in pulumi_cli.on_path():
        status = path.stat()
        key.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return key.hexdigest()


def provide_plugins(stack: str, *, root: Path = ROOT) -> bool:
    """Install the providers of `stack` next to our build of Pulumi. Return whether any was missing. Raises SetupError.

    Does nothing for the official CLI, which downloads providers itself.
    """
    if not _built(root / ".venv"):
        return False
    done = [
        _link_plugin(root / f".tools/plugins/resource-{package}-v{parts.PROVIDER}" / parts.PLUGIN, parts.provider())
        for kind, package, parts in PROVIDERS
        if asks_for(kind, stack, root=root)
    ]
    return any(done)


def _link_plugin(link: Path, plugin: Path) -> bool:
    if link.is_symlink() and link.readlink() == plugin:
        return False
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(plugin)
    return True


def asks_for(kind: str, stack: str, *, root: Path = ROOT) -> bool:
    # Set-up may run before there is a parser of YAML. A comment begins with # after a space.
    file, found = root / f"Pulumi.{stack}.yaml", rf"""^(?:[^#\n]|(?<=\S)#)*\bkind["']?\s*:\s*["']?{kind}(?![\w-])"""
    return file.exists() and bool(re.search(found, file.read_text(), re.MULTILINE))


def provide_cloud(kind: str, stack: str, *, deploys: bool) -> None:
    """Provide Pulumi's provider for a cloud if there are credentials, otherwise the stand-in, and print which one.

    Raises SetupError for a deployment without credentials.
    """
    cloud, python = CLOUDS[kind], VENV / "bin/python"
    ask = [str(python), "-m", f"tools.standin.{kind}.credentials"]
    found = subprocess.run(
        ask, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ).stdout
    try:
        chosen = choice.choose(found.strip())
    except choice.UnknownModeError as error:
        raise SetupError(f"the provider for {cloud.name}", f"  {error}", f"set or unset {choice.VARIABLE}") from error
    if not chosen.standin:
        choice.remove(TOOLS / "bin", cloud.package)
        say(f"- {stack} runs on Pulumi's own {cloud.name} provider: {chosen.reason}")
        if _built(VENV):
            run_step(
                f"Pulumi's {cloud.name} provider {cloud.version}",
                [VENV / "bin/pulumi", "plugin", "install", "resource", cloud.package, cloud.version],
                remedy=f"check that this machine reaches get.pulumi.com, or set {choice.VARIABLE}=preview",
            )
        return
    if deploys and not chosen.may_deploy:
        raise SetupError(
            f"make up STACK={stack}",
            f"  {chosen.reason}, and the stand-in for {cloud.name} deploys nothing",
            f"configure credentials ({cloud.credentials}); or only preview: make preview STACK={stack}",
        )
    choice.write_shim(TOOLS / "bin", cloud.package, cloud.version, clone=ROOT, python=python)
    say(f"- {stack} runs on the STAND-IN for {cloud.name}: {chosen.reason}. It checks inputs and reaches no account")


def _built(venv: Path) -> bool:
    return (venv / ".set-up-pulumi").read_text().partition("\n")[2] == str(pulumi_cli.expected_build())


def wrapper_text(cli: PulumiCli, clone: Path = ROOT) -> str:
    text = TEMPLATE.read_text()
    for mark, value in (("@CLONE@", str(clone)), ("@CLI@", str(cli.path)), ("@BUILT@", "yes" if cli.built else "no")):
        text = text.replace(mark, shlex.quote(value))
    return text


def base_python() -> str:
    # Not the environment's Python, because the environment may be deleted.
    base: str | None = getattr(sys, "_base_executable", None)
    return base or sys.executable


def _uv_version(uv: Path) -> tuple[int, ...]:
    # An empty tuple, which is less than any version, if uv does not run.
    try:
        done = subprocess.run([uv, "--version"], check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError:
        return ()
    return _numbers(done.stdout)


def _numbers(version: str) -> tuple[int, ...]:
    found = re.search(r"\d+(\.\d+)+", version)
    return tuple(int(number) for number in found[0].split(".")) if found else ()
