"""Get Pulumi's CLI and language host from package registries, without Pulumi's installer."""
