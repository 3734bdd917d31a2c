"""What a schedule of systemd's says, whichever service it starts."""

from __future__ import annotations

TIMER = """\
[Unit]
Description=Every hour: secretops tick, stack {stack}

[Timer]
OnCalendar=hourly
RandomizedDelaySec=5min
Persistent=yes

[Install]
WantedBy=timers.target
"""
"""A unit file with `{stack}` in it. Persistent: what was missed while the machine was off is caught up."""
