"""The dotenv platform: a folder of this machine as the store, a local process as the server."""
