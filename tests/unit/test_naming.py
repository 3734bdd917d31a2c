"""Physical names: within every limit, readable, and unique."""

import re
import string

from hypothesis import assume, given
from hypothesis import strategies as st
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from components.core.naming import physical_name, variable_of
from secretops.formats import NAME, is_topic_filter

PARTS = st.lists(st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=60), min_size=1, max_size=4)
LIMITS = st.integers(min_value=16, max_value=100)
NAMES = st.from_regex(NAME, fullmatch=True)


@given(PARTS, PARTS, LIMITS)
def test_two_names_are_two_names(left: list[str], right: list[str], limit: int) -> None:
    assume("-".join(left) != "-".join(right))
    assert physical_name(*left, limit=limit) != physical_name(*right, limit=limit)


@given(
    st.text("ab", min_size=60, max_size=60),
    st.text("ab", min_size=1, max_size=8),
    st.text("ab", min_size=1, max_size=8),
)
def test_names_that_differ_only_in_their_end_stay_different(start: str, left: str, right: str) -> None:
    assume(left != right)
    assert physical_name(start, left, limit=40) != physical_name(start, right, limit=40)


@given(NAMES, NAMES)
def test_a_variables_name_is_one_that_a_shell_and_an_env_file_take(secret: str, field: str) -> None:
    assert re.fullmatch(r"[A-Z][A-Z0-9_]*", variable_of(secret, field))


@given(st.text("ab/+#$", max_size=8))
def test_a_topic_filter_is_what_a_client_subscribes_to(text: str) -> None:
    try:
        Client(CallbackAPIVersion.VERSION2).subscribe(text)
    except ValueError:
        assert not is_topic_filter(text)
    else:
        assert is_topic_filter(text)
