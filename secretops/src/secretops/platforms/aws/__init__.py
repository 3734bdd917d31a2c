"""The AWS store: versions and stages are those of Secrets Manager.

    AWSPENDING, AWSCURRENT, AWSPREVIOUS    the stage of a version; readers get AWSCURRENT, so moving it delivers
    secretops.<version>.…                  other metadata of a version: its user, its times
    secretops.last.…                       the newest entry of the journal
    table <lease>, in DynamoDB             the lease

Metadata is in labels because they change in the same call as the stage, need no read of a value and no further right
of a rotator, and are not a property of the stack's resources: `pulumi up` would remove a tag. CloudTrail is the trail,
so this store writes no access records.
"""
