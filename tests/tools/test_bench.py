"""What `make bench` does with its figures. It measures nothing here; what it measures is in test_bench_previews.py, in
the hot-swap gate and in tests/unit/test_flat_programs.py."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import growth, lambda_cost, launcher, make_up, page, previews, rotation
from bench.engine import Took, _below
from bench.hot_swap import Effect, Run
from bench.measured import Measured, PartMissingError, RunFailedError
from bench.overhead import FORMS, Cost
from bench.places import Place
from bench.previews import Runs
from bench.programs import EMPTY, FLAT, ONE, OURS, stack_file
from settings import ConfigurationError, Settings
from tests.unit.stack_file import StackFile
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


def a_cost() -> Cost:
    calls = [[0.001, 0.002], [0.003, 0.004]]
    return Cost(start=[1.0, 3.0, 2.0], memory=[70.0], publish=calls, read=calls, idle=[0.1])


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


def test_a_process_that_has_ended_while_it_was_looked_at_has_nothing_below_it() -> None:
    with subprocess.Popen(("true",)) as ended:
        ended.wait()
    assert list(_below(ended.pid)) == []


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


def test_a_page_without_a_parts_marks_is_left_alone(written: Path) -> None:
    before = written.read_text()
    with pytest.raises(ValueError, match="make bench, three: begin"):
        page.write(written, "three", "new")
    assert written.read_text() == before


def test_the_page_in_the_repository_has_the_marks_of_each_part_and_figures_between_them() -> None:
    text = PAGE.read_text()
    for part in command.PARTS:
        begin, end = page.marks(part)
        between = text[text.index(begin) : text.index(end)]
        assert re.search(r"\d{4}-\d\d-\d\d, commit \w{12}.* cores .*Median \(least–most\)", between), part
        assert "\n|---|" in between, part


def test_a_part_that_is_asked_for_is_measured_alone(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "PARTS", {"one": a_part("figures of one"), "two": missing})
    assert command.main(["one"]) == command.DONE
    assert "figures of one" in written.read_text()


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


def test_a_preview_is_told_as_a_multiple_of_each_other_program() -> None:
    runs = previewed(1.2, flat=1.0, one_resource=0.5)
    runs[OURS].up, runs[FLAT].up = [a_preview(4.0)], [a_preview(2.0)]
    _, ours, flat, one = previews.rows(runs)
    assert ours == (
        *(OURS, "1.20 s (0.40–3.60)", "", "0.60 s (0.20–1.80)", "100 MiB (100–100)"),
        *("4.00 s", "", "2.00 s"),
    )
    assert flat[:3] == (FLAT, "1.00 s (0.33–3.00)", "1.20") and flat[5:7] == ("2.00 s", "2.00")
    assert one[2] == "2.40" and one[0] == ONE


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


def test_the_most_secrets_that_prod_is_measured_with_are_the_most_that_it_takes(tmp_path: Path) -> None:
    def parsed(count: int) -> Settings:
        file = StackFile.read(stack_file("prod", Place(tmp_path), count))
        return Settings.parse("prod", file.entries)

    assert growth.SIZES["prod"][-1] == growth.OF_AWS
    assert parsed(growth.OF_AWS)
    with pytest.raises(ConfigurationError, match=f"secrets: {growth.OF_AWS + 1} of them"):
        parsed(growth.OF_AWS + 1)


def test_what_takes_as_much_as_was_promised_is_kept() -> None:
    assert previews.broken_promises("dev", previewed(1.2, flat=1.0, empty=0.48)) == []
    assert growth.broken_promises("prod", {10: {OURS: [a_preview(2.0)], FLAT: [a_preview(1.0)]}}) == []
    assert make_up.broken_promises([10.0]) == []
    assert lambda_cost.broken_promises(lambda_package.LARGEST) == []
    assert rotation.broken_promises({"a": {"failed": 0}}) == []
    assert EMPTY in previewed(1.0, empty=1.0)


def test_what_one_secret_more_costs_is_the_difference_between_two_sizes() -> None:
    took = {
        size: {OURS: [a_preview(wall, memory)], FLAT: [a_preview(1.0, 100.0)]}
        for size, wall, memory in ((10, 1.0, 100.0), (110, 2.0, 101.0))
    }
    assert "from 10 to 110 10.0 ms and 10 KiB (the stack) or 0.0 ms and 0 KiB (flat)" in growth.growth(took)
    assert growth.rows(took)[2][:4] == ("110", "2.00 s", "1.00 s", "2.00")


def test_figures_are_told_with_their_spread() -> None:
    text = launcher.render(a_run(), a_run(failed=7, unread=170, swaps=[], restarts=17), dict.fromkeys(FORMS, a_cost()))
    assert "| of them failed | **0** | **7** |" in text
    assert "| of them shown to no client | **0** | **170** (10 a restart) |" in text
    assert "| rotation | 2 | 0.20 s (0.10–0.30) | 0 |" in text
    assert "| a swap: connect, subscribe, change over | 95 ms (90–100) | – |" in text
    assert "| start to first answered publish | 2.00 s (1.00–3.00) |" in text


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
