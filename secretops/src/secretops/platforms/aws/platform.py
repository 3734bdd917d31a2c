"""AWS: Secrets Manager as a store, CloudTrail as its log, and AWS Private CA as an issuer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secretops.platform import OpenedStack, Platform, StoreChecks
from secretops.platforms.aws.location import AwsPrivateCaIssuer, AwsStoreLocation
from secretops.registry import with_extra

if TYPE_CHECKING:
    from secretops.check import Repair
    from secretops.engine.journal import Journal
    from secretops.engine.ports import Issuer, VersionStore
    from secretops.launcher.source import Source
    from secretops.manifest import Manifest, Secret
    from secretops.trails import Trail


class Aws(Platform[AwsStoreLocation]):
    """Secrets Manager in one region of one account."""

    location = AwsStoreLocation
    issuer = AwsPrivateCaIssuer
    delivery_delay = (
        "seconds, or 5 minutes if the hint is lost; with NativeRef as long as a deployment (a quarter of an hour)"
    )
    is_polled = True
    lists_orphans = False
    trail_source = "CloudTrail lays its log into a bucket, which the stack's outputs name, as one file for minutes"
    no_value_trail = "CloudTrail has no trace of a value"

    def open_store(self, location: AwsStoreLocation, *, role: str) -> tuple[VersionStore, Journal]:
        with with_extra("aws"):
            from secretops.platforms.aws.store import SecretsManagerVersionStore
        store = SecretsManagerVersionStore(location, log_entries=role == "rotator")
        return store, store.journal

    def open_trail(self, manifest: Manifest) -> Trail:
        from secretops.platforms.aws.trail import CloudTrail

        return CloudTrail(self.of(manifest))

    def checks(self, stack: OpenedStack, tick: Repair) -> StoreChecks:
        with with_extra("aws"):
            from secretops.platforms.aws.checks import aws_checks
            from secretops.platforms.aws.checks.account import Account
        account = Account(self.of(stack.manifest))
        return StoreChecks(reach=account.reach, checks=aws_checks(account, stack, tick))

    def check_owner(self, location: AwsStoreLocation, store: VersionStore) -> None:
        """Another account may have secrets of the same names."""
        with with_extra("aws"):
            from secretops.platforms.aws.api import check_account
            from secretops.platforms.aws.store import SecretsManagerVersionStore
        if isinstance(store, SecretsManagerVersionStore):
            check_account(store.api, location)

    def unblock(self, stack: OpenedStack, secret: Secret) -> list[str]:
        """Release an AWSPENDING that AWS left when a rotation of its own failed."""
        with with_extra("aws"):
            from secretops.platforms.aws.rotation_setup import take_stray_pending
        taken = take_stray_pending(stack, self.of(stack.manifest), secret)
        return [taken] if taken else []

    def open_issuer(self, manifest: Manifest, issuer: AwsPrivateCaIssuer) -> Issuer:
        with with_extra("aws"):
            from secretops.platforms.aws.private_ca import AwsPrivateCa
        return AwsPrivateCa(issuer)

    def open_source(self, place: str) -> Source:
        with with_extra("aws"):
            from secretops.platforms.aws.source import SecretsManager
        return SecretsManager(place)


PLATFORM = Aws()
