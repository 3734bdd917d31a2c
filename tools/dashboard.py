"""Generate monitoring/dashboard.json, a dashboard for Grafana, with Grafana's own SDK."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode, VariableRefresh

SOURCE = DataSourceRef(type_val="prometheus", uid="${source}")
DAY = 86400
ENDS = "secretops_%s_expires_timestamp_seconds{OF_STACK}"

# Title, unit, limit, and query. A number is red from its limit on; a negative limit -N means red below N. OF_STACK
# selects the stack.
NUMBERS = (
    ("Secrets that need a person", "none", 1, "sum(secretops_secret_needs_attention{OF_STACK})"),
    ("Overdue rotations", "none", 1, 'sum(secretops_secret_finding{OF_STACK, reason="overdue"})'),
    ("Next certificate expires in", "s", -7 * DAY, f"min({ENDS % 'secret'} or {ENDS % 'certificate'}) - time()"),
    ("Servers on another version", "none", 1, 'sum(secretops_secret_servers{OF_STACK, version="other"})'),
    ("Age of this status", "s", 3600, "time() - min(secretops_status_timestamp_seconds{OF_STACK})"),
    ("Servers that are not connected", "none", 1, "count(secretops_broker_connected == 0) or vector(0)"),
)
# Title, unit, query and legend.
CHARTS = (
    ("Time since the last rotation", "s", "time() - secretops_secret_published_timestamp_seconds{OF_STACK}", "secret"),
    ("Time until the next version is due", "s", "secretops_secret_due_timestamp_seconds{OF_STACK} - time()", "secret"),
    ("Time since the last login", "s", "time() - secretops_secret_verified_timestamp_seconds{OF_STACK}", "secret"),
    ("Findings", "none", "secretops_secret_finding{OF_STACK} == 1", "secret}}: {{reason"),
    ("Servers by version", "none", "secretops_secret_servers{OF_STACK}", "secret}}: {{version"),
    ("Servers that should report", "none", "secretops_expected_servers{OF_STACK}", "stack"),
    ("Versions in use", "none", "secretops_secret_info", "instance}}: {{secret}} {{version"),
    ("Time since the source was read", "s", "time() - secretops_last_poll_timestamp_seconds", "instance"),
    ("The source is polled", "none", "secretops_following", "instance"),
    ("MQTT clients replaced for a new version", "none", "increase(secretops_swaps_total[1h])", "instance"),
    ("Refused versions", "none", "increase(secretops_refused_versions_total[1h])", "instance"),
    ("Refused messages", "none", "increase(secretops_refused_publishes_total[1h])", "instance"),
    ("Failed connects", "none", "increase(secretops_failed_connects_total[1h])", "instance"),
    ("Secrets without a first value", "none", "secretops_waiting", "instance"),
    ("A client's tool chose the connection", "none", "secretops_connection_by_tool", "instance"),
    ("Client certificate expires in", "s", "secretops_client_certificate_expiry_seconds", "instance"),
)


def render() -> str:
    source = dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus")
    stacks = dashboard.QueryVariable("stack").label("Stack").datasource(SOURCE).multi(True).include_all(True)
    stacks = stacks.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    stacks = stacks.query("label_values(secretops_status_timestamp_seconds, stack)")
    board = dashboard.Dashboard("coreflux-mcp-secrets").uid("coreflux-mcp-secrets").tags(["coreflux-mcp-secrets"])
    board = board.time("now-24h", "now").refresh("1m").editable().with_variable(source).with_variable(stacks)
    for title, unit, limit, query in NUMBERS:
        board = board.with_panel(_number(title, unit, limit, query))
    for title, unit, query, legend in CHARTS:
        panel = timeseries.Panel().title(title).unit(unit).datasource(SOURCE).span(12).height(7)
        board = board.with_panel(panel.with_target(_query(query).legend_format(f"{{{{{legend}}}}}")))
    return JSONEncoder(sort_keys=True, indent=1).encode(board.build()) + "\n"


def _number(title: str, unit: str, limit: float, query: str) -> stat.Panel:
    colors = ("green", "red") if limit > 0 else ("red", "green")
    steps = [Threshold(color=colors[0]), Threshold(value=abs(limit), color=colors[1])]
    thresholds = dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
    panel = stat.Panel().title(title).unit(unit).datasource(SOURCE).span(4).height(4).thresholds(thresholds)
    return panel.with_target(_query(query).instant())


def _query(text: str) -> prometheus.Dataquery:
    selected = text.replace("OF_STACK", 'stack=~"$stack"')
    return prometheus.Dataquery().ref_id("A").expr(selected).datasource(SOURCE)
