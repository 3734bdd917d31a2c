"""The shipped prod stack on the stand-in provider and moto: its operator, and what AWS would call and resolve."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from secretops.errors import ExitCode
from secretops.manifest import Manifest
from secretops.values import Value
from tests.real.aws_stack import AwsStack
from tests.real.lambda_runtime import RunningFunction, package_for_here, running
from tests.real.mosquitto import Mosquitto
from tests.real.moto import Aws
from tests.real.stack import log_in
from tests.stacks.project import BIN, PREFIX, ROOT, Stack
from tools import lambda_package
from tools.clone import aws_version
from tools.standin import choice

NAME = "prod"


@dataclass
class ProdStack(Stack):
    """Pulumi.prod.yaml with this machine's broker in place of the example's, deployed on the stand-in provider."""

    moto: Aws
    said: list[str] = field(default_factory=list)
    """All that the engine and the operator's commands said."""

    @property
    def environment(self) -> dict[str, str]:
        """No credentials: those of whoever runs the tests must not matter, nor be in reach."""
        kept = {name: text for name, text in super().environment.items() if not name.startswith(("AWS_", "STANDIN"))}
        if kept.pop(
            "PYTHONDONTWRITEBYTECODE", ""
        ):  # else each of seven runs compiles the SDK, program and provider both
            kept["PYTHONPYCACHEPREFIX"] = str(self.home / "bytecode")
        path = f"{self.home / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {**kept, "PATH": path, choice.VARIABLE: "up", "STANDIN_MOTO_URL": self.moto.url}

    def run(self, *arguments: str, config: bool = True) -> subprocess.CompletedProcess[str]:
        done = super().run(*arguments, config=config)
        self.said.append(done.stdout)
        return done


def new_prod(home: Path, broker: Mosquitto, moto: Aws, file: str = f"Pulumi.{NAME}.yaml") -> ProdStack:
    """The stack in `home`, of the shipped stack file or another of the AWS store; not deployed yet."""
    assert lambda_package.main() == 0, "make lambda says why"
    choice.lay(home / "bin", "aws", aws_version(), clone=ROOT, python=BIN / "python")
    shipped = yaml.safe_load((ROOT / file).read_text())["config"]
    config = {section.removeprefix(f"{PREFIX}:"): entry for section, entry in shipped.items()}
    config["broker"] |= {"kind": "mosquitto", "host": "localhost", "port": broker.port, "ca_file": str(broker.ca_file)}
    stack = ProdStack(Path(file).name.split(".")[1], home, config, moto)
    stack.create()
    return stack


@dataclass
class Rotations(AwsStack):
    """AWS' calls, which go to the functions that the stack declares."""

    rotates: RunningFunction | None = None
    ticks: RunningFunction | None = None

    def call(self, event: dict[str, str]) -> None:
        assert self.rotates
        self.rotates.invoke(event, ahead=self.clock.ahead.total_seconds())

    def tick_function(self) -> dict[str, Any]:
        assert self.ticks
        done: dict[str, Any] = self.ticks.invoke({}, ahead=self.clock.ahead.total_seconds())
        return done


@dataclass
class Prod:
    """The stack once it is deployed. What `pulumi up` left is read once: nothing after it may change that."""

    stack: ProdStack
    broker: Mosquitto
    strict: Aws
    """The stack's moto with AWS' own rules of Secrets Manager, for functions and operators."""
    values: set[str] = field(default_factory=set, repr=False)
    """Every value seen so far that opens something."""

    @property
    def moto(self) -> Aws:
        return self.stack.moto

    @property
    def environment(self) -> dict[str, str]:
        """What leads functions and operators there."""
        return {**self.moto.environment, "AWS_ENDPOINT_URL_SECRETS_MANAGER": self.strict.url}

    @cached_property
    def outputs(self) -> dict[str, Any]:
        return self.stack.outputs()

    @cached_property
    def _kept(self) -> list[dict[str, Any]]:
        kept: list[dict[str, Any]] = json.loads(self.stack.state())["deployment"]["resources"]
        return kept

    def resource(self, name: str) -> dict[str, Any]:
        """The outputs of a resource by its logical name."""
        (found,) = (one["outputs"] for one in self._kept if one["urn"].endswith(f"::{name}"))
        outputs: dict[str, Any] = found
        return outputs

    @contextmanager
    def function(self, name: str, *, brings: Sequence[Path] = ()) -> Iterator[RunningFunction]:
        """A function of the stack by its logical name, running from its own package until the end of the block."""
        with running(
            self.stack.home / "functions" / name,
            self.resource(f"{name}-function"),
            package=self._package,
            environment=self.environment,
            brings=brings,
        ) as function:
            try:
                yield function
            finally:
                self.stack.said.append(function.log.read_text())

    @cached_property
    def _package(self) -> Path:
        return package_for_here(self.stack.home / "here.zip")

    @cached_property
    def rotations(self) -> Rotations:
        """Secrets Manager's part of mqtt's rotation, whose function runs once `rotate` is given."""
        packed = Manifest.model_validate_json(
            self.resource("rotate-mqtt-function")["code"]["assets"]["secretops.json"]["text"]
        )
        # Here the broker's CA lies elsewhere than in a function's file system.
        broker = packed.broker.model_copy(update={"ca_file": str(self.broker.ca_file)})
        return Rotations(packed.model_copy(update={"broker": broker}), environment=self.moto.environment, aws=self.moto)

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

    def injected(self) -> dict[str, str]:
        """What ECS would give to the server's container: each reference of the task definition, resolved in moto.

        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html
        """
        containers = json.loads(self.resource("task")["containerDefinitions"])
        (server,) = (one for one in containers if one["name"] == "server")
        return {one["name"]: self._resolved(one["valueFrom"]) for one in server["secrets"]}

    def _resolved(self, reference: str) -> str:
        *arn, key, stage, version = reference.split(":")
        assert len(arn) == 7, f"an ARN of a secret, then key, stage and version: {reference}"
        which = {"VersionStage": stage or "AWSCURRENT"} | ({"VersionId": version} if version else {})
        found = self.moto.secrets_manager.get_secret_value(SecretId=":".join(arn), **which)
        text: str = json.loads(found["SecretString"])[key]
        return text

    def log_in(self, variables: dict[str, str]) -> str:
        """As the server does with its variables: "Success", or how the broker refused."""
        self.values |= {text for name, text in variables.items() if name != "MQTT_USER"}
        credential = Value({"username": variables["MQTT_USER"], "password": variables["MQTT_PASSWORD"]})
        return log_in(self.rotations.manifest.broker, credential)
