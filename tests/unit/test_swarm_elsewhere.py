"""A server in a Swarm whose secrets are elsewhere: the launcher asks, and shows what an operator made. Under mocks."""

from pathlib import Path

import pytest

from components.section import PROJECT_FOLDER
from components.swarm import deployer, service
from secretops.launcher.sources import open_source
from secretops.launcher.variables import OWN_VARIABLES, PUBLIC_VARIABLES
from secretops.stores.swarm.attached import Attached
from settings import ConfigurationError
from tests.unit.aws_stack import a_package
from tests.unit.harness import Deployed, ca_file, deploy
from tests.unit.stack_file import StackFile
from tests.unit.swarm_stack import SERVER, spec

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")

SHIPPED = (PROJECT_FOLDER / "examples/Pulumi.prod-aws-swarm.yaml").read_text()
READER = "arn:aws:iam::123456789012:user/coreflux-mcp-server"


def login(secret: str, *, file_name: str, uid: str, gid: str) -> Attached:
    return Attached(secret_id="an-id", secret_name=secret, file_name=file_name, uid=uid, gid=gid, mode=0o400)


def deployed(name: str, folder: Path) -> Deployed:
    text = (PROJECT_FOLDER / f"examples/Pulumi.{name}.yaml").read_text()
    for which in ("prod", "vault"):
        (folder / which).mkdir()
        text = text.replace(f"/etc/ssl/certs/{which}-ca.crt", str(ca_file(folder / which)))
    with pytest.MonkeyPatch.context() as patch, a_package():
        patch.setattr(service, "named", login)
        patch.setattr(deployer, "ask_manager", lambda: None)
        return deploy(StackFile.read(text), name)


def refused(text: str) -> str:
    text = text.replace("    ca_file: /etc/ssl/certs/prod-ca.crt\n", "")
    with pytest.raises(ConfigurationError) as found:
        StackFile.read(text).parse("prod-aws-swarm")
    return " ".join(str(found.value).split())


def test_the_launcher_asks_the_store_and_the_service_is_given_its_login_alone(tmp_path: Path) -> None:
    server = spec(deployed("prod-aws-swarm", tmp_path), SERVER)
    source = server["args"][server["args"].index("--from") + 1]
    assert source == "aws-sm:eu-central-1/coreflux-mcp/prod-aws-swarm/mqtt+agent-key+http-token"
    open_source(source)
    assert [(one["secretName"], one["fileName"], one["fileMode"]) for one in server["secrets"]] == [
        ("coreflux-mcp-login", "/run/secrets/login/server", 0o400)
    ]
    assert server["env"]["AWS_SHARED_CREDENTIALS_FILE"] == server["secrets"][0]["fileName"]
    assert server["env"].keys() - {"AWS_SHARED_CREDENTIALS_FILE"} <= {*PUBLIC_VARIABLES, *OWN_VARIABLES}


def test_the_launcher_knows_the_vault_by_a_config_and_logs_in_by_what_the_service_is_given(tmp_path: Path) -> None:
    vault = deployed("prod-vault-swarm", tmp_path)
    server = spec(vault, SERVER)
    source = server["args"][server["args"].index("--from") + 1]
    laid = {one["fileName"]: one["configName"] for one in server["configs"]}

    options = dict(option.partition("=")[::2] for option in source.split(",")[1:])
    assert options["file"] == server["secrets"][0]["fileName"]
    assert options["ca"] in laid
    assert vault.resources["server-vault-ca"].inputs["name"] == laid[options["ca"]]
    assert server["env"].keys() <= {*PUBLIC_VARIABLES, *OWN_VARIABLES}
    assert "coreflux-mcp-login" in vault.exports["next"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("    login: coreflux-mcp-login\n", "server.login: missing with store aws"),
        (f"    reader: {READER}\n", f"add reader: {READER}"),
    ],
)
def test_without_a_login_or_a_reader_it_is_refused(line: str, told: str) -> None:
    assert line in SHIPPED
    assert told in refused(SHIPPED.replace(line, ""))
