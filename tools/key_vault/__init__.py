"""A stand-in for Azure Key Vault's data plane: secrets by its REST API. For tests only.

It proves that our requests follow Azure's published description, and that we accept Azure's answers, also throttling
and half-done requests. It proves nothing about Azure. Texts of errors are from real answers that users reported.
"""
