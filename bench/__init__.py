"""Benchmarks of previews, rotations and the launcher. `make bench` runs them."""
