"""The Kubernetes platform: Secrets of one namespace as the store, a Deployment in it as the server.

The oldest supported release is 1.27: from it on, nodes can by default be drained of pods that are not ready, whatever
their disruption budget.
"""
