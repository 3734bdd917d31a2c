"""Find the upstream server's source: in a folder that COREFLUX_SERVER_DIR names, or cloned at one commit."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from secretops.errors import SecretopsError, UsageError

UPSTREAM_REPOSITORY = "https://github.com/CorefluxCommunity/Coreflux-MQTT-MCP-Server"
# HEAD of UPSTREAM_REPOSITORY on 2025-08-01. The launcher replaces functions of this server.py by name.
UPSTREAM_COMMIT = "0b3cf8d872d8fec54352a2b590eaa8fa68531349"

# The server's modules, and the SHA-256 of their concatenated contents at UPSTREAM_COMMIT.
UPSTREAM_MODULES = ("config_validator.py", "enhanced_logging.py", "message_processor.py", "parser.py", "server.py")
UPSTREAM_DIGEST = "386d57528af5b15ac4b91000136a637b0c7083ae949b8b53fd0574dedfae3ec7"

# The files that Python runs: it prefers a .pyc to its .py.
_CODE = ("*.py", "__pycache__", "__pycache__/*")

_FETCH_SECONDS = 300

log = logging.getLogger(__name__)


def find_server() -> Path:
    """Return the folder with the server's source: COREFLUX_SERVER_DIR, or a clone in the cache.

    Its code receives the broker's credentials, so it comes from nowhere else. Warns about a folder that is not at the
    tested commit. Raises UsageError when COREFLUX_SERVER_DIR has no server or others may change it, SecretopsError
    when it cannot be cloned.
    """
    origin = f"commit {UPSTREAM_COMMIT[:12]}"
    if named := os.environ.get("COREFLUX_SERVER_DIR"):
        folder, origin = Path(named).expanduser().resolve(), "COREFLUX_SERVER_DIR"
        _check_folder(folder, named)
    elif (folder := _cache() / f"server-{UPSTREAM_COMMIT}").exists():
        check_commit(folder, UPSTREAM_COMMIT)
    else:
        clone(UPSTREAM_REPOSITORY, UPSTREAM_COMMIT, folder)
    log.info("The server is %s (%s).", folder, origin)
    return folder


def _check_folder(folder: Path, named: str) -> None:
    if not (folder / "server.py").is_file():
        raise UsageError(
            f"COREFLUX_SERVER_DIR={named}",
            rule="it names a folder with the upstream server's server.py",
            remedy=f"clone {UPSTREAM_REPOSITORY} there, or unset it",
        )
    for path in (folder, *(path for pattern in _CODE for path in sorted(folder.glob(pattern)))):
        _check_owner(path)
    if _digest(folder) != UPSTREAM_DIGEST:
        log.warning(
            "The server in %s is not the tested one: it is at commit %s, and commit %s is tested.",
            folder,
            _commit_of(folder) or "(unknown)",
            UPSTREAM_COMMIT,
        )


def clone(repository: str, commit: str, folder: Path) -> None:
    """Put the files of `commit` at `folder`, all or none. Raises SecretopsError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        _git(made, "init", "--quiet")
        _git(made, "fetch", "--quiet", "--depth", "1", repository, commit)
        _git(made, "checkout", "--quiet", "--detach", commit)
        check_commit(made, commit)
        made.rename(folder)
    except OSError:
        if not folder.exists():  # another start has cloned it
            raise
    except SecretopsError as error:
        raise SecretopsError(
            f"The upstream server could not be cloned from {repository}.\n{error.what}",
            rule=f"`secretops run` runs the unmodified server of commit {commit}",
            remedy="name a folder that has its server.py, by `source` in section `server` of "
            "the stack file (kind local; then pulumi up) or by COREFLUX_SERVER_DIR; "
            "or install git and let this machine reach the repository",
        ) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def check_commit(folder: Path, commit: str) -> None:
    """Raise SecretopsError unless `folder` is a clone at exactly `commit`, without changes or further files."""
    try:
        if _git(folder, "rev-parse", "HEAD") == commit and not _git(folder, "status", "--porcelain", "--ignored"):
            return
        reason = f"differs from commit {commit}"
    except SecretopsError as error:
        reason = error.what
    raise SecretopsError(
        f"{folder}: {reason}", rule="the server is run unmodified", remedy="remove that folder; it is cloned again"
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


def _check_owner(path: Path) -> None:
    """Raise UsageError unless only this user and root may change `path`."""
    found = path.stat()
    if found.st_uid not in {0, os.getuid()}:
        what, remedy = f"belongs to user {found.st_uid}", f"chown {os.getuid()} {path}"
    elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        what, remedy = f"has mode {stat.S_IMODE(found.st_mode):o}", f"chmod go-w {path}"
    else:
        return
    raise UsageError(
        f"{path} {what}",
        rule="the server's code is given the broker's credentials: only you or root may be able to change it",
        remedy=remedy,
    )


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in UPSTREAM_MODULES:
        path = folder / name
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def _commit_of(folder: Path) -> str:
    """Return the commit of a clone, or "". Does not run git, which runs commands of a folder's configuration."""
    try:
        head = (folder / ".git" / "HEAD").read_text().strip()
        return (folder / ".git" / head.removeprefix("ref: ")).read_text().strip() if " " in head else head
    except (OSError, ValueError):
        return ""


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coreflux-mcp-secrets"
