"""`python -m tools.release [TAG]`: build the files of a release in dist/release, from the checked-out commit.

They are the wheels, the package of the Lambda functions, the notes and SHA256SUMS. Builds of a commit are identical
everywhere: tools/wheels/build.txt pins the build tools, and the time in the files is the commit's
(https://reproducible-builds.org/specs/source-date-epoch/). With TAG, the version and the changelog must match it. Exit
codes: 0 built; 1 a step failed; 2 TAG cannot be released.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.clone import provide_uv
from tools.steps import ROOT, SetupError, run_step, say

FOLDER = ROOT / "dist/release"
BUILD_TOOLS = "tools/wheels/build.txt"
# Folders of the distributions coreflux-mcp-secrets and coreflux-secretops.
DISTRIBUTIONS = ("package", "secretops")
VERSIONS = ("pyproject.toml", "secretops/pyproject.toml")


def main(arguments: Sequence[str]) -> int:
    tag = arguments[0] if arguments else ""
    try:
        with tempfile.TemporaryDirectory() as folder:
            source = checkout(Path(folder))
            if found := [*problems(source, tag)]:
                sys.stderr.write("".join(f"{line}\n" for line in found))
                return 2
            built = Path(folder, "release")
            build(source, built, notes(source, tag))
            shutil.rmtree(FOLDER, ignore_errors=True)
            FOLDER.parent.mkdir(exist_ok=True)
            shutil.move(built, FOLDER)
    except SetupError as error:
        sys.stderr.write(f"release: {error}\n")
        return 1
    say(f"{(FOLDER / 'SHA256SUMS').read_text()}written: {FOLDER.relative_to(ROOT)}")
    return 0


def checkout(folder: Path) -> Path:
    """Write the files of the commit to `folder`, without those that git ignores. Raises SetupError."""
    archive = folder / "source.tar"
    run_step("git archive", ["git", "archive", "--output", archive, "HEAD"], remedy="run this in a clone")
    with tarfile.open(archive) as files:
        files.extractall(folder / "source", filter="data")
    return folder / "source"


def problems(source: Path, tag: str) -> Iterator[str]:
    """Yield each reason why the commit cannot be released as `tag`; none without a tag."""
    if not tag:
        return
    for name in VERSIONS:
        version = tomllib.loads((source / name).read_text())["project"]["version"]
        if tag != f"v{version}":
            yield f"{name}: version {version} [release-version]\n    the tag {tag} must be the letter v and the version"
            yield "    -> change the version, or delete the tag and push another tag"
    if not notes(source, tag):
        yield f"CHANGELOG.md: no section {tag.removeprefix('v')} [release-notes]"
        yield (
            f"    the section must begin with: ## [{tag.removeprefix('v')}] - YYYY-MM-DD\n"
            "    -> rename the section Unreleased"
        )


def notes(source: Path, tag: str) -> str:
    """Return the changelog's section of `tag`, or without a tag, the unreleased section. Empty if it is missing."""
    heading = re.escape(tag.removeprefix("v")) + r"\] - \d{4}-\d{2}-\d{2}" if tag else r"Unreleased\]"
    text = (source / "CHANGELOG.md").read_text()
    found = re.search(rf"^## \[{heading}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return found[1].strip() if found else ""


def build(source: Path, folder: Path, text: str) -> None:
    """Build a release from the clone `source` in the new folder `folder`, with the notes `text`. Raises SetupError."""
    folder.mkdir()
    time = run_step("git log", ["git", "log", "-1", "--format=%ct"], remedy="run this in a clone").strip()
    uv = provide_uv()
    (source / ".tools/bin").mkdir(parents=True)
    (source / ".tools/bin/uv").symlink_to(uv)  # for the Lambda package
    command: list[str | Path] = [uv, "build", "--quiet", "--wheel", "--out-dir", folder, "--no-create-gitignore"]
    pins: list[str | Path] = ["--build-constraints", source / BUILD_TOOLS, "--require-hashes"]
    for name in DISTRIBUTIONS:
        run_step(
            f"the wheel of {name}/",
            [*command, *pins, source / name],
            remedy=f"build the wheel by hand: uv build {name}",
            env={"SOURCE_DATE_EPOCH": time, "UV_PYTHON": sys.executable},
        )
    run_step(
        "the package of the Lambda functions",
        [sys.executable, "-m", "components.aws.lambda_package"],
        remedy="build the package alone, to see why: make lambda",
        cwd=source,
        env={"PYTHONPATH": f"{source}{os.pathsep}{source / 'secretops/src'}"},
    )
    for name in ("lambda.zip", "lambda.json"):
        shutil.move(source / "dist" / name, folder)
    (folder / "notes.md").write_text(f"{text}\n")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.iterdir())]
    (folder / "SHA256SUMS").write_text("".join(lines))


if __name__ == "__main__":
    os.umask(0o022)  # the modes of unpacked files are those in the wheels
    sys.exit(main(sys.argv[1:]))
