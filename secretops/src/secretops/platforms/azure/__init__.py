"""The Azure store: versions are those of a secret in Key Vault, with further metadata in their tags.

    <name>            readers get its newest version, or nothing while that one is disabled. One request creates a
                      version with its value and its tags, which publishes it
    <name>-pending    the pending version; only the rotator reads it
    secretops-…       tags of a version: the id of secretops, its user, its times
    <blob>            its lease is the rotator's: Key Vault has no compare-and-swap

A version cannot be deleted alone. Discarding disables it, until a person with the right to write enables it again, or
`secretops purge --destroy` purges the secret. So each rotation adds a version to either secret. A list has 25 per page
(https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret-versions), which a cadence of 90 days fills in six
years; then each poll takes another request until the secret is purged and put again.

The vault's audit log is the trail, so this store writes no access records.
"""
