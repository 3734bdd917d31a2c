"""The store of Vault and OpenBao: a KV engine of version 2, where a version of ours is a document at a path.

    <path>            what readers get: the newest document, with a value and the id of our version. A write by
                      check-and-set publishes
    <pending path>    the pending version, which only the rotator reads
    custom_metadata   of both paths: the versions with their users and times
    <lease>           the document of the lease, written by check-and-set; its custom_metadata is the index of secrets

Retired documents are destroyed, and a purged path is removed. A path needs room for three documents (max_versions): the
next, the current and the previous one.

Vault has no check-and-set for custom_metadata (OpenBao has). A late write of a process that lost the lease affects only
its own version, and never which document is current: the document itself has the id of its version.

The server's audit devices are the trail, so this store writes no access records.
"""
