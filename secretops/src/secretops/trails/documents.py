"""JSON as logs have it: one document, or several after one another, with or without space between them."""

from __future__ import annotations

import json
from typing import Any

_DECODER = json.JSONDecoder()
_SPACE = b" \t\r\n"


def documents(text: bytes) -> list[Any]:
    """Every document of `text`, all of them before any is used. Raises ValueError, also when there is none.

    CloudTrail ends its files without a line's end, so that files that were joined have several on one line.
    """
    left, found = text.strip(_SPACE).decode(), []
    position = 0
    while True:
        document, position = _DECODER.raw_decode(left, position)
        found.append(document)
        while position < len(left) and left[position].isspace():
            position += 1
        if position == len(left):
            return found
