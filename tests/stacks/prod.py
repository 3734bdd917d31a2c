"""A shipped stack of a cloud on the stand-in for its provider: deployed, operated and rotated, on any cloud."""

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

OF_CLOUDS = ("AWS_", "AZURE_", "ARM_", "IDENTITY_", "MSI_", "VAULT_", "BAO_", "STANDIN")
"""How variables begin that lead to an account. Those of whoever runs the tests must not matter, nor be in reach."""


@dataclass
class ProdStack(Stack):
    """A shipped stack file with this machine's broker in place of the example's, on a stand-in provider."""

    leads: Mapping[str, str]  # The variables that lead the stand-in to what keeps secrets here.
    said: list[str] = field(default_factory=list)  # All that the engine and the operator's commands said.

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: text for name, text in super().environment.items() if not name.startswith(OF_CLOUDS)}
        if kept.pop(
            "PYTHONDONTWRITEBYTECODE", ""
        ):  # else each of seven runs compiles the SDK, program and provider both
            kept["PYTHONPYCACHEPREFIX"] = str(self.home / "bytecode")
        path = f"{self.home / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        nobody = {"AZURE_CONFIG_DIR": str(self.home / "azure")}  # where `az login` would have left somebody
        return {**kept, **nobody, "PATH": path, choice.VARIABLE: "up", **self.leads}

    def run(self, *arguments: str, config: bool = True) -> subprocess.CompletedProcess[str]:
        done = super().run(*arguments, config=config)
        self.said.append(done.stdout)
        return done


class ServesTls(Protocol):
    """Where a broker is, and whose certificate it shows."""

    @property
    def port(self) -> int: ...

    @property
    def ca_file(self) -> Path: ...


def new_prod_stack(home: Path, file: str, broker: ServesTls, leads: Mapping[str, str]) -> ProdStack:
    """The stack in `home`, of a shipped stack file; not deployed yet."""
    shipped = yaml.safe_load((ROOT / file).read_text())["config"]
    config = {section.removeprefix(f"{PREFIX}:"): entry for section, entry in shipped.items()}
    cloud = CLOUDS[config["store"]["kind"]]
    choice.lay(home / "bin", cloud.package, cloud.version, clone=ROOT, python=BIN / "python")
    config["broker"] |= {"kind": "mosquitto", "host": MACHINE, "port": broker.port, "ca_file": str(broker.ca_file)}
    stack = ProdStack(Path(file).name.split(".")[1], home, config, leads)
    stack.create()
    return stack


@dataclass
class Prod(ABC):
    """The stack once it is deployed. What `pulumi up` left is read once: nothing after it may change that."""

    stack: ProdStack
    broker: Mosquitto
    values: set[str] = field(default_factory=set, repr=False)  # Every value seen so far that opens something.
    history: list[Value] = field(default_factory=list, repr=False)
    """What the server was given of mqtt after each rotation."""

    @property
    @abstractmethod
    def environment(self) -> dict[str, str]:
        """What leads operators to what keeps secrets here."""

    @property
    @abstractmethod
    def packed(self) -> dict[str, Any]:
        """What the rotator that the stack declares is told."""

    @property
    def told(self) -> dict[str, Any]:
        told: dict[str, Any] = self.outputs["secretops"]
        return told

    @abstractmethod
    def rotate_mqtt(self, times: int) -> None:
        """As the cloud or an operator does, with what the server is given logging in all the while; into `history`."""

    @abstractmethod
    def served(self) -> Value:
        """What the server is given of mqtt, by the references that the stack declares."""

    @abstractmethod
    def tick(self) -> str:
        """The tick that the stack declares, as it declares it, once the grace is over. Gives what it said."""

    @abstractmethod
    def remains(self) -> None:
        """Fails the test unless what was destroyed can be had back for as long as prod promises."""

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

    def operator(self, *arguments: str, given: str = "") -> str:
        """`secretops` by the operator, on the stack's output, which has to work."""
        manifest = self.stack.home / "secretops.json"
        manifest.write_text(json.dumps(self.outputs["secretops"]))
        done = subprocess.run(
            [str(BIN / "secretops"), *arguments, "--manifest", str(manifest)],
            cwd=ROOT,
            env={**self.stack.environment, **self.environment},
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.stack.said.append(done.stdout)
        assert done.returncode == ExitCode.DONE, done.stdout
        return done.stdout

    def log_in(self, credential: Value) -> str:
        self.values.add(credential["password"])
        return log_in(self.reached, credential)
