"""A small program on the stand-in for AWS, by the real CLI: it goes up, is quiet, changes and is destroyed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.real.moto import REGION, Aws
from tests.stacks.prod import OF_CLOUDS
from tools import clone
from tools.standin import choice

pytestmark = [pytest.mark.real, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.prefix) / "bin"


PROGRAM = """
import json, pulumi, pulumi_aws as aws
config = pulumi.Config()
key = aws.kms.Key("key", enable_key_rotation=True, deletion_window_in_days=7)
aws.kms.Alias("alias", name="alias/tiny", target_key_id=key.key_id)
secret = aws.secretsmanager.Secret(
    "secret", kms_key_id=key.arn, recovery_window_in_days=0, description=config.get("description"))
trust = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}]}
read = lambda arn: json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": arn}]})
role = aws.iam.Role("role", assume_role_policy=json.dumps(trust))
aws.iam.RolePolicy("policy", role=role.name, policy=secret.arn.apply(read))
aws.secretsmanager.SecretPolicy("guard", secret_arn=secret.arn, policy=pulumi.Output.all(secret.arn, role.arn).apply(
    lambda both: json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": both[0],
        "Principal": {"AWS": both[1]}, "Action": "secretsmanager:GetSecretValue"}]})))
queue = aws.sqs.Queue("queue", message_retention_seconds=config.get_int("retention") or 60)
pulumi.export("secret", secret.arn)
pulumi.export("role", role.name)
pulumi.export("key", key.key_id)
pulumi.export("account", aws.get_caller_identity().account_id)
"""


@dataclass
class Tiny:
    """A project of one file, on the stand-in, by the real CLI."""

    home: Path
    leads: Mapping[str, str]

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith(OF_CLOUDS)}
        return subprocess.run(
            [str(BIN / "pulumi"), *arguments, "--non-interactive"],
            cwd=self.home / "project",
            env={
                **kept,
                "PATH": f"{self.home / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "HOME": str(self.home),
                "PULUMI_BACKEND_URL": f"file://{self.home / 'state'}",
                "PULUMI_HOME": str(self.home / "pulumi"),
                "PULUMI_CONFIG_PASSPHRASE": "",
                "AWS_REGION": REGION,
                "NO_COLOR": "1",
                **self.leads,
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def did(self, *arguments: str, **environment: str) -> str:
        done = self.run(*arguments, **{"STANDIN": "up", **environment})
        assert done.returncode == 0, done.stdout
        return done.stdout

    def configure(self, **entries: object) -> None:
        file = self.home / "project" / "Pulumi.test.yaml"
        kept = yaml.safe_load(file.read_text()) if file.exists() else {}
        file.write_text(yaml.safe_dump({**kept, "config": {f"tiny:{name}": entry for name, entry in entries.items()}}))

    def outputs(self) -> dict[str, str]:
        done: dict[str, str] = json.loads(self.did("stack", "output", "--json"))
        return done


def new_tiny(home: Path, kind: str, program: str, **leads: str) -> Tiny:
    if not (BIN / "pulumi").exists():
        pytest.fail("there is no pulumi in the environment: make setup")
    cloud = clone.CLOUDS[kind]
    choice.lay(home / "bin", cloud.package, cloud.version, clone=ROOT, python=BIN / "python")
    project = home / "project"
    project.mkdir()
    (home / "state").mkdir()
    about = {"name": "tiny", "runtime": {"name": "python", "options": {"virtualenv": sys.prefix}}}
    (project / "Pulumi.yaml").write_text(json.dumps(about))
    (project / "__main__.py").write_text(program)
    made = Tiny(home, leads)
    made.did("stack", "init", "test")
    return made


@pytest.fixture
def tiny(tmp_path: Path, moto: Aws) -> Tiny:
    return new_tiny(tmp_path, "aws", PROGRAM, STANDIN_MOTO_URL=moto.url)


def test_a_program_goes_up_is_quiet_changes_and_is_destroyed_and_its_secrets_were_in_moto(
    tiny: Tiny, moto: Aws
) -> None:
    said = tiny.did("up", "--yes", "--skip-preview")
    assert "STAND-IN for aws" in said
    outputs = tiny.outputs()
    secrets, roles = moto.secrets_manager, moto.client("iam")
    about = secrets.describe_secret(SecretId=outputs["secret"])
    assert about["KmsKeyId"].endswith(f":{outputs['account']}:key/{outputs['key']}")
    assert "VersionIdsToStages" not in about, "no value is written"
    assert secrets.get_resource_policy(SecretId=outputs["secret"])["ResourcePolicy"]
    assert roles.list_role_policies(RoleName=outputs["role"])["PolicyNames"]

    said = tiny.did("preview", "--expect-no-changes", STANDIN="preview")
    assert said.partition("Diagnostics:")[2].count("STAND-IN") == 1

    tiny.configure(description="for the server")
    assert "1 updated" in tiny.did("up", "--yes", "--skip-preview")
    assert secrets.describe_secret(SecretId=outputs["secret"])["Description"] == "for the server"
    assert tiny.outputs() == outputs

    secrets.delete_secret(SecretId=outputs["secret"], ForceDeleteWithoutRecovery=True)
    assert "deleted" in tiny.did("refresh", "--yes", "--skip-preview")
    tiny.did("destroy", "--yes", "--skip-preview")
    assert outputs["role"] not in [one["RoleName"] for one in roles.list_roles()["Roles"]]
    key = moto.client("kms").describe_key(KeyId=outputs["key"])["KeyMetadata"]
    assert key["KeyState"] == "PendingDeletion"


def test_the_cli_shows_a_refusal_and_changes_nothing(tiny: Tiny) -> None:
    tiny.configure(retention=7)
    done = tiny.run("preview")
    assert done.returncode != 0
    assert "messageRetentionSeconds: 7; it has to be 60 to 1209600; stay within that" in done.stdout
    tiny.configure(retention=70)
    assert tiny.run("preview").returncode == 0, "a preview needs neither credentials nor leave"
    done = tiny.run("up", "--yes", "--skip-preview")
    assert done.returncode != 0
    assert "deploys nothing" in done.stdout
    assert tiny.run("destroy", "--yes", "--skip-preview").returncode == 0
    assert "resources" not in json.loads(tiny.did("stack", "export"))["deployment"]
