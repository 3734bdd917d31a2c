"""Azure, as far as a stand-in for its provider needs it."""
