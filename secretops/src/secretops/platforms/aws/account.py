"""Whose account answers: the stack's, or one that has secrets of the same names."""

from __future__ import annotations

from secretops.errors import UsageError
from secretops.platforms.aws.api import Api
from secretops.platforms.aws.location import AwsStoreLocation


def refuse_another_account(api: Api, location: AwsStoreLocation) -> None:
    """Raise UsageError where the credentials lead to another account, which has secrets of the same names.

    Raises what `Api.described` does. Costs a request only while this process knows no secret yet.
    """
    account = api.account or api.described(next(iter(location.secrets.values())))["ARN"].split(":")[4]
    if account != location.account:
        raise another_account(account, location)


def another_account(found: str, location: AwsStoreLocation) -> UsageError:
    """That the credentials are of account `found`, and not of the stack's."""
    return UsageError(
        f"the AWS credentials are of account {found}",
        rule=f"the stack's secrets are in account {location.account}; nothing was asked for or written in another",
        remedy="AWS_PROFILE names a profile of that account; aws sts get-caller-identity says whose credentials you "
        "have",
    )
