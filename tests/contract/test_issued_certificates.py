"""A client certificate that a real OpenBao signs and secretops renews, at a mosquitto that requires one."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509

from components.vault import policies
from components.vault.args import Names
from components.vault.secret_store import document
from secretops.engine.decisions import renewal_at
from secretops.engine.state import Version, Versions
from secretops.errors import UnreachableError
from secretops.values import Value
from tests.gates.doomed import start
from tests.real.certified import Connecting
from tests.real.issued import IssuedStack, make_another_ca, make_issued_stack, sign_by, trust
from tests.real.mosquitto import Mosquitto, start_mosquitto
from tests.real.openbao import DEADLINE, OpenBao
from tests.real.stack import Readers

pytestmark = [pytest.mark.real, pytest.mark.slow]
CERTIFICATE = "client-cert"
LOADED = 2  # Renewals under load, before one by a new CA.


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "broker"
    folder.mkdir()
    made = start_mosquitto(folder, certifying=True)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def stack(tmp_path: Path, broker: Mosquitto, openbao: OpenBao) -> IssuedStack:
    return make_issued_stack(tmp_path, broker, openbao)


@pytest.fixture
def running(stack: IssuedStack, broker: Mosquitto) -> IssuedStack:
    stack.rotate(CERTIFICATE)
    stack.put("broker-admin", dict(broker.admin))
    assert errors(stack) == []
    return stack


def errors(stack: IssuedStack) -> list[str]:
    return [str(one.error) for one in stack.tick() if one.error]


def versions(stack: IssuedStack) -> Versions:
    return stack.session().store.versions(CERTIFICATE)


def current(stack: IssuedStack) -> Version:
    found = versions(stack).current
    assert found
    return found


def due(stack: IssuedStack) -> None:
    """Move the clock to the renewal of the current certificate. OpenBao uses the real time, so the next certificate is
    valid for a shorter time."""
    at = renewal_at(current(stack))
    assert at
    stack.clock.skip((at - stack.clock()).total_seconds() + 1)


def test_renewals_and_a_new_ca_under_load_fail_no_connect(
    running: IssuedStack, broker: Mosquitto, openbao: OpenBao
) -> None:
    """The broker restarts only before and after the load, because a restart ends every session."""
    first = root_of(running)
    another = make_another_ca(openbao, running)
    trust(broker, running)  # both, before the new one signs anything
    with Connecting(
        running.manifest.broker, running.folder, lambda: (running.found(CERTIFICATE), running.delivered())
    ) as load:
        for renewal in range(LOADED + 1):
            if renewal == LOADED:
                assert root_of(running) == first, "the one before signs on"
                sign_by(openbao, running, another)
            load.caught_up()
            due(running)
            assert errors(running) == []
        load.caught_up()
    assert load.failures == []
    assert len(load.certificates) == LOADED + 2, "each was connected with"
    assert root_of(running) != first
    broker.ca_file.write_text(authority_alone(broker) + (running.folder / "root.crt").read_text())
    broker.stop()
    assert broker.start()
    assert running.log_in() == "Success", "the old CA may leave the broker's bundle"


def root_of(stack: IssuedStack) -> str:
    return x509.load_pem_x509_certificates(stack.found(CERTIFICATE)["client.crt"].encode())[-1].issuer.rfc4514_string()


def authority_alone(broker: Mosquitto) -> str:
    own, _, _ = broker.ca_file.read_text().partition("-----END CERTIFICATE-----\n")
    return f"{own}-----END CERTIFICATE-----\n"


def test_a_renewal_killed_in_the_middle_is_ended_by_one_tick(running: IssuedStack) -> None:
    recorded = start(running, "rotate", CERTIFICATE)
    assert recorded.end() == 0, recorded.moments
    moments = recorded.moments
    with Readers(running) as readers:
        for at in map(moments.index, ("before store.add", "after store.add", "after store.publish")):
            before = current(running).id
            doomed = start(running, "rotate", CERTIFICATE, kill_at=at)
            assert doomed.end() == -signal.SIGKILL
            pending = versions(running).pending
            if moments[at] == "after store.add":
                assert pending
            assert errors(running) == [], moments[at]
            after = versions(running)
            assert after.pending is None and after.current and after.current.published and after.current.verified
            if pending:
                assert after.current.id == pending.id, "what was made is finished, and nothing else is made"
            elif moments.index("after store.publish") > at:
                assert after.current.id == before
            assert running.log_in() == "Success", moments[at]
        readers.caught_up()
    assert readers.failures == []


def test_refused_certificate_is_never_published(tmp_path: Path, broker: Mosquitto, openbao: OpenBao) -> None:
    stack = make_issued_stack(tmp_path, broker, openbao, trusted=False)
    with pytest.raises(UnreachableError) as refused:
        stack.rotate(CERTIFICATE)
    pending = versions(stack).pending
    assert pending and versions(stack).current is None
    assert pending.id in str(refused.value) and "PRIVATE KEY" not in str(refused.value)
    trust(broker, stack)
    assert stack.rotate(CERTIFICATE).id == pending.id == current(stack).id


def test_the_key_is_in_the_store_and_nowhere_else(running: IssuedStack, openbao: OpenBao) -> None:
    key = "".join(running.found(CERTIFICATE)["client.key"].splitlines()[1:-1])
    output = b"".join(file.read_bytes() for file in (*openbao.audit_files, openbao.log_file))
    assert b"/sign/client" in output
    assert key[:40].encode() not in output


@contextmanager
def agent(stack: IssuedStack, openbao: OpenBao, *secrets_read: str) -> Iterator[Path]:
    """Run a real agent with the product's templates and the server's policy. Return its output folder."""
    names, folder = Names(base=stack.place.mount), stack.folder / "agent"
    folder.mkdir()
    rights = policies.document([*policies.of_server(names, secrets_read, polls=False)])
    (folder / "token").write_text(openbao.token(openbao.policy(rights), period="1h"))
    templates = [
        {
            "destination": str(folder / f"{name}.json"),
            "contents": document(names, stack.manifest.secret(name)),
        }
        for name in secrets_read
    ]
    configuration = {
        "vault": {"address": openbao.address, "ca_cert": str(openbao.ca_file), "retry": {"num_retries": 2}},
        "auto_auth": {"method": [{"type": "token_file", "config": {"token_file_path": str(folder / "token")}}]},
        "template_config": {"exit_on_retry_failure": False, "static_secret_render_interval": "1s"},
        "template": templates,
    }
    (folder / "agent.json").write_text(json.dumps(configuration))
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", str(openbao.program), "agent", f"-config={folder}/agent.json"],
            env={"PATH": os.environ["PATH"], "HOME": str(folder)},
            stdout=log,
            stderr=log,
        )
    try:
        yield folder
    finally:
        process.kill()
        process.wait()


def test_agent_files_log_in_through_renewals_and_the_agent_issues_nothing(
    running: IssuedStack, broker: Mosquitto, openbao: OpenBao
) -> None:
    """`agent-key` never gets a value, so its template fails and is retried all the time."""
    served = ("mqtt", CERTIFICATE, "agent-key")
    with agent(running, openbao, *served) as folder:

        def written(name: str) -> dict[str, str]:
            return dict(json.loads((folder / f"{name}.json").read_text())[name])

        def pair() -> tuple[dict[str, str], Value]:
            mqtt = written("mqtt")
            return written(CERTIFICATE), Value({key: mqtt[key] for key in ("username", "password")})

        until(lambda: all((folder / f"{name}.json").exists() for name in served[:2]))
        signed = len(certificates(openbao, running))
        with Connecting(running.manifest.broker, running.folder, pair) as load:
            for renewal in range(1, 4):
                load.caught_up()
                due(running)
                assert errors(running) == []
                renewed = current(running).id
                until(lambda version=renewed: written(CERTIFICATE)["version"] == version)  # type: ignore[misc]
                load.caught_up()
                assert len(certificates(openbao, running)) == signed + renewal, "the tick's alone"
        assert load.failures == [] and load.connects >= 16
        assert len(load.certificates) == 4
        assert "agent-key" in (folder / "log").read_text() and not (folder / "agent-key.json").exists()


def until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.05)


def certificates(openbao: OpenBao, stack: IssuedStack) -> list[str]:
    return list(openbao.client().list(f"{stack.issuer.mount}/certs")["data"]["keys"])
