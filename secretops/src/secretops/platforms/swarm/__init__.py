"""The Docker Swarm platform."""
