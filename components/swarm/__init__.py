"""The Docker Swarm platform: the store is secrets of one Swarm, the server a service of it.

Docker 20.10 is the oldest: the first whose services can drop capabilities.
"""
