"""The AWS store: versions and stages are those of Secrets Manager.

    AWSPENDING, AWSCURRENT, AWSPREVIOUS    the stage of a version; readers get the one with AWSCURRENT
    secretops.<version>.…                  other metadata of a version: its user, its times
    secretops.last.…                       the newest entry of the journal
    table <lease>, in DynamoDB             the lease

Metadata is in labels: one request writes them together with a value, and `pulumi up` does not reset them.
"""
