"""A folder per platform: store, lease, trail, checks and launcher source."""
