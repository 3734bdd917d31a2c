"""The Docker Swarm platform: secrets of a Swarm as the store, a service of it as the server.

The oldest supported releases of Docker are 20.10.24 and 23.0.3: older ones accept injected packets in encrypted
networks (CVE-2023-28840).
"""
