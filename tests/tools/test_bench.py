"""What `make bench` does with its figures. It measures nothing here; what it measures is in test_bench_previews.py, in
the hot-swap gate and in tests/unit/test_flat_programs.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import growth, lambda_cost, launcher, make_up, page, previews, rotation
from bench.engine import Took
from bench.hot_swap import Effect, Run
from bench.measured import Measured, PartMissingError, RunFailedError
from bench.previews import Runs
from bench.programs import FLAT, OURS
from tools import lambda_package

PAGE = command.PAGE


def a_run(**different: object) -> Run:
    figures: dict[str, object] = {
        "calls": 2000,
        "failed": 0,
        "said": 1000,
        "lost": 0,
        "fed": 900,
        "unread": 0,
        "seconds": [0.01, 0.02, 0.03],
        "effects": [Effect("rotation", 0.1, 0), Effect("rotation", 0.3, 0), Effect("agent key", 0.2, 0)],
        "swaps": [90, 100],
    }
    return Run(**(figures | different))  # type: ignore[arg-type]


def a_preview(wall: float, memory: float = 100.0) -> Took:
    return Took(wall=wall, processor=wall / 2, memory=memory, said="")


def previewed(ours: float, **others: float) -> dict[str, Runs]:
    """Three previews of each program, in seconds; the median is what is asked for."""
    walls = {OURS: ours, **{name.replace("_", " "): wall for name, wall in others.items()}}
    return {name: Runs([a_preview(wall), a_preview(wall * 3), a_preview(wall / 3)]) for name, wall in walls.items()}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page with the marks of two parts, which `make bench` writes instead of the repository's."""
    path = tmp_path / "page.md"
    marks = ["\n".join((*page.marks(part), "")) for part in ("one", "two")]
    path.write_text("before\n" + "between\n".join(marks) + "after\n")
    monkeypatch.setattr(command, "PAGE", path)
    monkeypatch.setattr(command, "ROOT", tmp_path)
    return path


def a_part(text: str, *broken: str) -> Callable[..., Measured]:
    return lambda _folder, _say: Measured(text, broken)


def missing(*_: object) -> Measured:
    raise PartMissingError("a broker")


def failing(*_: object) -> Measured:
    raise RunFailedError("pulumi ended with 1")


def test_only_what_lies_between_a_parts_marks_is_written_anew(written: Path) -> None:
    page.write(written, "one", "new")
    page.write(written, "one", "newer")
    page.write(written, "two", "another")
    (one, one_ends), (two, two_ends) = page.marks("one"), page.marks("two")
    assert written.read_text() == (
        f"before\n{one}\n\nnewer\n\n{one_ends}\nbetween\n{two}\n\nanother\n\n{two_ends}\nafter\n"
    )


def test_what_was_not_kept_or_is_not_there_is_told_at_the_end_and_by_the_exit_code(
    written: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "PARTS", {"one": a_part("figures", "it is slow"), "two": a_part("more")})
    assert command.main([]) == command.PROMISE_BROKEN
    assert "NOT KEPT: it is slow" in capsys.readouterr().err.splitlines()[-1]
    monkeypatch.setattr(command, "PARTS", {"two": failing, "one": a_part("after it")})
    assert command.main([]) == command.PROMISE_BROKEN
    assert "FAILED: two: pulumi ended with 1" in capsys.readouterr().err.splitlines()[-1]
    assert "after it" in written.read_text()
    monkeypatch.setattr(command, "PARTS", {"two": missing, "one": a_part("anew")})
    assert command.main([]) == command.PART_MISSING
    assert "MISSING for two: a broker" in capsys.readouterr().err.splitlines()[-1]
    assert "anew" in written.read_text(), "the parts after it are measured"
    assert command.main(["three"]) == command.PART_MISSING
    assert "three: no part; there are two, one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (previews.broken_promises("dev", previewed(1.21, flat=1.0)), "1.21 times the flat program's, more than 1.2"),
        (previews.broken_promises("dev", previewed(2.6, empty=1.0)), "2.60 times the empty program's, more than 2.5"),
        (
            growth.broken_promises("prod", {100: {OURS: [a_preview(1.11)], FLAT: [a_preview(1.0)]}}),
            "prod with 100 secrets takes 1.11 times the flat one's, more than 1.1",
        ),
        (make_up.broken_promises([3.0, 10.1]), "takes 10.1 s, more than 10"),
        (lambda_cost.broken_promises(lambda_package.LARGEST + 1), "10,000,001 bytes, more than 10,000,000"),
        (rotation.broken_promises({"a": {"failed": 2}, "b": {}}), "2 logins of readers failed"),
    ],
    ids=["flat", "empty", "many secrets", "make up", "lambda", "readers"],
)
def test_what_takes_more_than_was_promised_is_told(broken: list[str], told: str) -> None:
    (said,) = broken
    assert told in said


@pytest.mark.parametrize(
    ("different", "told"),
    [
        ({"failed": 1}, "1 of 2000 calls failed"),
        ({"calls": 1999}, "too few"),
        ({"lost": 2}, "2 acknowledged publishes"),
        ({"unread": 3}, "3 messages"),
        ({"swaps": [101, 102, 90]}, "101 ms"),
    ],
)
def test_a_promise_that_was_not_kept_is_told(different: dict[str, object], told: str) -> None:
    assert launcher.broken_promises(a_run()) == []
    (broken,) = launcher.broken_promises(a_run(**different))
    assert told in broken
