"""A stack of the Vault store on the stand-in provider, which creates all resources in a real OpenBao.

The deployer has the rights that docs/operations/vault.md names. Operators log in themselves; rotator and server log in
with the stack's roles. Only the operator of OpenBao has the root token.
"""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from secretops.errors import ExitCode
from secretops.platforms.vault.api import VERSION
from secretops.values import new_password
from tests.real.mosquitto import Mosquitto
from tests.real.openbao import OpenBao
from tests.stacks.prod import ProdStack, new_prod_stack
from tests.stacks.project import BIN, ROOT
from tools.standin.vault.openbao import VARIABLE

PAGE = ROOT / "docs/operations/vault.md"
OPERATOR = "userpass/alice"


def block(section: str, language: str) -> str:
    text = PAGE.read_text().partition(f"# {section}\n")[2]
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found, section
    return found[1]


def deployers(openbao: OpenBao, stack: str, auth_mount: str = "kubernetes") -> str:
    text = block("Who needs which right", "hcl").replace("coreflux-mcp-dev-vault-local", f"coreflux-mcp-{stack}")
    return openbao.token(openbao.policy(text.replace("auth/kubernetes/", f"auth/{auth_mount}/")), ttl="4h")


def new_vault(home: Path, file: str, broker: Mosquitto, openbao: OpenBao) -> ProdStack:
    """Return the stack of a shipped example of the Vault store, in `home` and in this OpenBao. It is not deployed
    yet."""
    name = Path(file).name.split(".")[1]
    leads = {**openbao.environment(deployers(openbao, name)), VARIABLE: openbao.address}
    stack = new_prod_stack(home, file, broker, leads)
    stack.config["store"] |= {
        "address": openbao.address,
        "ca_file": str(openbao.ca_file),
        "product": "openbao",
        "operators": [OPERATOR],
    }
    return stack


@dataclass
class Output:
    """The exit code and the output of a command."""

    code: int
    text: str


@dataclass(kw_only=True)
class VaultStack:
    """A deployed stack, with the actions of its deployer and operators."""

    stack: ProdStack
    broker: Mosquitto
    openbao: OpenBao
    # Every value, token and secret id seen so far: none may be found anywhere.
    values: set[str] = field(default_factory=set, repr=False)

    @property
    def base(self) -> str:
        return f"coreflux-mcp-{self.stack.name}"

    @cached_property
    def outputs(self) -> dict[str, Any]:
        return self.stack.outputs()

    @property
    def manifest(self) -> Path:
        path = self.stack.home / "secretops.json"
        path.write_text(json.dumps(self.outputs["secretops"]))
        return path

    @property
    def place(self) -> dict[str, Any]:
        found: dict[str, Any] = self.outputs["secretops"]["store"]
        return found

    def version(self, secret: str) -> str:
        path = self.place["secrets"][secret]
        found = self.openbao.client(self.operators_token).secrets.kv.v2.read_secret_version(
            path, mount_point=self.place["mount"], raise_on_deleted_version=True
        )
        return str(found["data"]["data"][VERSION])

    def bao(self, script: str, *, folder: Path | None = None, token: str = "") -> str:
        """Run commands of the page with the real `bao` and `token`, by default the root token."""
        path = f"{self.openbao.program.parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["/bin/sh", "-euc", script],
            cwd=folder or self.stack.home,
            env={"PATH": path, "HOME": str(self.stack.home), **self.openbao.environment(token or self.openbao.root)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def welcome_operator(self) -> None:
        self.password = new_password()
        client = self.openbao.client()
        if "userpass/" not in client.sys.list_auth_methods()["data"]:
            client.sys.enable_auth_method("userpass")
        client.auth.userpass.create_or_update_user("alice", password=self.password, policies=["default"])
        self.values |= {self.password, self.openbao.root, self.stack.leads["VAULT_TOKEN"]}
        self.bao(block("An operator", "sh").replace("coreflux-mcp-dev-vault-local", self.base))
        policies = client.read("auth/userpass/users/alice")["data"][
            "token_policies"
        ]  # with access to all of the server
        client.auth.userpass.create_or_update_user(
            "alice", password=self.password, policies=[*policies, f"{self.base}-doctor"]
        )

    @cached_property
    def operators_token(self) -> str:
        answered = self.openbao.client("").auth.userpass.login("alice", self.password)
        token = str(answered["auth"]["client_token"])
        self.values.add(token)
        return token

    def run(self, *arguments: str, stdin: str = "", token: str | None = None, manifest: Path | None = None) -> Output:
        who = self.openbao.environment(self.operators_token if token is None else token)
        return self.program(
            [str(BIN / "secretops"), *arguments, "--manifest", str(manifest or self.manifest)], who, stdin
        )

    def program(self, argv: list[str], environment: Mapping[str, str], stdin: str = "") -> Output:
        done = subprocess.run(
            argv,
            cwd=self.stack.home,
            env={"PATH": os.environ["PATH"], "HOME": str(self.stack.home), **environment},
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.stack.output.append(done.stdout)
        return Output(done.returncode, done.stdout)

    def operator(self, *arguments: str, stdin: str = "") -> str:
        done = self.run(*arguments, stdin=stdin)
        assert done.code == ExitCode.DONE, done.text
        return done.text

    def got(self, *files: Path) -> list[dict[str, Any]]:
        done = self.run("audit", "--json", *map(str, files))
        assert done.code in (ExitCode.DONE, ExitCode.ATTENTION), done.text
        rows = [json.loads(line) for line in done.text.splitlines() if line.startswith("{")][:-1]
        return [row for row in rows if row["outcome"] == "got value"]

    def preview_is_empty(self) -> None:
        done = self.stack.run("preview", "--refresh", "--diff", "--expect-no-changes")
        assert done.returncode == 0, done.stdout[-4000:]
