"""Fixtures that several folders share, and the rule that a skip fails in CI."""

import gc
import os
import re
import signal
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from secretops import redaction

pytest_plugins = [
    "tests.real.mosquitto", "tests.real.embedded", "tests.real.launched", "tests.real.cluster", "tests.real.moto",
    "tests.real.azure", "tests.real.azurite", "tests.real.swarm", "tests.real.openbao",
]  # fmt: skip


# A busy machine is slow, which is no bug.
settings.register_profile("busy-machine", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy-machine")

# Marks all tests of a file as slow.
ALL_SLOW = re.compile(r"^pytestmark = (pytest\.mark\.slow|\[.*pytest\.mark\.slow.*\])$", re.MULTILINE)

# What `make test` and `make test-unit` select. Any other expression may want a slow test.
WITHOUT_SLOW = ("not slow", "not real and not slow")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # like a shell's background job; commands under test inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import a file of slow tests if the markers deselect them: imports dominate collection."""
    if config.getoption("-m") in WITHOUT_SLOW and collection_path.suffix == ".py":
        return bool(ALL_SLOW.search(collection_path.read_text())) or None
    return None


@pytest.fixture(autouse=True)
def no_value_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", redaction._Known())


@pytest.fixture(autouse=True)
def no_folding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commands print each text on one line, so that a test finds all of it."""
    monkeypatch.setenv("COLUMNS", "1000")


# Half of select(2)'s limit: paho uses it, and treats a connection from descriptor 1024 on as closed.
MOST_DESCRIPTORS = 512


@pytest.fixture(autouse=True, scope="module")
def few_descriptors() -> Iterator[None]:
    """Collect garbage, so that a module that leaves too many descriptors open fails itself, and not a later one."""
    yield
    here = Path("/proc/self/fd")  # empty where there is no /proc
    if len(list(here.glob("*"))) >= MOST_DESCRIPTORS:
        gc.collect()
        left = Counter(str(fd.readlink()).partition("[")[0] for fd in here.iterdir() if fd.is_symlink())
        assert left.total() < MOST_DESCRIPTORS, left.most_common(5)


# Skips that CI allows: start of the reason -> why.
MAY_BE_MISSING = {
    "the upstream server": "a CI elsewhere has no copy of it, and need not have a network",
    "systemd-analyze": "it comes with systemd, which a container does without",
    "dockerd": "it needs root and control groups, which a CI's container need not have",
    "kubectl": "Debian's is of 2020 and knows no CronJob of batch/v1; the commands of a page alone want it",
    "a declared gap": "nothing is missing on this machine: that store cannot do it anywhere",
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure with CI=true, so that no test is skipped there because a program is missing."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        assert isinstance(report.longrepr, tuple)  # file, line, reason
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(tuple(MAY_BE_MISSING)):
            report.outcome, report.longrepr = "failed", f"skipped, which is an error with CI=true: {reason}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report once how tests differ without mosquitto, if it is missing and a test depends on it."""
    from tests.real.mosquitto import NOT_INSTALLED, REPLACED

    reports = [one for some in terminalreporter.stats.values() for one in some if isinstance(one, pytest.TestReport)]
    if any(REPLACED in dict(one.user_properties) or NOT_INSTALLED in str(one.longrepr) for one in reports):
        terminalreporter.write_line(
            f"{NOT_INSTALLED}. The embedded broker served in its place; "
            "tests of TLS, client certificates and dynamic security were skipped."
        )
