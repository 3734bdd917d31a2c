"""How long a rotation takes by store and target, whether a reader failed, and when every replica has the new one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bench.measured import ROOT, Measured, PartMissingError, RunFailedError
from bench.page import spread, table

ROWS: Mapping[str, tuple[str, str, str]] = {
    "test_folder[mosquitto]": ("mqtt", "a folder", "mosquitto"),
    "test_folder[coreflux]": ("mqtt", "a folder", "the embedded broker"),
    "test_kubernetes": ("mqtt", "Secrets of a real API server", "mosquitto"),
    "test_cloud[aws]": ("mqtt", "Secrets Manager (a stand-in)", "mosquitto"),
    "test_cloud[azure]": ("mqtt", "Key Vault (a stand-in)", "mosquitto"),
    "test_cloud[vault]": ("mqtt", "OpenBao", "mosquitto"),
    "test_agent_key": ("agent-key", "a folder", "DigitalOcean's API (a stand-in)"),
    "test_client_certificate": ("client-cert", "a folder", "the stack's own CA, mosquitto"),
}
"""Of bench/rotations.py: what is rotated, where it is kept and what takes it."""

REPLICAS = "test_replicas"

Figures = Mapping[str, Any]


@dataclass
class _Listening:
    """pytest's side of it: what each test has told, and why one has told nothing."""

    say: Callable[[str], None]
    told: dict[str, Figures] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.rpartition("::")[2]
        if report.skipped:
            self.missing[name] = str(report.longrepr)
        if report.failed:
            self.failed.append(report.longreprtext)
        if report.when == "call" and report.passed:
            self.say(name.removeprefix("test_").replace("_", " "))
            self.told[name] = dict(report.user_properties)


def measure(folder: Path, say: Callable[[str], None]) -> Measured:
    """All of bench/rotations.py. Raises PartMissingError, RunFailedError."""
    listening = _Listening(say)
    plugins = ("tests.conftest", "tests.gates.conftest", "no:cacheprovider", "no:terminal", "no:xdist")
    options = ["-oaddopts=", f"--rootdir={ROOT}", f"--basetemp={folder / 'pytest'}", *(f"-p{name}" for name in plugins)]
    code = pytest.main([*options, str(ROOT / "bench" / "rotations.py")], plugins=[listening])
    for name, why in listening.missing.items():
        raise PartMissingError(f"{name}: {why}")
    if code != pytest.ExitCode.OK:
        raise RunFailedError("\n".join([f"bench/rotations.py under pytest ended with {code}", *listening.failed]))
    told = listening.told
    parts = [table(list(rows(told))), in_words(told)]
    return Measured("\n\n".join(parts), broken_promises(told))


def rows(told: Mapping[str, Figures]) -> Iterator[tuple[str, ...]]:
    yield "secret", "kept in", "taken by", "a rotation", "logins meanwhile", "of them failed"
    for name, words in ROWS.items():
        figures = told[name]
        logins = f"{figures['connects']:,}" if "connects" in figures else "–"
        failed = f"**{figures['failed']}**" if "failed" in figures else "–"
        yield (*words, spread(figures["seconds"], "s", 2), logins, failed)


def in_words(told: Mapping[str, Figures]) -> str:
    replicas = told[REPLICAS]
    return (
        f"Three servers on the folder's store are all on the new version {spread(replicas['seconds'], 's', 2)} after "
        f"`secretops rotate mqtt` began, {spread(replicas['after'], 's', 2)} after readers could find it."
    )


def broken_promises(told: Mapping[str, Figures]) -> list[str]:
    failed = sum(figures.get("failed", 0) for figures in told.values())
    return [f"{failed} logins of readers failed"] if failed else []
