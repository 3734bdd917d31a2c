"""The Docker Swarm platform: its store (store.py), remote commands (remote_command.py), trail and checks."""
