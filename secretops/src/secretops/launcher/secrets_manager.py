"""`aws-sm:<region>/<start of the names>/<secret>[+<secret>…]`: secrets of AWS Secrets Manager, as the workload's role.

For example aws-sm:eu-central-1/coreflux-mcp/prod/mqtt+agent-key. Without any name at the end, those of the four that
there are and that the role may read; asking for one that it may not read is on record as refused, once. A value that
was given once goes on, whatever AWS says of its secret later.
"""

from __future__ import annotations

import difflib
import json
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError
from secretops.launcher.json_document import JsonDocument, places
from secretops.launcher.sources import OfDocument
from secretops.manifest import HTTP_TOKEN
from secretops.stores.secrets_manager.api import CURRENT, Api, where
from secretops.stores.secrets_manager.errors import AbsentError, DeniedError
from secretops.values import Value

log = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
"""Between two looks, give or take a tenth, so that servers started together do not ask together.

A look is one DescribeSecret a secret; a value is read only when AWSCURRENT has moved. 43,800 looks a month at 0.05 USD
per 10,000 calls are 0.22 USD a month for each secret of each server (https://aws.amazon.com/secrets-manager/pricing/,
read in 2025). A replaced user works on until every server has reported the new version, so a minute costs nothing."""

WAITING_SECONDS = 10.0
"""The same while the first values are not there yet."""

LONGEST_SECONDS = 600.0
"""AWS that throttles or does not answer is asked half as often each time, down to this."""

KNOWN = {
    "mqtt": ("MQTT_USER", "MQTT_PASSWORD"),
    "agent-key": ("DO_AGENT_API_KEY",),
    "client-cert": ("MQTT_CA_CERT", "MQTT_CLIENT_CERT", "MQTT_CLIENT_KEY"),
    HTTP_TOKEN[0]: ("MCP_HTTP_TOKEN",),
}
"""The secrets that the server has a use for, and the variables that each of them brings."""

_OUTPUT = "the stack's output `references` has the whole of it: pulumi stack output references"

NEEDED = "mqtt"
"""The one that no server can do without."""


class SecretsManager(OfDocument):
    """`Source` over the versions that readers are to use. While AWS can't be asked, what it said last goes on."""

    def __init__(
        self,
        place: str,
        *,
        open_api: Callable[[str], Api] = Api,
        every: float = EVERY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        region, slash, path = place.partition("/")
        prefix, _, last = path.rpartition("/")
        if not region or not slash or not prefix:
            raise UsageError(
                f"--from aws-sm:{place}",
                rule="aws-sm:<region>/<start of the names>/<secret>[+<secret>…]",
                remedy=f"{_OUTPUT}; for example aws-sm:eu-central-1/coreflux-mcp/prod/mqtt",
            )
        self.where = f"Secrets Manager in {region}, {prefix}/"
        asked = [name for name in last.split("+") if name]
        if unknown := [name for name in asked if name not in KNOWN]:
            nearest = difflib.get_close_matches(unknown[0], KNOWN, n=1)
            raise UsageError(
                f"--from aws-sm:{place}: no secret {unknown[0]}",
                rule=f"the server has a use for {', '.join(KNOWN)}",
                remedy=(f"did you mean {nearest[0]}? " if nearest else "") + _OUTPUT,
            )
        self._names = {name: f"{prefix}/{name}" for name in KNOWN if name in asked or not asked}
        self._all = bool(asked)
        self._api, self._every, self._clock = open_api(region), every, clock
        self._turn = threading.Lock()
        self._next, self._pause = clock(), 0.0
        self._versions: dict[str, str] = {}
        self._values: dict[str, Value] = {}
        self._document: JsonDocument | None = None
        self._error: SecretopsError | None = None
        self._told: dict[str, str] = {}
        """Secret -> what was said of it, so that it is said once."""
        self._given: set[str] = set()
        """Those that have had a value: an empty one may be filled again."""

    def variables(self) -> Mapping[str, str]:
        with self._turn:
            if self._clock() >= self._next:
                self._look()
            if self._document is None:
                raise self._error or StoreError(f"{self.where}: not asked yet")
            return self.variables_of(self._document)

    def folders(self) -> frozenset[Path]:
        return frozenset()

    def may_bring(self, variable: str) -> bool:
        """Of a secret that is asked for. One that was left out because it may not be read is not."""
        return any(variable in KNOWN[secret] for secret in self._names)

    def _look(self) -> None:
        try:
            document = self._asked()
        except SecretopsError as error:
            self._pause = min(2 * (self._pause or self._every), LONGEST_SECONDS)
            if self._error is None or str(self._error) != str(error):
                before = "the values that it gave before go on" if self._document else "it has given no value yet"
                log.warning("%s: %s. %s", self.where, before, error)
            self._error = error
        else:
            self._document, self._error, self._pause = document, None, 0.0
        waiting = self._document is None or not self._document.mqtt.password
        usual = min(self._every, WAITING_SECONDS) if waiting and not self._pause else self._every
        self._next = self._clock() + (self._pause or usual) * random.uniform(0.9, 1.1)  # noqa: S311  # nosec B311

    def _asked(self) -> JsonDocument:
        """What AWS says now. A value whose version is as before is not read again."""
        versions: dict[str, str] = {}
        values: dict[str, Value] = {}
        for secret, name in list(self._names.items()):
            try:
                version = where(self._api.labels(name), CURRENT)
                if version is None:
                    continue
                known = self._values.get(secret) if self._versions.get(secret) == version else None
                value = known or self._value(name, version)
            except SecretopsError as error:
                self._go_on_without(secret, name, error)
                version, value = self._versions.get(secret, ""), self._values.get(secret)
            else:
                self._told.pop(secret, None)
            if value:
                versions[secret], values[secret] = version, value
        try:
            made = {secret: {**value, "version": versions[secret]} for secret, value in values.items()}
            document = JsonDocument.model_validate(made)
        except ValidationError as error:
            raise StoreError(
                f"{self.where}: not as it should be: {places(error)}",
                rule="each secret is one JSON object of the fields that the catalogue names",
                remedy="secretops put, with these fields and no others",
            ) from None
        self._versions, self._values = versions, values
        self._given |= values.keys()
        return document

    def _go_on_without(self, secret: str, name: str, error: SecretopsError) -> None:
        """Raise what all have to wait for; else say, once, that this secret alone can't be had now.

        It is not asked for again only where the role never could read it: everything else may pass.
        """
        before = secret in self._values
        if secret == NEEDED or isinstance(error, UnreachableError | UsageError) or (self._all and not before):
            raise error
        if isinstance(error, AbsentError | DeniedError) and secret not in self._given:
            del self._names[secret]
        if self._told.get(secret) != str(error):
            how = "the value that it gave before goes on" if before else "it is not given to this server"
            log.log(logging.WARNING if before else logging.INFO, "%s: %s. %s", name, how, error)
            self._told[secret] = str(error)

    def _value(self, name: str, version: str) -> Value | None:
        """None for a version without a value, and for the empty one that stands where none is yet."""
        found = self._api.value(name, version)
        try:
            read = json.loads(found.text) if found else {}
        except ValueError:
            read = None
        if not isinstance(read, dict) or not all(isinstance(text, str) for text in read.values()):
            raise StoreError(
                f"secret {name}: version {version} does not read as a value",
                rule="one JSON object of fields and their texts",
                remedy="secretops status says who is to supply it; secretops put writes it anew",
            )
        return Value(read) if read else None
