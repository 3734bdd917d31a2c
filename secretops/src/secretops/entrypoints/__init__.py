"""Where a platform that calls functions, and not commands, calls secretops."""
