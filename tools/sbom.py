"""`python -m tools.sbom IMAGE`: write dist/sbom.cdx.json, the contents of an image (CycloneDX 1.5).

Python packages come from uv's export of uv.lock, with hashes (https://docs.astral.sh/uv/concepts/projects/export/),
Debian packages from dpkg in the image, and the upstream server from its commit. The container has no network.

Exit codes: 0 written; 1 a step failed.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from secretops.launcher.checkout import UPSTREAM_COMMIT, UPSTREAM_REPOSITORY
from tools.clone import provide_uv
from tools.steps import ROOT, SetupError, run_step

WRITTEN = ROOT / "dist" / "sbom.cdx.json"

# As installed by the Dockerfile.
DISTRIBUTION = "coreflux-secretops"
EXTRAS = ("cli", "server", "kubernetes", "aws", "azure", "swarm", "vault")

# Program whose output in the container is one JSON object.
SCRIPT = """
import json, platform, subprocess
from importlib.metadata import distributions
listing = ["dpkg-query", "-W", "-f=${Package} ${Version} ${Architecture}\\n"]
listed = subprocess.run(listing, capture_output=True, text=True, check=True)
release = platform.freedesktop_os_release()
print(json.dumps({
    "packages": {one.name: one.version for one in distributions()},
    "debian": [line.split() for line in listed.stdout.splitlines()],
    "distro": release["ID"], "release": release.get("VERSION_ID", ""), "python": platform.python_version(),
}))
"""


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m tools.sbom IMAGE, the name of an image that make image built\n")
        return 1
    try:
        made = document(arguments[0], docker=os.environ.get("DOCKER", "docker"))
    except SetupError as error:
        sys.stderr.write(f"sbom: {error}\n")
        return 1
    WRITTEN.parent.mkdir(exist_ok=True)
    WRITTEN.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")
    print(f"written: {WRITTEN.relative_to(ROOT)}, {len(made['components'])} components")
    return 0


def document(image: str, *, docker: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    remedy = f"build the image first: make image TAG={image}"
    run = [docker, "run", "--rm", "--network", "none", "--read-only", "--entrypoint", "/opt/secretops/bin/python"]
    printed = run_step(f"list the contents of {image}", [*run, image, "-c", SCRIPT], remedy=remedy, env=env)
    found = json.loads(printed.splitlines()[-1])  # docker may print a warning before the JSON
    digest = run_step(f"read the id of {image}", [docker, "inspect", "-f", "{{.Id}}", image], remedy=remedy, env=env)
    made: dict[str, Any] = json.loads(_export())
    made["components"] = [*_python(made["components"], found), *_debian(found), *_others(found)]
    made["dependencies"] = _among(made)
    made["metadata"]["component"] = {"type": "container", "name": image, "version": digest.strip(), "bom-ref": "image"}
    return made


def _export() -> str:
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    options = ("--quiet", "--frozen", "--no-dev", "--no-emit-workspace", "--package", DISTRIBUTION)
    command = [str(provide_uv()), "export", *options, *extras, "--format", "cyclonedx1.5"]
    return run_step("uv export", command, remedy="if pyproject.toml has changed: uv lock")


def _python(exported: list[dict[str, Any]], found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    installed = {
        (_normal(name), version) for name, version in found["packages"].items() if _normal(name) != DISTRIBUTION
    }
    locked = {(_normal(one["name"]), one["version"]): one for one in exported}
    if strange := sorted(name for name, version in installed - locked.keys()):
        problem = f"  uv.lock does not have the image's version of {', '.join(strange)}"
        raise SetupError("compare the image with uv.lock", problem, "make image from this clone, then make sbom")
    yield from (locked[one] for one in sorted(installed))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _debian(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    distro = f"{found['distro']}-{found['release']}"
    for name, version, architecture in found["debian"]:
        at = f"pkg:deb/{found['distro']}/{name}@{quote(version, safe='')}?arch={architecture}&distro={distro}"
        yield {"type": "library", "name": name, "version": version, "purl": at, "bom-ref": at}


def _others(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    owner, repository = UPSTREAM_REPOSITORY.split("/")[-2:]
    for kind, name, version, at in (
        ("platform", "python", found["python"], "pkg:generic/python"),
        ("application", repository, UPSTREAM_COMMIT, f"pkg:github/{owner.lower()}/{repository.lower()}"),
        ("application", "secretops", found["packages"][DISTRIBUTION], "pkg:generic/secretops"),
    ):
        yield {"type": kind, "name": name, "version": version, "purl": f"{at}@{version}", "bom-ref": name}


def _among(made: Mapping[str, Any]) -> list[dict[str, Any]]:
    there = {one["bom-ref"] for one in made["components"]}
    entries = (one for one in made.get("dependencies", []) if one["ref"] in there)
    return [{**one, "dependsOn": [ref for ref in one.get("dependsOn", []) if ref in there]} for one in entries]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
