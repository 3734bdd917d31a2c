"""What `make bench` does with its figures. Nothing is measured here."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import page
from bench.measured import Measured, PartMissingError, RunFailedError

PAGE = command.PAGE


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
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
