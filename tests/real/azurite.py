"""Azurite, Microsoft's emulator of Azure Storage: its Blob service, with TLS and OAuth. A pytest plugin.

With `--oauth basic` it checks a token's issuer, audience and times, but not its signature. It has no roles. The tests
use its leases and conditions. A test moves its clock ahead instead of waiting for the end of a lease (15 s at least).
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.real.azure import Azure
from tests.real.ports import free_port
from tools import azure_parts

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobServiceClient

    from tools.key_vault.tokens import Principal

CLOCK = Path(__file__).with_name("azurite_clock.cjs")
START_SECONDS = 600.0
LISTENS = "successfully listens on"


@dataclass(frozen=True)
class Ahead:
    """Seconds that a clock is ahead of the machine's, in a file that any process may read."""

    file: Path

    def __call__(self) -> float:
        return float(self.file.read_text())

    def skip(self, seconds: float) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(str(self() + seconds))
        new.replace(self.file)


@dataclass(frozen=True)
class Azurite:
    """One account of Azurite, under its name in Azure."""

    azure: Azure
    account: str
    ahead: Ahead  # Its clock. No test moves it by as much as a token is valid for.

    @property
    def url(self) -> str:
        return f"https://{self.account}.blob.core.windows.net"

    def service(self, principal: Principal, **options: Any) -> BlobServiceClient:
        from azure.storage.blob import BlobServiceClient

        return BlobServiceClient(self.url, self.azure.credential(principal), **{**self.azure.client_options, **options})

    def new_blob(self, principal: Principal, content: bytes = b"") -> BlobClient:
        container = self.service(principal).create_container(f"test-{secrets.token_hex(5)}")
        blob = container.get_blob_client("lease")
        blob.upload_blob(content)
        return blob


@pytest.fixture(scope="session")
def azurite(azure: Azure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with running(azure, tmp_path_factory.mktemp("azurite"), f"standin{secrets.token_hex(4)}") as made:
        yield made


@contextmanager
def running(azure: Azure, folder: Path, account: str) -> Iterator[Azurite]:
    pytest.importorskip("azure.storage.blob", reason="Azure's SDK is not installed: the extra `azure`")
    node = shutil.which("node")
    if node is None or not azure_parts.azurite().is_file():
        pytest.skip("Azurite is not installed: tools/setup.py --parts")
    made = Azurite(azure, account, Ahead(folder / "ahead"))
    made.ahead.file.write_text("0")
    for _ in range(5):  # another process may take the port meanwhile
        port = free_port()
        process = _start(node, folder, made, port)
        if _listens(process, folder):
            break
    else:
        pytest.fail(f"Azurite did not start: {(folder / 'log').read_text()[-2000:]}")
    azure.hosts.ports[f"{account}.blob.core.windows.net"] = port
    try:
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start(node: str, folder: Path, made: Azurite, port: int) -> subprocess.Popen[bytes]:
    key = base64.b64encode(os.urandom(32)).decode()  # required, but unused
    words = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--oauth", "basic"]
    words += ["--cert", str(made.azure.certificate.file), "--key", str(made.azure.certificate.key)]
    words += ["--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [node, "--require", str(CLOCK), str(azure_parts.azurite()), *words],
            cwd=folder,
            env={**os.environ, "AZURITE_ACCOUNTS": f"{made.account}:{key}", "AZURITE_AHEAD": str(made.ahead.file)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _listens(process: subprocess.Popen[bytes], folder: Path) -> bool:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if LISTENS in (folder / "log").read_text(errors="replace"):
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.02)
    process.kill()
    process.wait()
    return False
