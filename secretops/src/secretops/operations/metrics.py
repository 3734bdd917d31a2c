"""The status of every secret as metrics, in Prometheus' text format. Names and times only, never a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from secretops.errors import SecretopsError
from secretops.operations import external_certificates
from secretops.operations.session import Session
from secretops.operations.status import REASONS, SecretStatus


def render(session: Session, statuses: Sequence[SecretStatus]) -> str:
    registry = CollectorRegistry()
    registry.register(_StatusCollector(session, statuses))
    return generate_latest(registry).decode()


class _StatusCollector(Collector):
    def __init__(self, session: Session, statuses: Sequence[SecretStatus]) -> None:
        self._session, self._statuses = session, statuses

    def collect(self) -> Iterator[GaugeMetricFamily]:
        manifest, now = self._session.manifest, self._session.clock()
        yield self._family("status_timestamp_seconds", "When this status was read.", [((), now)])
        if manifest.replicas is not None:
            expected = [((), manifest.replicas)]
            yield self._family("expected_servers", "Servers that should report their versions.", expected)
        needs = [((one.name,), one.status.needs_a_person) for one in self._statuses]
        yield self._family("secret_needs_attention", "1 if the secret needs a person, else 0.", needs, "secret")
        reasons = [((one.name, each), each in one.reasons) for one in self._statuses for each in REASONS]
        yield self._family("secret_finding", "1 if the secret has this finding, else 0.", reasons, "secret", "reason")
        for name, text in (
            ("published", "When the current version was published."),
            ("verified", "When the current version last logged in."),
            ("expires", "When the current version expires, if it is a certificate."),
        ):
            times = [((one.name,), getattr(one.current, name)) for one in self._statuses if one.current]
            yield self._family(f"secret_{name}_timestamp_seconds", text, times, "secret")
        due = [((one.name,), one.due) for one in self._statuses]
        yield self._family("secret_due_timestamp_seconds", "When the next version is due.", due, "secret")
        servers = [
            ((one.name, version), sum((each.version == one.current.id) is is_current for each in one.replicas))
            for one in self._statuses
            if one.replicas is not None and one.current
            for version, is_current in (("current", True), ("other", False))
        ]
        text = "Servers that report the current version of the secret, or another one."
        yield self._family("secret_servers", text, servers, "secret", "version")
        certificates = dict[tuple[str, ...], datetime]()
        with suppress(SecretopsError):  # `status` prints the reason
            certificates = {(one.name, one.source): one.ends for one in external_certificates.find(self._session)}
        text = "When a certificate expires that secretops does not renew."
        yield self._family("certificate_expires_timestamp_seconds", text, certificates.items(), "name", "source")

    def _family(
        self, name: str, text: str, samples: Iterable[tuple[tuple[str, ...], float | datetime | None]], *labels: str
    ) -> GaugeMetricFamily:
        manifest = self._session.manifest
        family = GaugeMetricFamily(f"secretops_{name}", text, labels=["project", "stack", *labels])
        for values, value in samples:
            if value is not None:
                number = value.timestamp() if isinstance(value, datetime) else value
                family.add_metric([manifest.project, manifest.stack, *values], number)
        return family
