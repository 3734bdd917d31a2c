"""HashiCorp Vault and OpenBao (one API): a KV v2 mount as a store for servers of other platforms."""
