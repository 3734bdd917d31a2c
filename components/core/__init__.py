"""What the components of all platforms share."""
