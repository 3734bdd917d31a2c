"""The Vault platform: a KV v2 mount of a HashiCorp Vault or an OpenBao server as the store; both have one API.

Servers elsewhere read from it: pods by Vault's agent or External Secrets, others by the launcher itself.
"""
