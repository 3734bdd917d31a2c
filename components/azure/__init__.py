"""The Azure platform: Key Vault as the store, Container Apps for server and rotator, Azure Monitor as the trail."""
