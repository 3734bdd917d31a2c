"""The dotenv platform: a folder of this machine as the store, a process of this machine as the server."""
