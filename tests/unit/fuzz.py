"""Strategies for tests of random input: JSON of any form, and valid documents with one broken place.

The examples are the same on each run, and there is no deadline, so that results do not depend on the machine.
"""

import copy
import json
import os
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# Enough draws for each defect found so far; FUZZ_EXAMPLES=1000 searches further.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "30"))

BOUNDED = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)

# Values of unexpected types.
SPITEFUL: st.SearchStrategy[Any] = st.sampled_from(
    [
        None, True, False, 0, -1, 0.5, 10**30, 10**400, float("nan"), float("inf"), "", " ", "\0", "\ud800", "é" * 300,
        "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-02-30T00:00:00Z", "2026-03-01", "1e999",
        "2026-03-01T12:00:00",
        [], {}, [[]], [None], {"": None}, {"kind": None}, [{}], ["a"], {"a": ["b"]},
    ]
)  # fmt: skip

# Any JSON that Python's parser accepts.
JSON = st.recursive(
    SPITEFUL | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def paths(document: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield above
    if isinstance(document, dict | list):
        for key, inner in document.items() if isinstance(document, dict) else enumerate(document):
            yield from paths(inner, (*above, key))


@st.composite
def spoiled(draw: st.DrawFn, documents: tuple[Any, ...]) -> Any:
    """Return one of `documents` with one or two places replaced or removed."""
    found = copy.deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(1, 2))):
        *above, key = draw(st.sampled_from(list(paths(found)))) or (None,)
        if key is None:
            return copy.deepcopy(draw(SPITEFUL | JSON))
        place = found
        for part in above:
            place = place[part]
        if draw(st.booleans()):
            place[key] = copy.deepcopy(draw(SPITEFUL | JSON))
        else:
            del place[key]
    return found


def texts(documents: tuple[Any, ...]) -> st.SearchStrategy[bytes]:
    """Return a strategy for contents of a file: spoiled, truncated and foreign documents, and any bytes."""
    whole = st.sampled_from([json.dumps(each).encode() for each in documents])
    cut = st.tuples(whole, st.integers(0, 2000)).map(lambda both: both[0][: both[1] % (len(both[0]) + 1)])
    return st.one_of(
        spoiled(documents).map(lambda document: json.dumps(document).encode()),
        spoiled(documents).map(lambda document: json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")),
        cut,
        JSON.map(lambda document: json.dumps(document).encode()),
        st.binary(max_size=64),
        st.sampled_from([b"", b"[" * 20_000, b'{"a":' * 20_000, b"\xff\xfe{}", b"9" * 5000, b"NaN", b"{}{}", b"null"]),
    )
