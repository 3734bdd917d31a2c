"""The Kubernetes platform."""
