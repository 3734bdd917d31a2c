"""Where reads are recorded, read back. One module a log format, one form for all of them (`protocol.Access`)."""
