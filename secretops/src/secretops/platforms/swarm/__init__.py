"""Docker Swarm as a store: a version is one Swarm secret a field, and what is known of it are the labels of a config.

No daemon gives a secret's value back. Only a task that has it attached can read it: see docs/adr/0012.
"""
