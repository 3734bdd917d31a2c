"""Are there AWS credentials on this machine? boto3's own chain, without asking the network.

Run by hand it prints where they are from, or nothing: `python -m tools.standin.aws.credentials`.
"""

from __future__ import annotations

import os

OVER_THE_NETWORK = ("container-role", "iam-role")
"""The links of the chain that ask a server: a container's, and that of an EC2 instance, which takes seconds to fail."""

CONTAINER = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
"""Set where a container has a role: that there are credentials is then known without fetching them."""


def source() -> str:
    """Where boto3 would take credentials from, e.g. `env` or `shared-credentials-file`; nothing if there are none.

    The role of an EC2 instance is not seen: nothing on the machine tells of it. `STANDIN=never` does.
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
    except BotoCoreError as error:  # a profile that is named and is not there: that is somebody with an account
        return f"AWS's configuration, which is wrong: {error}"
    return str(found.method) if found else ""


if __name__ == "__main__":
    print(source())
