"""Build dist/lambda.zip from secretops and its packages, pinned by the hashes of uv.lock.

Run `make lambda` in the clone, or `python -m coreflux_mcp_secrets.aws.lambda_package` for your own program. The build
is reproducible: entries are sorted, have the same time and mode, and contain no bytecode. The zip contains boto3
although the runtime has it, as AWS recommends:
https://docs.aws.amazon.com/lambda/latest/dg/python-package.html#python-package-dependencies
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import secretops
from secretops.registry import PLATFORMS

# Python version of the functions' runtime.
PYTHON = "3.13"

# Architecture of the functions. `arm64` works, too; the tests run on x86_64.
ARCHITECTURE = "x86_64"

# Architecture -> uv's name of the platform. The runtime is Amazon Linux 2023, which has glibc 2.34.
TARGETS = {"x86_64": "x86_64-manylinux_2_28", "arm64": "aarch64-manylinux_2_28"}

# Maximum size in bytes; more than half is cryptography's library. Lambda accepts 50 MB; a lower limit detects mistakes.
LARGEST = 10_000_000

# The packages that the function imports. A test runs the function with these alone.
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

_NAMES = tuple(f'name = "{name}"\n' for name in PACKAGES)

# The services, out of botocore's 400, that the function calls.
SERVICES = ("acm-pca", "dynamodb", "secretsmanager")

# The parts of secretops that no function imports.
LEFT_OUT = (
    "broker",
    "check.py",
    "cli",
    "launcher",
    "operations/compromise",
    "operations/doctor.py",
    "platforms/aws/checks",
    "platforms/aws/source.py",
    "platforms/aws/trail.py",
    "report",
    "trails.py",
    *(f"platforms/{kind}" for kind in PLATFORMS if kind != "aws"),
)

_HERE = Path(__file__).resolve().parents[2]

# True in the clone. Otherwise the package is built for the program in the current folder.
CLONE = (_HERE / "Pulumi.yaml").is_file()

COMMAND = "make lambda" if CLONE else f"{shlex.quote(sys.executable)} -m {__package__}.lambda_package"

ZIP = (_HERE if CLONE else Path.cwd()) / "dist/lambda.zip"

# Records the digests of the zip and of its sources.
RECORD = ZIP.with_suffix(".json")

SOURCES = Path(secretops.__file__).parents[1]
LOCK = (_HERE if CLONE else Path(__file__).resolve().parents[1]) / "uv.lock"


class BuildError(Exception): ...


def is_current() -> bool:
    """Return whether dist/lambda.zip was built from this uv.lock and these sources."""
    try:
        record = json.loads(RECORD.read_text())
        return bool(record == {"made_from": made_from(), "sha256": _sha256(ZIP.read_bytes())})
    except (OSError, ValueError):
        return False


def made_from() -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    digest.update(_locked().encode())
    for name, path in _ours():
        digest.update(f"{name} {_sha256(path.read_bytes())}\n".encode())
    return digest.hexdigest()


def build(target: Path, *, python: str = PYTHON, architecture: str = ARCHITECTURE) -> None:
    """Write the zip to `target` atomically. Raises BuildError."""
    with tempfile.TemporaryDirectory() as folder:
        installed = Path(folder) / "installed"
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(_requirements())
        print(f"- the packages of the Lambda function, python{python} on {architecture}", flush=True)  # noqa: T201
        _install(
            "--python-version", python, "--python-platform", TARGETS[architecture],
            "--target", str(installed), "--requirement", str(requirements),
        )  # fmt: skip
        entries = sorted([*_theirs(installed), *_ours()])
        new = Path(folder) / "lambda.zip"
        with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name, path in entries:
                entry = zipfile.ZipInfo(name)  # dated 1980-01-01
                entry.create_system, entry.external_attr = 3, 0o100644 << 16  # a plain file, readable by all
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())
        size = new.stat().st_size
        if size > LARGEST:
            raise BuildError(
                f"{target.name}: {size:,} bytes, more than {LARGEST:,}\nremedy: reduce PACKAGES or SERVICES"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".new")
        shutil.copyfile(new, part)
        part.replace(target)
        print(f"- {target.name}: {len(entries)} files, {size / 1e6:.1f} MB", flush=True)  # noqa: T201


def _install(*options: str) -> None:
    uv = str(_HERE / ".tools/bin/uv") if CLONE else "uv"
    command = [uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", *options]
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_LINK_MODE": "copy"}
    remedy = f"check that uv is installed and reaches a package index (UV_DEFAULT_INDEX), and run {COMMAND} again"
    try:
        done = subprocess.run(
            command,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except OSError as error:
        raise BuildError(f"{uv}: {error.strerror}\nremedy: {remedy}") from error
    if done.returncode:
        last = "\n".join(f"  {line}" for line in done.stdout.splitlines()[-15:])
        raise BuildError(f"uv pip install: exit code {done.returncode}\n{last}\nremedy: {remedy}")


def _locked() -> str:
    return "".join(f"[[package]]\n{one}" for one in LOCK.read_text().split("[[package]]\n") if one.startswith(_NAMES))


def _requirements() -> str:
    found = {
        one["name"]: " ".join(
            [f"{one['name']}=={one['version']}", *(f"--hash={each['hash']}" for each in one["wheels"])]
        )
        for one in tomllib.loads(_locked()).get("package", ())
    }
    if missing := sorted({*PACKAGES} - found.keys()):
        raise BuildError(f"uv.lock: it has no {', '.join(missing)}\nremedy: correct PACKAGES in {__file__}")
    return "\n".join(found.values()) + "\n"


def _theirs(installed: Path) -> Iterator[tuple[str, Path]]:
    for path in installed.rglob("*"):
        name = path.relative_to(installed)
        top = name.parts[0]
        unneeded = (
            top in ("bin", ".lock", "cffi")  # only cffi's library is imported
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
    """Build dist/lambda.zip unless it is current. Return the exit code."""
    if is_current():
        print(f"- dist/{ZIP.name} is current")  # noqa: T201
        return 0
    made = made_from()
    try:
        build(ZIP)
    except BuildError as error:
        print(f"{COMMAND}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    # Written last: without it the zip is not current.
    RECORD.write_text(json.dumps({"made_from": made, "sha256": _sha256(ZIP.read_bytes())}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
