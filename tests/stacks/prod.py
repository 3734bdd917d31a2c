"""Deploy, operate and rotate a shipped stack of any cloud, on the stand-in for the cloud's provider."""

import json
import os
import re
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import yaml

from secretops.errors import ExitCode
from secretops.manifest import Broker
from secretops.values import Value
from tests.real.mosquitto import MACHINE, Mosquitto
from tests.real.stack import log_in
from tests.stacks.project import BIN, PREFIX, ROOT, Stack
from tools.clone import CLOUDS
from tools.standin import choice

# Prefixes of variables that lead to an account. Those of the user who runs the tests must not matter.
OF_CLOUDS = ("AWS_", "AZURE_", "ARM_", "IDENTITY_", "MSI_", "VAULT_", "BAO_", "STANDIN")


@dataclass
class ProdStack(Stack):
    """A shipped stack file with this machine's broker instead of the example's, on a stand-in provider."""

    leads: Mapping[str, str]  # The variables that lead the stand-in to its backend.
    output: list[str] = field(default_factory=list)  # All output of the engine and the operator's commands.

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: text for name, text in super().environment.items() if not name.startswith(OF_CLOUDS)}
        if kept.pop(
            "PYTHONDONTWRITEBYTECODE", ""
        ):  # else each of seven runs compiles the SDK, program and provider both
            kept["PYTHONPYCACHEPREFIX"] = str(self.home / "bytecode")
        path = f"{self.home / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        nobody = {"AZURE_CONFIG_DIR": str(self.home / "azure")}  # where `az login` would have left a session
        return {**kept, **nobody, "PATH": path, choice.VARIABLE: "up", **self.leads}

    def run(self, *arguments: str, config: bool = True) -> subprocess.CompletedProcess[str]:
        done = super().run(*arguments, config=config)
        self.output.append(done.stdout)
        return done


class ServesTls(Protocol):
    """The address of a broker, and its certificate."""

    @property
    def port(self) -> int: ...

    @property
    def ca_file(self) -> Path: ...


def new_prod_stack(home: Path, file: str, broker: ServesTls, leads: Mapping[str, str]) -> ProdStack:
    """Return the stack of a shipped stack file, in `home`. It is not deployed yet."""
    shipped = yaml.safe_load((ROOT / file).read_text())["config"]
    config = {section.removeprefix(f"{PREFIX}:"): entry for section, entry in shipped.items()}
    cloud = CLOUDS[config["store"]["kind"]]
    choice.write_shim(home / "bin", cloud.package, cloud.version, clone=ROOT, python=BIN / "python")
    config["broker"] |= {"kind": "mosquitto", "host": MACHINE, "port": broker.port, "ca_file": str(broker.ca_file)}
    stack = ProdStack(Path(file).name.split(".")[1], home, config, leads)
    stack.create()
    return stack


@dataclass
class Prod(ABC):
    """A deployed stack. Its state is read once after `pulumi up`, because nothing may change it later."""

    stack: ProdStack
    broker: Mosquitto
    values: set[str] = field(default_factory=set, repr=False)  # Every value seen so far that opens something.
    # The server's values of mqtt after each rotation.
    history: list[Value] = field(default_factory=list, repr=False)

    @property
    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return the environment variables of an operator."""

    @property
    @abstractmethod
    def packed(self) -> dict[str, Any]:
        """Return the rotator's settings, as the stack declares them."""

    @property
    def reported(self) -> dict[str, Any]:
        reported: dict[str, Any] = self.outputs["secretops"]
        return reported

    @abstractmethod
    def rotate_mqtt(self, times: int) -> None:
        """Rotate as the cloud or an operator does, while a client keeps logging in with the server's value. Append the
        versions to `history`."""

    @abstractmethod
    def served(self) -> Value:
        """Return the server's value of mqtt, read by the references that the stack declares."""

    @abstractmethod
    def tick(self) -> str:
        """Run the stack's tick after the grace period. Return its output."""

    @abstractmethod
    def remains(self) -> None:
        """Fail the test unless secrets can be restored after `pulumi destroy` for as long as prod promises."""

    @cached_property
    def outputs(self) -> dict[str, Any]:
        return self.stack.outputs()

    @cached_property
    def _kept(self) -> list[dict[str, Any]]:
        kept: list[dict[str, Any]] = json.loads(self.stack.state())["deployment"]["resources"]
        return kept

    def resource(self, name: str) -> dict[str, Any]:
        (found,) = (one["outputs"] for one in self._kept if re.search(rf"::([\w-]+-)?{name}$", one["urn"]))
        outputs: dict[str, Any] = found
        return outputs

    @cached_property
    def reached(self) -> Broker:
        return Broker.model_validate({**self.outputs["secretops"]["broker"], "ca_file": str(self.broker.ca_file)})

    def operator(self, *arguments: str, stdin: str = "") -> str:
        """Run `secretops` as the operator, with the stack's manifest. It must succeed."""
        manifest = self.stack.home / "secretops.json"
        manifest.write_text(json.dumps(self.outputs["secretops"]))
        done = subprocess.run(
            [str(BIN / "secretops"), *arguments, "--manifest", str(manifest)],
            cwd=ROOT,
            env={**self.stack.environment, **self.environment},
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.stack.output.append(done.stdout)
        assert done.returncode == ExitCode.DONE, done.stdout
        return done.stdout

    def log_in(self, credential: Value) -> str:
        self.values.add(credential["password"])
        return log_in(self.reached, credential)
