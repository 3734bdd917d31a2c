"""A stack file, parsed once: `Pulumi.<stack>.yaml` becomes `Settings`, or every error at once."""
