"""What the launcher costs and what it spares, measured beside the upstream server alone. `make bench` runs it."""
