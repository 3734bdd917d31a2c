"""HashiCorp Vault and OpenBao, which have one API: a KV v2 mount as a store. Servers of other platforms read it."""
