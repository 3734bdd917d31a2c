from __future__ import annotations

from typing import TYPE_CHECKING

from secretops.platform import OpenedStack, Platform, StoreChecks
from secretops.platforms.aws.location import AwsPrivateCaIssuer, AwsStoreLocation
from secretops.registry import with_extra

if TYPE_CHECKING:
    from secretops.check import Repair
    from secretops.engine.journal import Journal
    from secretops.engine.ports import Issuer, VersionStore
    from secretops.launcher.sources import Source
    from secretops.manifest import Manifest, Secret
    from secretops.trails import Trail


class Aws(Platform[AwsStoreLocation]):
    location = AwsStoreLocation
    issuer = AwsPrivateCaIssuer
    delivery_delay = (
        "seconds, or up to 5 minutes if the hint is lost; with NativeRef a quarter of an hour (a deployment)"
    )
    is_polled = True
    lists_orphans = False
    trail_source = "CloudTrail writes its log as files to the bucket in the stack's outputs"
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
        with with_extra("aws"):
            from secretops.platforms.aws.api import check_account
            from secretops.platforms.aws.store import aws_store
        check_account(aws_store(store).api, location)

    def unblock(self, stack: OpenedStack, secret: Secret) -> list[str]:
        """Remove an AWSPENDING label that a failed rotation by AWS left behind. Ignores operator-supplied secrets:
        others may stage versions of these."""
        with with_extra("aws"):
            from secretops.platforms.aws.store import aws_store
        if not secret.kind.alternates or secret.name not in self.of(stack.manifest).secrets:
            return []
        released = aws_store(stack.store).release_stray_pending(secret.name, stack.clock())
        return [released] if released else []

    def open_issuer(self, manifest: Manifest, issuer: AwsPrivateCaIssuer) -> Issuer:
        with with_extra("aws"):
            from secretops.platforms.aws.private_ca import AwsPrivateCa
        return AwsPrivateCa(issuer)

    def open_source(self, place: str) -> Source:
        with with_extra("aws"):
            from secretops.platforms.aws.source import SecretsManager
        return SecretsManager(place)


PLATFORM = Aws()
