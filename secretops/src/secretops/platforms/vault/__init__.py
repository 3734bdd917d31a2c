"""The store of Vault and OpenBao: a KV engine of version 2, where a version of ours is a document of a path.

    <path>            what readers find: whoever asks gets its newest document, a value and beside it which version of
                      ours it is. Written by check-and-set, after the document that was seen: it publishes
    <pending path>    what is prepared and not proven yet; only the rotator reads it
    notes             custom_metadata of both: which versions there are, their users, when each was proven, published …
    <lease>           a document that names who rotates, changed by check-and-set; its notes name the secrets kept

Documents that are not kept any more are destroyed, and a path that is forgotten is removed with all it had. The
previous one is kept, so a path needs room for three of them (max_versions): the next one, the current, the previous.

A note has no check-and-set (OpenBao's own has, and Vault's not). A note of who was followed meanwhile may come late,
and says only what was true of its own version: it never makes a document readers' own. Which document a version is in
is proven by the document.

The server's audit devices are the trail, so this store writes no access records of its own.
"""
