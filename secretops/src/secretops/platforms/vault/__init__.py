"""The store of Vault and OpenBao: a KV engine of version 2, with a document for each version.

    <path>            what readers get: the newest document. A write by check-and-set publishes
    <pending path>    the pending version, which only the rotator reads
    custom_metadata   of both paths: the versions with their users and times
    <lease>           the document of the lease; its custom_metadata is the index of secrets

A path needs room for three documents (max_versions). Vault has no check-and-set for custom_metadata, but a late write
changes only the key of its own version. The audit devices are the trail.
"""
