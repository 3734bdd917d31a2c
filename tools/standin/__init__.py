"""A stand-in for a cloud's Pulumi provider, for CI and for whoever has no credentials.

The engine, the program and the SDK are real; in the place of the provider is this small process. It checks every input
against the SDK's own types and the cloud's published models and refuses with value, rule and remedy, and it makes up
what the cloud would compute. It proves that the program runs, that its inputs have the right form, what depends on
what, and that a second run changes nothing. It cannot prove that a cloud accepts or does anything.
"""
