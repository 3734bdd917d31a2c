"""The Azure store: versions are those of a secret in Key Vault, with further metadata in their tags.

    <name>            readers get its newest enabled version. One request creates a version with its value and its tags
    <name>-pending    the pending version; only the rotator reads it
    secretops-…       tags of a version: the id of secretops, its user, its times
    <blob>            its lease is the rotator's: Key Vault has no compare-and-swap

A version cannot be deleted alone: discarding disables it. So each rotation adds a version to either secret, until
`secretops purge --destroy` purges the secret. A list has 25 versions per page, and each poll reads all pages:
https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret-versions
"""
