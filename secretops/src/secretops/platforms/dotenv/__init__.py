"""The dotenv store: a folder of this machine."""
