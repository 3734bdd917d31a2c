"""The Azure store: versions are those of a secret in Key Vault, with further metadata in their tags.

    <name>            readers get its newest enabled version. One request creates a version with its value and its tags
    <name>-pending    the pending version; only the rotator reads it
    secretops-…       tags of a version: its id in secretops, its user, its times
    <blob>            the lease of this blob is the rotator's lease, since Key Vault has no compare-and-swap

A single version cannot be deleted, so discarding disables it. Each rotation adds a version to both secrets, until
`secretops purge --destroy` purges them. A list has 25 versions per page, and each poll reads all pages:
https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret-versions
"""
