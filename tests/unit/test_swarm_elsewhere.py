"""Under mocks, a server in a Swarm with another store. The launcher fetches the secrets with an operator's
credential."""

from secretops.launcher.settings import OWN_VARIABLES, PUBLIC_VARIABLES
from secretops.launcher.sources import open_source
from tests.unit.harness import Deployed, deploy
from tests.unit.policy_plans import STACK_FILES, with_fakes
from tests.unit.stack_file import StackFile
from tests.unit.swarm_stack import SERVER, spec


def deployed(name: str) -> Deployed:
    with with_fakes(STACK_FILES[name].read_text()) as text:
        return deploy(StackFile.read(text), name)


def test_launcher_fetches_from_the_store_and_service_has_its_login() -> None:
    server = spec(deployed("prod-aws-swarm"), SERVER)
    source = server["args"][server["args"].index("--from") + 1]
    assert source == "aws-sm:eu-central-1/coreflux-mcp/prod-aws-swarm/mqtt+agent-key+http-token"
    open_source(source)
    assert [(one["secretName"], one["fileName"], one["fileMode"]) for one in server["secrets"]] == [
        ("coreflux-mcp-login", "/run/secrets/login/server", 0o400)
    ]
    assert server["env"]["AWS_SHARED_CREDENTIALS_FILE"] == server["secrets"][0]["fileName"]
    assert server["env"].keys() - {"AWS_SHARED_CREDENTIALS_FILE"} <= {*PUBLIC_VARIABLES, *OWN_VARIABLES}


def test_launcher_has_the_vaults_ca_and_logs_in_by_a_mounted_secret() -> None:
    vault = deployed("prod-vault-swarm")
    server = spec(vault, SERVER)
    source = server["args"][server["args"].index("--from") + 1]
    mounted = {one["fileName"]: one["configName"] for one in server["configs"]}
    options = dict(option.partition("=")[::2] for option in source.split(",")[1:])
    assert options["file"] == server["secrets"][0]["fileName"]
    assert options["ca"] in mounted
    assert vault.resources["server-vault-ca"].inputs["name"] == mounted[options["ca"]]
    assert server["env"].keys() <= {*PUBLIC_VARIABLES, *OWN_VARIABLES}
    assert "coreflux-mcp-login" in vault.exports["next"]
