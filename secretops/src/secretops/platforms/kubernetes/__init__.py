"""The Kubernetes platform: its store (store.py), trail and checks."""
