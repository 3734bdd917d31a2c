"""A stand-in for a cloud's Pulumi provider, for CI and for users without credentials.

It checks inputs against the SDK's types and the cloud's published models, and makes up outputs that the cloud computes.
It proves that the program runs, that its inputs have the right form, and that a second run changes nothing. It can't
prove that a cloud accepts anything.
"""
