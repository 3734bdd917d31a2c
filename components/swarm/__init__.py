"""The Docker Swarm platform: the store is secrets of one Swarm, the server a service of it.

Docker 20.10.24 and 23.0.3 are the oldest: the first whose encrypted networks are (CVE-2023-28840). Services can drop
capabilities, and jobs exist, since 20.10.
"""
