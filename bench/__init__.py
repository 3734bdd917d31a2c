"""What the project costs, measured: previews, rotations, the launcher. `make bench` runs it."""
