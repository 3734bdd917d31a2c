"""A server in a Swarm whose secrets are in Vault: the launcher asks, and shows what an operator made. Under mocks."""

from __future__ import annotations

import pytest

from components.section import PROJECT_FOLDER
from components.swarm import deployer, service
from components.swarm.server_shape import LOGIN_FILE, VAULT_CA_FILE
from components.vault.login import IN_A_CONTAINER
from tests.unit.harness import Deployed, ca_file
from tests.unit.swarm_stack import IMAGE, SERVER, spec
from tests.unit.test_swarm_elsewhere import login
from tests.unit.vault_stack import policies, refusals, shipped, wrong

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")

EXAMPLE = PROJECT_FOLDER / "examples/Pulumi.prod-vault-swarm.yaml"
KIND = f"kind: swarm, image: '{IMAGE}', login: coreflux-mcp-login"
BASE = "coreflux-mcp-prod-vault-swarm"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """The shipped example, with CA files that are there and a Swarm that has the login."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "named", login)
        patch.setattr(deployer, "ask_manager", lambda: None)
        return shipped(EXAMPLE, ca_file(tmp_path_factory.mktemp("ca")))


def test_the_launcher_asks_vault_and_logs_in_with_what_the_swarm_lays_down(deployed: Deployed) -> None:
    server = spec(deployed, SERVER)
    source = server["args"][server["args"].index("--from") + 1]

    assert source == (
        f"vault:vault.example.com:8200/{BASE}/data/mqtt+agent-key+http-token,approle={BASE}-server,"
        f"auth={BASE}-approle,file={LOGIN_FILE},ca={VAULT_CA_FILE}"
    )
    assert LOGIN_FILE == IN_A_CONTAINER
    assert [(one["secretName"], one["fileName"]) for one in server["secrets"]] == [("coreflux-mcp-login", LOGIN_FILE)]
    assert VAULT_CA_FILE in [one["fileName"] for one in server["configs"]]
    assert wrong(deployed) == []


def test_the_servers_role_reads_its_secrets_alone(deployed: Deployed) -> None:
    paths = policies(deployed)[f"{BASE}-server"]

    assert {path for path in paths if path.startswith(BASE)} == {
        f"{BASE}/{kind}/{secret}" for kind in ("data", "metadata") for secret in ("mqtt", "agent-key", "http-token")
    }


@pytest.mark.parametrize(
    ("store", "told"),
    [
        (", jwt: {issuer: 'https://a.example', server: a, rotator: b}", "store.jwt: with server swarm"),
        (", approle: {server_file: /a}", "store.approle.server_file: with server swarm"),
        (", approle: {wrapped: true}", "store.approle.wrapped: with server swarm"),
        (", kubernetes: {}", "store.kubernetes: with a server outside of a cluster"),
    ],
)
def test_what_containers_of_a_swarm_cannot_log_in_with_is_refused(store: str, told: str) -> None:
    (found,) = refusals(store, kind=KIND)

    assert found.startswith(told)
