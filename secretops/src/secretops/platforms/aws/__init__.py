"""The AWS store: versions are those of a secret in Secrets Manager, and stages are its staging labels.

    AWSPENDING, AWSCURRENT, AWSPREVIOUS    the stage of a version; readers ask for AWSCURRENT, so moving it delivers
    secretops.<version>.…                  what those can't say of a version: its user, when it was proven, retired …
    secretops.last.…                       the newest entry of the journal
    table <lease>, in DynamoDB             who rotates

Labels, because they change in the same call as what they are about, cost no read of a value, need no permission that a
rotator lacks, and are no property of the stack's resources: a tag of ours would be taken back by the next `pulumi up`.
CloudTrail is the trail, so this store writes no access records of its own.
"""
