"""One folder a platform: store, lease, trail, checks and launcher source."""
