"""A stack file, parsed once: `Pulumi.<stack>.yaml` becomes `Settings`, or an error that lists every problem."""
