"""A value is hidden unless a field is requested by name."""

import copy
import dataclasses
import json
import pickle
import pprint
import traceback
from dataclasses import dataclass

import pytest
from rich.pretty import pretty_repr

from secretops.values import PASSWORD_LENGTH, Value, new_password

PASSWORD = new_password()


@pytest.fixture
def value() -> Value:
    return Value({"username": "somebody", "password": PASSWORD})


@dataclass
class Holder:
    value: Value
    note: str = "x"


@pytest.mark.parametrize(
    "show",
    [repr, str, "{!s:>80}".format, pprint.pformat, pretty_repr, lambda value: repr(Holder(value)),
     lambda value: repr(ValueError(value)), lambda value: repr(value.items()), lambda value: repr(value.values())],
)  # fmt: skip
def test_nothing_that_prints_it_shows_it(value: Value, show: object) -> None:
    text = show(value)  # type: ignore[operator]
    assert PASSWORD not in text
    assert text


def test_it_is_not_pickled_copied_or_turned_into_a_dictionary_by_accident(value: Value) -> None:
    for take in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError):
            take(value)
    with pytest.raises(TypeError):
        dataclasses.asdict(Holder(value))
    assert not hasattr(value, "__dict__")


def test_a_traceback_with_locals_hides_it(value: Value) -> None:
    try:
        raise RuntimeError(value)
    except RuntimeError as error:
        lines = traceback.TracebackException.from_exception(error, capture_locals=True).format()
    text = "".join(lines)
    assert "value = Value(" in text
    assert PASSWORD not in text


def test_it_reads_like_a_mapping_and_does_not_change(value: Value) -> None:
    fields = {"username": "somebody", "password": PASSWORD}
    concealed = Value(fields)
    fields["password"] = "other"
    assert dict(concealed) == dict(value)
    assert concealed == value
    assert value["password"] == PASSWORD
    assert list(value) == ["username", "password"]
    with pytest.raises(TypeError):
        value["password"] = "x"  # type: ignore[index]
    with pytest.raises(KeyError) as missing:
        value["passwort"]
    assert PASSWORD not in str(missing.value)


def test_a_password_is_long_random_and_needs_no_quotes() -> None:
    made = {new_password() for _ in range(200)}
    assert len(made) == 200
    assert all(len(text) == PASSWORD_LENGTH >= 32 and text.isascii() and text.isalnum() for text in made)
    assert len(set("".join(made))) == 62
