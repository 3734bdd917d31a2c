"""Find AWS credentials as boto3 does, but without the network.

`python -m tools.standin.aws.credentials` prints where they come from, or nothing.
"""

from __future__ import annotations

import os

# Sources that need a server: a container's, and an EC2 instance's, which takes seconds to fail.
OVER_THE_NETWORK = ("container-role", "iam-role")

# Variables that are set if a container has a role.
CONTAINER = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")


def source() -> str:
    """Return boto3's name for the source of credentials, e.g. `env`, or "".

    The role of an EC2 instance is not detected: use `STANDIN=never` there.
    """
    if any(os.environ.get(name) for name in CONTAINER):
        return "container-role"
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        chain = Session().get_component("credential_provider")
        for name in OVER_THE_NETWORK:
            chain.remove(name)
        found = chain.load_credentials()
    except BotoCoreError as error:  # a profile that is named but missing: the user does have an account
        return f"an invalid AWS configuration: {error}"
    return str(found.method) if found else ""


if __name__ == "__main__":
    print(source())
