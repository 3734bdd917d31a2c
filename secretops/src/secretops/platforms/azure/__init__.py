"""The Azure store: versions are those of a secret in Key Vault, and what Key Vault can't say of them is in their tags.

    <name>            what readers get: its newest version, or nothing while that one is disabled. One request makes a
                      version with its value and its tags, which publishes
    <name>-pending    the pending version; only the rotator reads it
    secretops-…       tags of a version: the id of ours, its user, when it was verified, published, retired …
    <blob>            its lease is the rotator's: Key Vault has no compare-and-swap

A version can't be deleted alone. Discarding one disables it, until somebody who may write the secret enables it again,
or the whole secret is purged (`secretops purge --destroy`). So the number of versions grows: by one in either secret
with each rotation. A list has 25 a page (https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret-versions),
which a cadence of 90 days fills in six years; then each poll takes another request, until the secret is purged and put,
or rotated, again.

The vault's audit log is the trail, so this store writes no access records.
"""
