"""The dotenv platform."""
