"""Rules of the platform swarm."""
