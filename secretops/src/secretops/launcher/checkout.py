"""Where the upstream server's source is: named, beside the project, or cloned at one commit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from secretops.errors import SecretopsError, UsageError

UPSTREAM_REPOSITORY = "https://github.com/CorefluxCommunity/Coreflux-MQTT-MCP-Server"
UPSTREAM_COMMIT = "0b3cf8d872d8fec54352a2b590eaa8fa68531349"
"""HEAD of UPSTREAM_REPOSITORY on 2025-08-01. The launcher replaces functions of this server.py by name."""

_FETCH_SECONDS = 300


@dataclass(frozen=True)
class Checkout:
    """A folder with upstream's server.py, and how it was chosen."""

    folder: Path
    origin: str


def find_server() -> Checkout:
    """The server's source: COREFLUX_SERVER_DIR, ../shared/upstream beside the project, or a clone in the cache.

    Raises UsageError when COREFLUX_SERVER_DIR has none, SecretopsError when it can't be had anywhere.
    """
    if named := os.environ.get("COREFLUX_SERVER_DIR"):
        folder = Path(named).expanduser().resolve()
        if not _has_server(folder):
            raise UsageError(
                f"COREFLUX_SERVER_DIR={named}",
                rule="it names a folder with the upstream server's server.py",
                remedy=f"clone {UPSTREAM_REPOSITORY} there, or unset it",
            )
        return Checkout(folder, "COREFLUX_SERVER_DIR")
    if project := _project():
        folder = project.parent / "shared" / "upstream" / "coreflux-mcp-server"
        if _has_server(folder):
            return Checkout(folder, "found beside the project")
    folder = _cache() / f"server-{UPSTREAM_COMMIT}"
    if folder.exists():
        check_commit(folder, UPSTREAM_COMMIT)
        return Checkout(folder, f"cloned before, commit {UPSTREAM_COMMIT[:12]}")
    clone(UPSTREAM_REPOSITORY, UPSTREAM_COMMIT, folder)
    return Checkout(folder, f"cloned from {UPSTREAM_REPOSITORY}, commit {UPSTREAM_COMMIT[:12]}")


def clone(repository: str, commit: str, folder: Path) -> None:
    """Put the files of `commit` at `folder`, which appears complete or not at all. Raises SecretopsError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        _git(made, "init", "--quiet")
        _git(made, "fetch", "--quiet", "--depth", "1", repository, commit)
        _git(made, "checkout", "--quiet", "--detach", commit)
        check_commit(made, commit)
        made.rename(folder)
    except OSError:
        if not folder.exists():  # another start was quicker: its clone is as good
            raise
    except SecretopsError as error:
        raise SecretopsError(
            f"The upstream server could not be cloned from {repository}.\n{error.what}",
            rule=f"`secretops run` runs the unmodified server of commit {commit}",
            remedy="do one of these three: name a folder that has its server.py, by `source` in section `server` of "
            "the stack file (kind local; then pulumi up) or by COREFLUX_SERVER_DIR; "
            "put it at ../shared/upstream/coreflux-mcp-server beside the project; "
            "or install git and let this machine reach the repository",
        ) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def check_commit(folder: Path, commit: str) -> None:
    """Raises SecretopsError unless `folder` is a clone at exactly `commit` with nothing changed or added."""
    try:
        unmodified = _git(folder, "rev-parse", "HEAD") == commit and not _git(
            folder, "status", "--porcelain", "--ignored"
        )
        reason = f"differs from commit {commit}"
    except SecretopsError as error:
        unmodified, reason = False, error.what
    if not unmodified:
        raise SecretopsError(
            f"{folder}: {reason}",
            rule="the server is run unmodified",
            remedy="remove that folder; it is cloned again",
        )


def _git(folder: Path, *arguments: str) -> str:
    # A hook's GIT_DIR and the like would point git at the caller's repository.
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=environment | {"GIT_TERMINAL_PROMPT": "0", "GIT_CEILING_DIRECTORIES": str(folder.parent)},
            stdin=subprocess.DEVNULL,  # standard input is the MCP client's
            capture_output=True,
            text=True,
            timeout=_FETCH_SECONDS,
            check=True,
        )
    except FileNotFoundError as error:
        raise SecretopsError("git is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise SecretopsError(f"git {arguments[0]} took more than {_FETCH_SECONDS} s") from error
    except subprocess.CalledProcessError as error:
        raise SecretopsError(f"git {arguments[0]}: {error.stderr.strip()}") from error
    return done.stdout.strip()


def _project() -> Path | None:
    """The project that this secretops is installed in. Not one around the current folder: an MCP client starts us
    anywhere, and a stranger's checkout must not choose the code that is given the credential.
    """
    start = Path(sys.prefix)
    return next((folder for folder in (start, *start.parents) if (folder / "Pulumi.yaml").is_file()), None)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coreflux-mcp-secrets"


def _has_server(folder: Path) -> bool:
    return (folder / "server.py").is_file()
