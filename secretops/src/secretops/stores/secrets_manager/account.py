"""Whose account answers: the stack's, or one that has secrets of the same names."""

from __future__ import annotations

from secretops.errors import UsageError
from secretops.manifest import AwsStore
from secretops.stores.protocol import VersionStore
from secretops.stores.secrets_manager.api import Api
from secretops.stores.secrets_manager.store import SecretsManagerVersionStore


def api_of(store: VersionStore) -> Api:
    """What `store` asks AWS with. Raises UsageError where it is another platform's."""
    if isinstance(store, SecretsManagerVersionStore):
        return store.api
    raise UsageError(
        "the stack's store is another platform's",
        rule="what is asked is Secrets Manager's alone",
        remedy="give the manifest of a stack whose store is aws",
    )


def refuse_another_account(store: VersionStore, location: AwsStore) -> None:
    """Raise UsageError where the credentials lead to another account, which has a secret of the lease's name."""
    arn = api_of(store).described(location.lease)["ARN"]
    if (found := arn.split(":")[4]) != location.account:
        raise another_account(found, location)


def another_account(found: str, location: AwsStore) -> UsageError:
    """That the credentials are of account `found`, and not of the stack's."""
    return UsageError(
        f"the AWS credentials are of account {found}",
        rule=f"the stack's secrets are in account {location.account}; nothing was asked for or written in another",
        remedy="AWS_PROFILE names a profile of that account; aws sts get-caller-identity says whose credentials you "
        "have",
    )
