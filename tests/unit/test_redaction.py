"""No log record of this process contains a value, in any form and from any logger."""

import base64
import io
import json
import logging
import threading
import urllib.parse
from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from components.core import secrets as specs
from secretops import redaction
from secretops.manifest import ExternalAgent, Reader
from secretops.redaction import HIDDEN, redact
from secretops.stores import payload
from secretops.values import Value, new_password


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    redaction.install()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def secret() -> str:
    value = Value({"username": "someone", "password": f"p w/{new_password()}+é\"'\n"})
    return value["password"]


def forms(text: str) -> dict[str, str]:
    raw = text.encode()
    return {
        "plain": text, "repr": repr(text), "json": json.dumps(text),
        "json with unicode": json.dumps(text, ensure_ascii=False), "base64": base64.b64encode(raw).decode(),
        "urlsafe base64": base64.urlsafe_b64encode(raw).decode(), "hex": raw.hex(),
        "upper hex": raw.hex().upper(), "url": urllib.parse.quote(text),
        "url, nothing safe": urllib.parse.quote(text, safe=""), "form": urllib.parse.quote_plus(text),
        "json in json": json.dumps(json.dumps({"password": text})),
        "repr of json in json": repr({"body": json.dumps({"value": json.dumps({"password": text})})}),
        "repr of json": repr(json.dumps(text)),
        "base64 of user:password": base64.b64encode(b"user:" + raw).decode(),
        "base64 of users:password": base64.b64encode(b"users:" + raw + b"\0").decode(),
        "base32": base64.b32encode(raw).decode(),
    }  # fmt: skip


CORE = 24  # A part of a value with this length is worth protecting.


def shows(text: str, secret: str) -> bool:
    """Return whether `text` contains any encoding of the secret's random part."""
    kernel = secret[4:-4]
    return any(kernel[start : start + CORE] in text for start in range(len(kernel) - CORE))


@pytest.mark.parametrize("form", forms("x" * 10))
def test_every_form_is_redacted(log: io.StringIO, secret: str, form: str) -> None:
    dressed = forms(secret)[form]
    logging.getLogger("ours").error("before %s after", dressed)
    assert dressed.strip("'\"=") not in log.getvalue()
    assert not shows(log.getvalue(), secret)
    assert HIDDEN in log.getvalue()
    assert "before" in log.getvalue() and "after" in log.getvalue()


def test_of_two_values_that_overlap_nothing_is_left() -> None:
    first, second = new_password(), new_password()
    Value({"a": first + second[:10], "b": second})
    assert redact(f"a {first}{second} b {second}{first[:4]}") == f"a {HIDDEN} b {HIDDEN}{first[:4]}"


def test_redact_forgets_only_the_oldest_values() -> None:
    first, second = new_password(), new_password()
    for each in (first, second, first):
        redaction.remember(each)
    for _ in range(redaction.MAX_TEXTS - 1):
        redaction.remember(new_password())
    assert redact(f"{first} {second}") == f"{HIDDEN} {second}"
    assert set().union(*redaction._known._texts.values()) == set().union(*redaction._known._index.values())


def test_redact_takes_no_longer_when_more_values_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """`redact` visits each position of the text once, and compares only known values that begin there."""

    class Counted(dict[str, dict[str, int]]):
        lookups = found = 0

        def __contains__(self, key: object) -> bool:
            self.lookups += 1
            return super().__contains__(key)

        def __getitem__(self, key: str) -> dict[str, int]:
            self.found += 1
            return super().__getitem__(key)

    for _ in range(1000):
        redaction.remember(new_password())
    index = Counted(redaction._known._index)
    monkeypatch.setattr(redaction._known, "_index", index)
    redact("x" * 500)
    assert (index.lookups, index.found) == (500 - redaction.SHORTEST + 1, 0)


def test_exception_that_ends_a_thread_is_logged_and_redacted(log: io.StringIO, secret: str) -> None:
    def end() -> None:
        raise ValueError(secret)

    thread = threading.Thread(target=end, name="a-thread")
    thread.start()
    thread.join()
    assert "a-thread" in log.getvalue() and "ValueError" in log.getvalue()
    assert not shows(log.getvalue(), secret)


def test_arguments_are_redacted_whatever_their_type(log: io.StringIO, secret: str) -> None:
    logger = logging.getLogger("ours")
    logger.info("%s %r", {"password": secret}, [secret])
    logger.info("%(password)s", {"password": secret})
    logger.info("%s", ValueError(secret))
    logger.debug("%s", secret.encode())
    assert not shows(log.getvalue(), secret)
    assert log.getvalue().count(HIDDEN) == 5


def test_an_exception_and_its_causes_are_redacted(log: io.StringIO, secret: str) -> None:
    try:
        try:
            raise ValueError(f"bad password {secret}")
        except ValueError as error:
            raise RuntimeError(f"could not use {secret}") from error
    except RuntimeError:
        logging.getLogger("ours").exception("failed")
    assert "RuntimeError: could not use <hidden>" in log.getvalue()
    assert "ValueError: bad password <hidden>" in log.getvalue()
    assert not shows(log.getvalue(), secret)


def test_a_wrong_format_string_shows_no_argument_and_ends_nothing(log: io.StringIO, secret: str) -> None:
    class Broken:
        def __str__(self) -> str:
            raise LookupError(secret)

    logger = logging.getLogger("ours")
    logger.error("%d", secret)
    logger.error("%(missing)s", {"password": secret})
    logger.error("%s", Broken())
    logger.error("too many", secret)  # noqa: PLE1205
    assert not shows(log.getvalue(), secret)
    assert len(log.getvalue().splitlines()) == 4


def test_a_line_of_a_key_is_redacted_and_what_all_keys_begin_with_is_not() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    Value({"client.key": text})
    begin, *lines, end = text.splitlines()
    assert [redact(f"line {line!r} is no base64") for line in lines] == [f"line {HIDDEN!r} is no base64"] * len(lines)
    assert (redact(begin), redact(end)) == (begin, end)


@pytest.mark.parametrize("quoted", [str, str.strip, repr, json.dumps], ids=["as it is", "stripped", "repr", "JSON"])
def test_a_line_of_a_document_is_redacted_however_a_parser_quotes_it(quoted: Callable[[str], str]) -> None:
    password = new_password()
    Value({"document": f'{{\n    "password": "{password}"\n}}\n'})
    line = f'    "password": "{password}"'
    assert password not in redact(f"line 2: {quoted(line)}")


SHOWN = {"username", "ca.crt", "client.crt"}
CATALOG = (
    *(specs.mqtt("plant-7", 30), specs.broker_admin("plant-7", 30), specs.agent_key(30, ExternalAgent())),
    *(specs.agent_admin(), specs.client_cert(), specs.client_ca(30)),
    specs.http_token(),
    specs.declared("db", ("url", "password"), (Reader.SERVER,), 90),
)


def read(fields: dict[str, str]) -> Value:
    """Return a value with `fields`, as a store reads it."""
    return payload.parse("it", "a version", json.dumps(fields))


@pytest.mark.parametrize("made", [Value, read], ids=["written", "read"])
@pytest.mark.parametrize(("secret", "field"), [(secret.name, field) for secret in CATALOG for field in secret.fields])
def test_each_field_is_hidden_unless_public(made: Callable[[dict[str, str]], Value], secret: str, field: str) -> None:
    text = new_password()
    assert made({field: text})[field] == text
    assert redact(text) == (text if field in SHOWN else HIDDEN), f"{secret}.{field}"
