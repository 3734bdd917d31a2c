"""The store of Vault and OpenBao: a KV engine of version 2, where a version of ours is a document of a path.

    <path>            what readers get: its newest document, with a value and the id of our version. Writing it by
                      check-and-set publishes
    <pending path>    the pending version; only the rotator reads it
    notes             custom_metadata of both: the versions, their users, when each was verified, published …
    <lease>           the document of the lease, written by check-and-set; its notes are the index of the secrets

Retired documents are destroyed, and a purged path is removed. A path needs room for three documents (max_versions): the
next, the current and the previous one.

Vault's notes have no check-and-set (OpenBao's have). A late note of a process that lost the lease tells only facts of
its own version, and never changes which document is current: the document itself proves its version.

The server's audit devices are the trail, so this store writes no access records.
"""
