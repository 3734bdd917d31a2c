"""The Pulumi components: one vocabulary, a folder per platform."""
