"""The Kubernetes store: versions in a Secret that only the rotator reads, delivered into the Secrets that pods mount.

    Secret <versions>     every version kept of every secret: what they are in annotations, their values in data
    Secret <delivered>    what readers find: a key a field, and <secret>-version
    Lease <lease>         who rotates

The API server's audit log is the trail, so this store writes no access records of its own.
"""
