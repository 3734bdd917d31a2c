"""What the launcher tells Prometheus. Labels are names of secrets and ids of versions: never a value or a user."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from secretops.launcher.state import LauncherState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The text format that every Prometheus reads."""


def page(state: LauncherState) -> bytes:
    """The metrics of `state` as they are now."""
    registry = CollectorRegistry()
    registry.register(_OfState(state))
    return generate_latest(registry)


class _OfState(Collector):
    """Reads the launcher's state when it is asked, so that no number is kept twice."""

    def __init__(self, state: LauncherState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        state = self._state
        versions = InfoMetricFamily("secretops_secret", "The version in use of a secret.", labels=["secret"])
        for secret, version in sorted(state.versions_in_use().items()):
            versions.add_metric([secret], {"version": version})
        yield versions
        by_tool = state.connection_is_of_a_tool()
        for name, text, number in (
            ("waiting", "Secrets whose first value is not there yet.", len(state.waiting_for)),
            ("broker_connected", "1 while the server has its broker, else 0.", state.connected),
            ("connection_by_tool", "1 while an MCP client's tool chose the connection, else 0.", by_tool),
            ("following", "1 while the source is polled, else 0.", state.is_followed()),
            ("last_poll_timestamp_seconds", "When the source was last read without an error.", state.read_at),
        ):
            yield GaugeMetricFamily(f"secretops_{name}", text, value=number)
        for name, text, count in (
            ("swaps", "MQTT clients replaced by one on a new version.", state.swaps),
            ("refused_versions", "Versions that did not work; the one before went on.", state.refused_versions),
            ("refused_publishes", "Messages of the server that the broker refused.", state.refused_publishes),
            ("failed_connects", "Connects that the broker refused or did not answer.", state.failed_connects),
        ):
            yield CounterMetricFamily(f"secretops_{name}", text, value=count)
        if state.expires_at:
            yield GaugeMetricFamily(
                "secretops_client_certificate_expiry_seconds",
                "Seconds until the client certificate in use expires; below 0 it has.",
                value=(state.expires_at - datetime.now(UTC)).total_seconds(),
            )
