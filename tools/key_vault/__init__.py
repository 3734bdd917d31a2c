"""A stand-in for Azure Key Vault's data plane: the REST API for secrets. For tests only.

It proves that our requests follow Azure's published description, and that we handle Azure's answers, throttling, and
failures during a request. It proves nothing about Azure itself. Errors have the texts of real answers that users
reported.
"""
