"""The Docker Swarm platform: its store (store.py), remote commands (job.py), trail and checks."""
