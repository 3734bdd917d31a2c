"""A .env file keeps every value, and all lines of others. python-dotenv verifies it."""

from io import StringIO

import pytest
from dotenv import dotenv_values
from hypothesis import example, given
from hypothesis import strategies as st

from secretops.errors import UsageError
from secretops.stores import env_file

VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
SPITEFUL = st.lists(
    st.sampled_from(["$", "${", "}", "${X}", "${:-$}", "$$", "\\", "'", '"', "#", " #", "\n", "\r", "\r\n", "=", "\t",
                     "export ", " ", "é", "\x85", "\u2028", "\\n", "\x1b", "\ufeff", "`", "$(id)", ":-"])
).map("".join)  # fmt: skip
NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True)

OTHERS = (
    "# a comment with a = and a $\n"
    "\n"
    "export EXPORTED=yes # why\n"
    "  INDENTED = 'single # quoted'\n"
    'DOUBLE="a\\n${HOME}"\n'
    "CRLF=windows\r\n"
    "lonely\n"
    "this line does not parse 'at all\n"
    "BARE\n"
    "SPREAD='one\ntwo'\n"
    "LAST=without newline"
)


def read(text: str) -> dict[str, str | None]:
    return dotenv_values(stream=StringIO(text))


@given(VALUES | SPITEFUL)
@example("${HOME}")
@example("$${HOME}")
@example("${")
@example("a\\")
@example("'")
@example(" leading and trailing ")
@example("\ufeffmark")
def test_any_text_without_nul_is_read_back_exactly(text: str) -> None:
    env_file.check_text("it", text)
    written = env_file.update("", {"IT": text})
    assert read(written) == {"IT": text}
    assert env_file.parse(written) == {"IT": text}


@given(VALUES | SPITEFUL, VALUES | SPITEFUL)
def test_a_replaced_value_leaves_nothing_of_the_old_one(old: str, new: str) -> None:
    assert env_file.update(env_file.update("", {"IT": old}), {"IT": new}) == env_file.update("", {"IT": new})


@given(VALUES | SPITEFUL)
@example("${X}")
def test_value_round_trips_among_foreign_lines(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.env"
    path.write_bytes(env_file.update("BEFORE=1\n", {"IT": text, "AFTER": "2"}).encode())
    assert dotenv_values(path) == {"BEFORE": "1", "IT": text, "AFTER": "2"}


@given(st.dictionaries(NAMES, VALUES | SPITEFUL, max_size=4))
def test_lines_of_others_stay_byte_for_byte(changes: dict[str, str]) -> None:
    mine = {f"MINE_{name}": text for name, text in changes.items()}
    once = env_file.update(OTHERS, mine)
    assert once.startswith(OTHERS)
    assert env_file.update(once, dict.fromkeys(mine)) in (OTHERS, OTHERS + "\n")
    assert {name: text for name, text in read(once).items() if name in mine} == mine


def test_of_a_variable_set_twice_one_line_stays() -> None:
    changed = env_file.update("IT=1\nX=2\nIT=3\nY=4\n", {"IT": "new"})
    assert changed == "X=2\nIT=new\nY=4\n"
    assert env_file.update("IT=1\nX=2\nIT=3\n", {"IT": None}) == "X=2\n"


def test_bytes_that_are_not_utf_8_in_others_lines_stay() -> None:
    raw = b"# caf\xe9\nIT=1\n"
    changed = env_file.update(raw.decode(errors="surrogateescape"), {"IT": "2"})
    assert changed.encode(errors="surrogateescape") == b"# caf\xe9\nIT=2\n"


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_value_that_no_line_can_carry_is_rejected_unquoted(text: str) -> None:
    with pytest.raises(UsageError, match=r"^it: .*\[value-not-text\]") as refused:
        env_file.check_text("it", text)
    assert text not in str(refused.value)
