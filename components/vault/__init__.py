"""HashiCorp Vault and OpenBao, which share an API: a KV v2 mount as a store for servers of other platforms."""
