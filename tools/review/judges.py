"""Files that decide how a pull request is judged. The review's comment reports changes to them first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

# Rules, previews, and what they run. Names that end with / are folders.
JUDGES = (
    *("policies/", "tools/", ".github/", ".ci/"),
    *("CODEOWNERS", "docs/CODEOWNERS", "Makefile", "Pulumi.yaml", "pyproject.toml", "uv.lock", "uv.toml"),
    "docs/settings.md",
)
# Reported in place of the files that GitHub does not list.
MORE = "more files than GitHub lists"


def judges(paths: Iterable[str]) -> dict[str, int]:
    found = Counter(part for path in set(paths) for part in _parts(path))
    return {part: found[part] for part in (*JUDGES, MORE) if found[part]}


def _parts(path: str) -> list[str]:
    return [one for one in (*JUDGES, MORE) if path == one or (one.endswith("/") and path.startswith(one))]
