"""The Docker Swarm platform: the store is secrets of one Swarm, the server a service of it.

The oldest supported releases of Docker are 20.10.24 and 23.0.3: older ones accept packets that somebody injects into
an encrypted network (CVE-2023-28840). Services can drop capabilities, and jobs exist, since 20.10.
"""
