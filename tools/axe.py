"""Download axe-core, an accessibility checker from npm (MPL-2.0), for the report's test."""

from __future__ import annotations

from pathlib import Path

from tools import npm
from tools.steps import TOOLS

FILE = npm.PackedFile(
    words="axe-core",
    package="axe-core@4.14.1",
    member="package/axe.min.js",
    sha256="29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c",
)


def script() -> Path:
    return TOOLS / "axe/axe.min.js"


def provide() -> None:
    if not FILE.is_at(script()):
        FILE.fetch(script(), npm.find("the report"))


if __name__ == "__main__":
    provide()
