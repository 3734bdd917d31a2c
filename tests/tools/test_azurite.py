"""A blob's lease, on Microsoft's own emulator by the real SDK: what the Azure store's lock rests on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.real.azure import Azure
from tests.real.azurite import Azurite

pytest.importorskip("azure.storage.blob", reason="Azure's SDK is not installed: the extra `azure`")

from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.storage.blob import BlobClient, BlobLeaseClient

pytestmark = pytest.mark.real

SHORTEST = 15
"""Seconds that a lease lasts at least, by the REST API's page "Lease Blob"."""
DEADLINE = 60.0


@pytest.fixture
def blob(azure: Azure, azurite: Azurite) -> BlobClient:
    return azurite.new_blob(azure.principal())


def refusal(call: Callable[[], Any]) -> tuple[int | None, str]:
    """Status and code of what the SDK raises."""
    with pytest.raises(HttpResponseError) as raised:
        call()
    error: Any = raised.value
    return error.status_code, getattr(error.error_code, "value", error.error_code)  # the SDK knows not all of them


def test_a_lease_is_of_one_holder_until_it_is_given_back(azure: Azure, azurite: Azurite, blob: BlobClient) -> None:
    other = BlobClient.from_blob_url(blob.url, azure.credential(azure.principal()), **azure.client_options)
    lease = blob.acquire_lease(lease_duration=SHORTEST)
    assert refusal(lambda: other.acquire_lease(lease_duration=SHORTEST)) == (409, "LeaseAlreadyPresent")
    lease.renew()
    given_back = BlobLeaseClient(blob, lease_id=lease.id)  # the SDK's own forgets its id with the release
    assert refusal(lambda: other.acquire_lease(lease_duration=SHORTEST))[0] == 409
    lease.release()
    other.acquire_lease(lease_duration=SHORTEST)
    assert refusal(given_back.renew)[0] == 409


def test_whoever_holds_no_lease_or_another_writes_nothing(blob: BlobClient) -> None:
    lease = blob.acquire_lease(lease_duration=SHORTEST)
    blob.upload_blob(b"mine", overwrite=True, lease=lease)
    another = BlobLeaseClient(blob, lease_id="00000000-0000-0000-0000-000000000000")
    assert refusal(lambda: blob.upload_blob(b"", overwrite=True, lease=another)) == (
        412,
        "LeaseIdMismatchWithBlobOperation",
    )
    assert refusal(lambda: blob.upload_blob(b"", overwrite=True)) == (412, "LeaseIdMissing")
    assert refusal(lambda: blob.set_blob_metadata({"by": "another"}, lease=another))[0] == 412
    assert refusal(blob.delete_blob)[0] == 412
    assert blob.download_blob().readall() == b"mine"


def test_a_lease_is_broken_by_whoever_may_write_and_then_is_the_next_ones(blob: BlobClient) -> None:
    lease = blob.acquire_lease(lease_duration=60)
    BlobLeaseClient(blob).break_lease(lease_break_period=0)
    assert refusal(lease.renew) == (409, "LeaseIsBrokenAndCannotBeRenewed")
    blob.acquire_lease(lease_duration=SHORTEST)
    assert refusal(lambda: blob.upload_blob(b"", overwrite=True, lease=lease))[0] == 412


def test_a_lease_that_nobody_renews_ends_by_itself_and_not_before(blob: BlobClient) -> None:
    begun = time.monotonic()
    held = blob.acquire_lease(lease_duration=SHORTEST)
    taken = None
    while taken is None and time.monotonic() < begun + DEADLINE:
        try:
            taken = blob.acquire_lease(lease_duration=SHORTEST)
        except HttpResponseError as error:
            assert error.status_code == 409
            time.sleep(0.2)
    assert taken is not None, f"still held after {DEADLINE} s"
    assert time.monotonic() - begun >= SHORTEST - 1  # its clock counts whole seconds
    assert refusal(held.renew)[0] == 409
    assert refusal(lambda: blob.upload_blob(b"", overwrite=True, lease=held))[0] == 412


def test_a_token_for_something_else_opens_nothing(azure: Azure, azurite: Azurite, blob: BlobClient) -> None:
    class ForKeyVault:
        """Gives tokens for Key Vault, whatever is asked for."""

        def get_token_info(self, *_scopes: str, **_: Any) -> Any:
            return azure.credential(azure.principal()).get_token_info("https://vault.azure.net/.default")

        get_token = get_token_info

    stranger = BlobClient.from_blob_url(blob.url, ForKeyVault(), **azure.client_options)
    with pytest.raises(ClientAuthenticationError):
        stranger.acquire_lease(lease_duration=SHORTEST)
