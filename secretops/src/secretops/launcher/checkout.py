"""Find the upstream server's source: COREFLUX_SERVER_DIR, or a clone at a fixed commit."""

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
from secretops.owned_files import OTHERS_WRITE

UPSTREAM_REPOSITORY = "https://github.com/CorefluxCommunity/Coreflux-MQTT-MCP-Server"
# HEAD of UPSTREAM_REPOSITORY on 2025-08-01. The launcher replaces functions of this server.py by name.
UPSTREAM_COMMIT = "0b3cf8d872d8fec54352a2b590eaa8fa68531349"

# The server's modules, and the SHA-256 of their concatenated contents at UPSTREAM_COMMIT.
UPSTREAM_MODULES = ("config_validator.py", "enhanced_logging.py", "message_processor.py", "parser.py", "server.py")
UPSTREAM_DIGEST = "386d57528af5b15ac4b91000136a637b0c7083ae949b8b53fd0574dedfae3ec7"

# Files that Python runs: it prefers a .pyc to its .py.
_CODE = ("*.py", "__pycache__", "__pycache__/*")

_FETCH_SECONDS = 300

log = logging.getLogger(__name__)


def find_server() -> Path:
    """Return the folder of the upstream server's source. Logs a warning if its commit is not the tested one.

    Raises UsageError if COREFLUX_SERVER_DIR has no server or others can change it, and SecretopsError if a clone fails.
    """
    origin = f"commit {UPSTREAM_COMMIT[:12]}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coreflux-mcp-secrets"
    if named := os.environ.get("COREFLUX_SERVER_DIR"):
        folder, origin = Path(named).expanduser().resolve(), "COREFLUX_SERVER_DIR"
        _check_folder(folder, named)
    elif (folder := cache / f"server-{UPSTREAM_COMMIT}").exists():
        _check_commit(folder)
    else:
        _clone(folder)
    log.info("The server is %s (%s).", folder, origin)
    return folder


def _check_folder(folder: Path, named: str) -> None:
    if not (folder / "server.py").is_file():
        raise UsageError(
            f"COREFLUX_SERVER_DIR={named} has no server.py",
            rule="COREFLUX_SERVER_DIR must be a folder with the upstream server",
            remedy=f"set COREFLUX_SERVER_DIR to a clone of {UPSTREAM_REPOSITORY}; or unset the variable: secretops "
            "run then clones the server",
            code="server-missing",
        )
    for path in (folder, *(path for pattern in _CODE for path in sorted(folder.glob(pattern)))):
        _check_owner(path)
    digest = hashlib.sha256()
    for path in (folder / name for name in UPSTREAM_MODULES):
        digest.update(path.read_bytes() if path.is_file() else b"")
    if digest.hexdigest() != UPSTREAM_DIGEST:
        log.warning("The server in %s is not the tested commit %s.", folder, UPSTREAM_COMMIT)


def _clone(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        _git(made, "init", "--quiet")
        _git(made, "fetch", "--quiet", "--depth", "1", UPSTREAM_REPOSITORY, UPSTREAM_COMMIT)
        _git(made, "checkout", "--quiet", "--detach", UPSTREAM_COMMIT)
        _check_commit(made)
        made.rename(folder)
    except OSError:
        if not folder.exists():  # another process has cloned it
            raise
    except SecretopsError as error:
        raise SecretopsError(
            f"cannot clone the upstream server from {UPSTREAM_REPOSITORY}: {error.what}",
            rule=f"secretops run requires the unmodified server of commit {UPSTREAM_COMMIT}",
            remedy="install git and allow access to the repository; or set COREFLUX_SERVER_DIR, or `source` in section "
            "`server` of the stack file (kind local), to a folder with server.py",
            code="server-clone-failed",
        ) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _check_commit(folder: Path) -> None:
    try:
        if _git(folder, "rev-parse", "HEAD") == UPSTREAM_COMMIT and not _git(
            folder, "status", "--porcelain", "--ignored"
        ):
            return
        reason = f"differs from commit {UPSTREAM_COMMIT}"
    except SecretopsError as error:
        reason = error.what
    raise SecretopsError(
        f"{folder}: {reason}",
        rule="the upstream server must not be modified",
        remedy=f"rm -r {folder}; the next start clones it again",
        code="server-modified",
    )


def _git(folder: Path, *arguments: str) -> str:
    # GIT_DIR and similar variables of a hook would make git use the caller's repository.
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
        raise SecretopsError("git is not installed", code="git-missing") from error
    except subprocess.TimeoutExpired as error:
        raise SecretopsError(f"git {arguments[0]} took more than {_FETCH_SECONDS} s", code="git-timeout") from error
    except subprocess.CalledProcessError as error:
        raise SecretopsError(f"git {arguments[0]}: {error.stderr.strip()}", code="git-failed") from error
    return done.stdout.strip()


def _check_owner(path: Path) -> None:
    found, rule = (
        path.stat(),
        "the server's code receives the broker's credentials, so only you or root may be able to change the code",
    )
    if found.st_uid not in {0, os.getuid()}:
        what, remedy = f"{path} belongs to user {found.st_uid}", f"chown {os.getuid()} {path}"
        raise UsageError(what, rule=rule, remedy=remedy, code="server-foreign-owner")
    if found.st_mode & OTHERS_WRITE:
        what, remedy = f"{path} has mode {stat.S_IMODE(found.st_mode):o}", f"chmod go-w {path}"
        raise UsageError(what, rule=rule, remedy=remedy, code="server-writable-by-others")
