"""What `make bench` does with its figures. It measures nothing here; its load is that of the hot-swap gate."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import page
from bench.__main__ import PAGE, broken_promises
from bench.hot_swap import Effect, Run
from bench.overhead import FORMS, Cost


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


def test_only_what_lies_between_the_marks_is_written_anew(tmp_path: Path) -> None:
    written = tmp_path / "page.md"
    written.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    page.write(written, "new")
    page.write(written, "newer")
    assert written.read_text() == f"before\n{page.BEGIN}\n\nnewer\n\n{page.END}\nafter\n"


def test_a_page_without_its_marks_is_left_alone(tmp_path: Path) -> None:
    written = tmp_path / "page.md"
    written.write_text("mine\n")
    with pytest.raises(ValueError, match="make bench: begin"):
        page.write(written, "new")
    assert written.read_text() == "mine\n"


def test_the_page_in_the_repository_has_the_marks() -> None:
    text = PAGE.read_text()
    assert text.index(page.BEGIN) < text.index(page.END)


def test_figures_are_told_with_their_spread() -> None:
    text = page.render(
        "a machine", a_run(), a_run(failed=7, unread=170, swaps=[], restarts=17), dict.fromkeys(FORMS, a_cost())
    )
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
    assert broken_promises(a_run()) == []
    (broken,) = broken_promises(a_run(**different))
    assert told in broken
