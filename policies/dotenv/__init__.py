"""Rules of the platform dotenv."""
