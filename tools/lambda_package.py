"""dist/lambda.zip: secretops and what it imports in a Lambda function, by the hashes of uv.lock. `make lambda`.

The same bytes from the same lock and sources: entries sorted, one time, one mode, no bytecode (that belongs to one
minor version of Python, and whoever builds need not have the function's). boto3 comes along although the runtime has
one: AWS advises it, for the runtime's changes by itself.
https://docs.aws.amazon.com/lambda/latest/dg/python-package.html#python-package-dependencies
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tools.steps import ROOT, TOOLS, SetupError, run_step, say, write_whole

PYTHON = "3.13"
"""The function's runtime is python<this>."""

ARCHITECTURE = "x86_64"
"""The function's architecture; `arm64` is the other one. What runs here runs there, so tests can prove it."""

PLATFORMS = {"x86_64": "x86_64-manylinux_2_28", "arm64": "aarch64-manylinux_2_28"}
"""As uv names them. The runtime is Amazon Linux 2023, whose glibc is 2.34."""

LARGEST = 10_000_000
"""Bytes, more than half of them cryptography's one library. Lambda itself takes 50 MB; a limit shows at once what came
into it by mistake."""

PACKAGES = (
    "annotated-types",
    "boto3",
    "botocore",
    "cffi",
    "cryptography",
    "jmespath",
    "paho-mqtt",
    "pydantic",
    "pydantic-core",
    "python-dateutil",
    "python-dotenv",
    "s3transfer",
    "six",
    "typing-extensions",
    "typing-inspection",
    "urllib3",
)
"""What the function imports of what secretops may import: a test runs it with nothing else."""

_NAMES = tuple(f'name = "{name}"\n' for name in PACKAGES)

SERVICES = ("acm-pca", "dynamodb", "secretsmanager")
"""Of botocore's 400 services, the ones that the function speaks to."""

LEFT_OUT = (
    "broker",
    "check.py",
    "cli",
    "launcher",
    "operations/compromise",
    "operations/doctor",
    "platforms/aws/checks",
    "platforms/aws/source.py",
    "platforms/aws/trail.py",
    *(f"platforms/{other}" for other in ("azure", "dotenv", "kubernetes", "swarm", "vault")),
    "probes.py",
    "report",
    "trails",
)
"""What of secretops no function imports."""

CLONE = (ROOT / "Pulumi.yaml").is_file()
"""Whether this is the clone's; installed into another program it makes that one's package, from what is installed."""

MAKE = "make lambda" if CLONE else f"{shlex.quote(sys.executable)} -m {__package__}.lambda_package"

ZIP = (ROOT if CLONE else Path.cwd()) / "dist/lambda.zip"
NOTE = ZIP.with_suffix(".json")
"""Beside it: the digest of what it was made from, and its own."""

SOURCES = ROOT / "secretops/src" if CLONE else ROOT.parent
LOCK = ROOT / "uv.lock"
"""Where it is installed, the part of the clone's that is about PACKAGES."""


def is_current() -> bool:
    """Whether dist/lambda.zip is there and made from this lock and these sources. Takes some 10 ms, starts nothing."""
    try:
        note = json.loads(NOTE.read_text())
        return bool(note == {"made_from": made_from(), "sha256": _sha256(ZIP.read_bytes())})
    except (OSError, ValueError):
        return False


def made_from() -> str:
    """The digest of everything that decides what is in the package."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    digest.update(locked().encode())
    for name, path in _ours():
        digest.update(f"{name} {_sha256(path.read_bytes())}\n".encode())
    return digest.hexdigest()


def locked() -> str:
    """What the lock says of PACKAGES, in its own words."""
    return "".join(f"[[package]]\n{one}" for one in LOCK.read_text().split("[[package]]\n") if one.startswith(_NAMES))


def build(target: Path, *, python: str = PYTHON, architecture: str = ARCHITECTURE) -> None:
    """Make the zip. Raises SetupError, and leaves none that is half-made."""
    with tempfile.TemporaryDirectory() as folder:
        installed = Path(folder) / "installed"
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(_requirements())
        run_step(
            f"the packages of the Lambda function, python{python} on {architecture}",
            [
                TOOLS / "bin/uv" if CLONE else "uv",
                "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:",
                "--python-version", python, "--python-platform", PLATFORMS[architecture],
                "--target", installed, "--requirement", requirements,
            ],
            env={"UV_PYTHON_DOWNLOADS": "never", "UV_LINK_MODE": "copy"},
            remedy=f"check that uv is there and reaches a package index (UV_DEFAULT_INDEX), and run {MAKE} again",
        )  # fmt: skip
        entries = sorted([*_theirs(installed), *_ours()])
        new = Path(folder) / "lambda.zip"
        with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name, path in entries:
                entry = zipfile.ZipInfo(name)  # of 1980-01-01
                entry.create_system, entry.external_attr = 3, 0o100644 << 16  # a plain file that anybody may read
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())
        size = new.stat().st_size
        if size > LARGEST:
            raise SetupError(
                f"{target.name}", f"  it has {size:,} bytes", f"keep it below {LARGEST:,}: PACKAGES and SERVICES"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_suffix(".new")
        shutil.copyfile(new, beside)
        beside.replace(target)
        say(f"- {target.name}: {len(entries)} files, {size / 1e6:.1f} MB")


def _requirements() -> str:
    """A line for each of PACKAGES, with the hashes of all its wheels."""
    found = {
        one["name"]: " ".join(
            [f"{one['name']}=={one['version']}", *(f"--hash={each['hash']}" for each in one["wheels"])]
        )
        for one in tomllib.loads(locked())["package"]
    }
    if missing := sorted({*PACKAGES} - found.keys()):
        raise SetupError("the lock", f"  it has no {', '.join(missing)}", "correct PACKAGES in tools/lambda_package.py")
    return "\n".join(found.values()) + "\n"


def _theirs(installed: Path) -> Iterator[tuple[str, Path]]:
    for path in installed.rglob("*"):
        name = path.relative_to(installed)
        top = name.parts[0]
        unneeded = (
            top in ("bin", ".lock", "cffi")  # of cffi its library alone is imported
            or top.endswith(".dist-info")
            or "__pycache__" in name.parts
            or (name.match("botocore/data/*/*/*") and name.parts[2] not in SERVICES)
        )
        if path.is_file() and not unneeded:
            yield name.as_posix(), path


def _ours() -> Iterator[tuple[str, Path]]:
    package = SOURCES / "secretops"
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package)
        if not any(name.is_relative_to(folder) for folder in LEFT_OUT):
            yield path.relative_to(SOURCES).as_posix(), path


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> int:
    try:
        if is_current():
            say(f"- dist/{ZIP.name} is current")
            return 0
        made = made_from()
        build(ZIP)
    except SetupError as error:
        print(f"{MAKE}: {error}", file=sys.stderr)
        return 1
    write_whole(NOTE, json.dumps({"made_from": made, "sha256": _sha256(ZIP.read_bytes())}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
