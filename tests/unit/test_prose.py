"""`python -m tools.prose`: which texts of a file are checked."""

from pathlib import Path

import pytest

from tools.prose import texts

CODE = """\
'''A docstring, which is read elsewhere.'''
pattern, name = r"one \\w two three", "two words"
text = f"the value of {name} differs"
"""
MAKEFILE = """\
# One comment
# of two lines.
help:  # runs first, always
\t@echo "print all the targets"
"""


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("code.py", CODE, {3: "- the value of `x` differs"}),
        (
            "Makefile",
            MAKEFILE,
            {1: "- One comment", 2: "  of two lines.", 3: "- runs first, always", 4: "- print all the targets"},
        ),
        ("ci.yml", "name: run the tests\nruns: ubuntu\n", {1: "- run the tests"}),
        ("code.toml", 'bug = "it is never there"\n', {1: "- it is never there"}),
    ],
)
def test_texts_are_found_on_their_lines(tmp_path: Path, name: str, content: str, expected: dict[int, str]) -> None:
    (tmp_path / name).write_text(content)
    lines = enumerate(texts(tmp_path / name).splitlines(), 1)
    assert {number: line.rstrip() for number, line in lines if line.strip()} == expected
