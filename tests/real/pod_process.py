"""Run a container's process in its own root file system, with its securityContext. Needs root.

The root file system has the system's programs, Python, this clone and the server, all read-only. It has no home,
kubeconfig or state. This proves nothing about the image, its network, seccomp filters, and limits of memory or CPU.
"""

import os
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
USER = 10001  # The image's default user.
PROGRAMS = (REPOSITORY, Path(sys.prefix), Path(sys.base_prefix))  # Replaces the image, at its path.
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64")
# Files of /etc that a minimal image has.
SETTINGS = ("hosts", "ld.so.cache", "localtime", "nsswitch.conf", "passwd", "resolv.conf", "ssl")

TOOLS = ("unshare", "mount", "chroot", "setpriv")


@dataclass(frozen=True)
class Mount:
    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True)
class Container:
    """A command, its user, and its mounts."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    mounts: Sequence[Mount]
    log: Path
    user: int = USER
    groups: Sequence[int] = ()


def check_possible() -> None:
    """Skip the test if a container cannot be made, or its user cannot read the clone."""
    if os.geteuid() != 0 or any(shutil.which(tool) is None for tool in TOOLS):
        pytest.skip(f"a pod is run by root with {', '.join(TOOLS)}")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a pod is run in a mount namespace, which can't be made here")
    for path in PROGRAMS:
        if not path.stat().st_mode & stat.S_IROTH:
            pytest.skip(f"a pod is not root, and {path} is for its owner alone: chmod -R o+rX {path}")


def run(container: Container, root: Path) -> subprocess.Popen[bytes]:
    """Start the process. Its mounts end with it."""
    root.mkdir(parents=True, exist_ok=True)
    path = f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    unshare = [str(shutil.which("unshare")), "--mount", "--propagation=private"]
    with container.log.open("ab") as log:
        return subprocess.Popen(
            [*unshare, "/bin/sh", "-c", _script(container, root)],
            env={"PATH": path, "HOME": "/nonexistent", **container.environment},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _script(container: Container, root: Path) -> str:
    """Return the shell script. It has no secret values, because these are in mounted files."""
    words = [["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(root)], *_system(root)]
    needed = set(PROGRAMS)
    if server := container.environment.get("COREFLUX_SERVER_DIR"):
        needed.add(Path(server))
    mounts = [*(Mount(path, str(path)) for path in needed), *container.mounts]
    for mount in sorted(mounts, key=lambda mount: Path(mount.target).parts):  # nested mounts come later
        target = f"{root}/{mount.target.lstrip('/')}"
        words.append(["mkdir", "-p", target])
        words.append(["mount", "-o", "bind" if mount.writable else "bind,ro", str(mount.source), target])
    words.append(["mount", "-o", "remount,bind,ro", str(root)])
    drop = ["--pdeathsig=KILL", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
    groups = [f"--groups={','.join(map(str, container.groups))}"] if container.groups else ["--clear-groups"]
    who = [f"--reuid={container.user}", f"--regid={container.user}", *groups]
    words.append(["exec", "chroot", str(root), "setpriv", *who, *drop, "--", *container.argv])
    return "set -e\n" + "\n".join(shlex.join(line) for line in words)


def _system(root: Path) -> Iterator[list[str]]:
    for name in SYSTEM:
        if Path(name).is_symlink():
            yield ["ln", "-s", str(Path(name).readlink()), f"{root}{name}"]
        elif Path(name).exists():
            yield ["mkdir", f"{root}{name}"]
            yield ["mount", "-o", "bind,ro", name, f"{root}{name}"]
    yield ["mkdir", "-p", f"{root}/etc", f"{root}/proc", f"{root}/dev", f"{root}/run", f"{root}/var"]
    yield ["ln", "-s", "../run", f"{root}/var/run"]  # relative: nothing may lead out of the root before the chroot
    for name in SETTINGS:
        if (path := Path("/etc") / name).exists():
            yield ["cp", "-aL", str(path), f"{root}/etc/"]
    yield ["mount", "-o", "rbind", "/dev", f"{root}/dev"]
    yield ["mount", "-t", "proc", "proc", f"{root}/proc"]
