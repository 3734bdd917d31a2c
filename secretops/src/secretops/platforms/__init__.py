"""Each platform's folder has its store, lease, trail, checks and launcher source."""
