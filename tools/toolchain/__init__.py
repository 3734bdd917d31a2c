"""Pulumi on a machine that reaches package registries and not Pulumi's installer: its CLI and language host."""
