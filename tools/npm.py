"""A file of an npm package, verified by its checksum. No code of the package is run."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tools.steps import SetupError, run_step

REMEDY = "check npm's registry and this machine's network"


@dataclass(frozen=True, kw_only=True)
class PackedFile:
    """A file in a version of a package."""

    words: str
    # Package and version, as `name@version`.
    package: str
    member: str
    sha256: str

    def is_at(self, path: Path) -> bool:
        return path.is_file() and _checksum(path.read_bytes()) == self.sha256

    def fetch(self, to: Path, npm: str) -> None:
        step = f"{self.words}, of npm (for the full tests)"
        with tempfile.TemporaryDirectory() as folder:
            run_step(step, [npm, "pack", self.package, "--silent", "--pack-destination", folder], remedy=REMEDY)
            try:
                (package,) = Path(folder).glob("*.tgz")
                with tarfile.open(package) as archive:
                    member = archive.extractfile(self.member)
                    content = member.read() if member else b""
            except (ValueError, KeyError, tarfile.TarError, OSError) as error:
                problem = f"  {self.package} is not a package with {self.member}: {error}"
                raise SetupError(step, problem, REMEDY) from error
        if _checksum(content) != self.sha256:
            problem = f"  {self.package} holds another {self.member}"
            raise SetupError(step, problem, "find out what changed before you change the checksum")
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(content)


def find(what: str) -> str:
    npm = shutil.which("npm")
    if npm is None:
        remedy = "install Node.js 20 or newer with npm, or unset CI to skip these tests"
        raise SetupError(f"parts for the tests of {what}", "  there is no npm", remedy)
    return npm


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
