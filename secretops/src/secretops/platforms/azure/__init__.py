"""The Azure store: versions are those of a secret in Key Vault, and what Key Vault can't say of them is in their tags.

    <name>            what readers find: whoever asks without a version gets its newest one, and is refused while that
                      one is disabled. One request makes a version with its value and its tags: it publishes
    <name>-pending    what is prepared and not proven yet; only the rotator reads it
    secretops-…       tags of a version: which one of ours it is, its user, when it was proven, published, retired …
    <blob>            its lease is the rotator's: Key Vault compares and swaps nothing

A version can't be deleted alone. Forgetting one is to disable it: nobody reads it then, until somebody who may write
the secret enables it again, or until the whole secret is deleted and purged (`secretops purge --destroy`). So versions
only become more: each rotation makes one in either secret, and one more for each answer that was lost. A list has 25 a
page (https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret-versions), which a cadence of 90 days fills in
six years; from then on each look, a launcher's too, is a request more. The way out is to purge the secret and to put,
or rotate, it anew.

The vault's audit log is the trail, so this store writes no access records of its own.
"""
