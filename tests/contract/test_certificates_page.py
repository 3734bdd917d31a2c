"""The commands of docs/operations/certificates.md, run as they stand there, over a real mosquitto."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.issued import make_issued_stack, make_root, signed_by_root, trust
from tests.real.mosquitto import Mosquitto, start_mosquitto
from tests.real.openbao import OpenBao
from tests.real.own_ca import AUTHORITY, CERTIFICATE, Certified, make_certified
from tests.real.stack import DEADLINE
from tests.stacks.runbook import OPERATIONS, blocks

pytestmark = pytest.mark.real
SUPPLY, MAKE, TRUST, SIGN, ASK, TAKE, CHANGE = blocks(OPERATIONS / "certificates.md")
PAGES_MOUNT = "coreflux-mcp-prod-pki"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "broker"
    (folder / "clients").mkdir(parents=True)
    started = start_mosquitto(folder, certifying=True, trusts=folder / "clients")
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def stack(tmp_path: Path, broker: Mosquitto) -> Certified:
    return make_certified(tmp_path, broker)


def follow(stack: Certified, block: str, *, code: int = 0) -> str:
    """Type a block where the broker's configuration lies. Gives what was said."""
    bin_ = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-ec", block],
        cwd=stack.broker.folder,
        env={**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}", "SECRETOPS_MANIFEST": str(stack.stack.file)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == code, f"{block}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def test_a_ca_of_the_stacks_own_is_made_trusted_and_changed(stack: Certified) -> None:
    assert "`secretops trust`" in follow(stack, MAKE, code=5)
    follow(stack, TRUST)
    follow(stack, SIGN)
    stack.stack.put("broker-admin", dict(stack.broker.admin))
    assert stack.errors() == {}
    assert stack.log_in() == "Success"
    old, before = stack.current(AUTHORITY), stack.current()
    assert "until then the one before does" in follow(stack, MAKE, code=3)
    follow(stack, TRUST)
    assert len(list((stack.broker.folder / "clients").glob("*.crt"))) == 2
    assert stack.errors() == {}
    assert stack.current(AUTHORITY) != old and stack.current() == before
    follow(stack, SIGN.splitlines()[1])
    stack.stack.skip_grace()
    for _ in range(2):
        assert stack.errors() == {}
    follow(stack, TRUST)
    assert len(list((stack.broker.folder / "clients").glob("*.crt"))) == 1
    assert stack.log_in() == "Success"


def test_one_that_is_supplied_is_put_as_the_page_has_it(stack: Certified) -> None:
    secrets = (one.model_copy(update={"issuer": None}) for one in stack.stack.manifest.secrets if one.name != AUTHORITY)
    stack.stack.manifest = stack.stack.manifest.model_copy(update={"secrets": tuple(secrets)})
    stack.stack.file.write_text(stack.stack.manifest.model_dump_json())
    said = follow(stack, SUPPLY)
    assert "published as" in said
    assert stack.versions(CERTIFICATE).current


def test_vaults_pki_gets_another_ca_as_the_page_has_it(tmp_path: Path, openbao: OpenBao) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = start_mosquitto(folder, certifying=True)
    try:
        stack = make_issued_stack(tmp_path, broker, openbao)
        stack.rotate(CERTIFICATE)
        stack.put("broker-admin", dict(broker.admin))
        stack.tick()
        first = stack.found(CERTIFICATE)["client.crt"]

        def typed(block: str, **named: str) -> str:
            done = subprocess.run(
                ["bash", "-ec", block.replace(PAGES_MOUNT, stack.issuer.mount)],
                cwd=tmp_path,
                env={
                    **{"PATH": f"{openbao.program.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)},
                    **openbao.environment(openbao.root),
                    **named,
                },
                capture_output=True,
                text=True,
                timeout=DEADLINE,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        typed(ASK)
        name, root = make_root(openbao)
        signed = signed_by_root(openbao, name, (tmp_path / "clients.csr").read_text(), common_name="clients")
        (tmp_path / "signed.pem").write_text(f"{signed}\n{root}\n")
        said = typed(TAKE)
        ids = re.findall(r"([0-9a-f-]{36}):[0-9a-f-]{36}", said)
        assert len(ids) == 1, f"one has a key beside it: {said}"
        (tmp_path / "root.crt").write_text(root)
        trust(broker, stack)
        typed(CHANGE, ID=ids[0])
        stack.rotate(CERTIFICATE)
        shown = stack.found(CERTIFICATE)["client.crt"]
        assert shown != first and shown.rstrip().endswith(signed.strip())
        assert stack.log_in() == "Success"
    finally:
        broker.stop()
