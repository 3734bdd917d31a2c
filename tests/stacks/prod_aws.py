"""A stack of AWS on the stand-in provider and moto. The tests call, resolve and run what AWS would."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from components.aws import lambda_package
from secretops.manifest import Manifest
from secretops.values import Value
from tests.real.aws_stack import STEPS, AwsStack
from tests.real.lambda_runtime import RunningFunction, package_for_here, running
from tests.real.mosquitto import Mosquitto
from tests.real.moto import Aws
from tests.stacks.prod import Prod, ProdStack, new_prod_stack

NAME = "prod"


def new_prod(home: Path, broker: Mosquitto, moto: Aws, file: str = f"Pulumi.{NAME}.yaml") -> ProdStack:
    """Return a stack of the AWS store in `home`, by default of the shipped stack file. It is not deployed yet."""
    assert lambda_package.main() == 0, "make lambda says why"
    stack = new_prod_stack(home, file, broker, {"STANDIN_MOTO_URL": moto.url})
    if stack.config["server"]["kind"] == "ecs":  # the test plays what ECS injects; a launcher that fetches elsewhere
        stack.config["server"]["reference"] = "NativeRef"
        stack.configure()
    return stack


@dataclass
class Rotations(AwsStack):
    """Makes AWS' calls to the functions that the stack declares."""

    rotates: RunningFunction | None = None
    ticks: RunningFunction | None = None

    def call(self, event: dict[str, str]) -> None:
        assert self.rotates
        self.rotates.invoke(event, ahead=self.clock.ahead.total_seconds())

    def tick_function(self) -> dict[str, Any]:
        assert self.ticks
        done: dict[str, Any] = self.ticks.invoke({}, ahead=self.clock.ahead.total_seconds())
        return done


@dataclass(kw_only=True)
class AwsProd(Prod):
    """A deployed stack of AWS. Functions and operators use moto, with AWS' rules for Secrets Manager."""

    moto: Aws
    strict: Aws
    lines: list[dict[str, Any]] = field(default_factory=list)  # The declared tick's messages to CloudWatch.

    @property
    def environment(self) -> dict[str, str]:
        return {**self.moto.environment, "AWS_ENDPOINT_URL_SECRETS_MANAGER": self.strict.url}

    @property
    def packed(self) -> dict[str, Any]:
        packed = self.resource("rotate-mqtt-function")["code"]["assets"]["secretops.json"]["text"]
        return Manifest.model_validate_json(packed).model_dump(mode="json")

    def rotate_mqtt(self, times: int) -> None:
        """Rotate by calls to the declared function, with its handler, variables and package, as AWS makes them."""
        rotations = self.rotations
        with self.function("rotate-mqtt") as rotations.rotates:
            for turn in range(times):
                token = rotations.begin()
                for step in STEPS:
                    rotations.step(step, token)
                    if turn or step == "finishSecret":
                        assert self.log_in(self.served()) == "Success", step
                self.history.append(self.served())
                rotations.skip_grace()

    def served(self) -> Value:
        supplied = self.injected()
        return Value({"username": supplied["MQTT_USER"], "password": supplied["MQTT_PASSWORD"]})

    def tick(self) -> str:
        rotations = self.rotations
        with self.function("tick") as rotations.ticks:
            output = str(rotations.tick_function()["mqtt"])
            self.lines += [
                json.loads(line) for line in rotations.ticks.log.read_text().splitlines() if '"_aws"' in line
            ]
        (counted,) = self.lines
        alarm = self.resource("alarm-tick-failed")
        assert alarm["dimensions"] == {"Stack": counted["Stack"]}
        assert [one["Namespace"] for one in counted["_aws"]["CloudWatchMetrics"]] == [alarm["namespace"]]
        assert (counted["Failed"], counted["Overdue"]) == (0, 0)
        return output

    def remains(self) -> None:
        place = self.rotations.place
        for name in place.secrets.values():
            about = self.moto.secrets_manager.describe_secret(SecretId=name)
            assert (about["DeletedDate"] - about["LastChangedDate"]).days >= 29, "30 days to change one's mind"

    @contextmanager
    def function(self, name: str, *, brings: Sequence[Path] = ()) -> Iterator[RunningFunction]:
        """Run a function of the stack from its package until the end of the block. `name` is its logical name."""
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
                self.stack.output.append(function.log.read_text())

    @cached_property
    def _package(self) -> Path:
        return package_for_here(self.stack.home / "here.zip")

    @cached_property
    def rotations(self) -> Rotations:
        """Return an object that makes Secrets Manager's calls for mqtt. The function runs once `rotate` is set."""
        packed = Manifest.model_validate(self.packed)
        here = packed.model_copy(update={"broker": self.reached})
        return Rotations(here, environment=self.moto.environment, aws=self.moto)

    def injected(self) -> dict[str, str]:
        """Return what ECS would inject into the server's container, resolved in moto.

        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html
        """
        containers = json.loads(self.resource("task")["containerDefinitions"])
        (server,) = (one for one in containers if one["name"] == "server")
        supplied = {one["name"]: self._resolved(one["valueFrom"]) for one in server["secrets"]}
        self.values |= {text for name, text in supplied.items() if name != "MQTT_USER"}
        return supplied

    def _resolved(self, reference: str) -> str:
        *arn, key, stage, version = reference.split(":")
        assert len(arn) == 7, f"an ARN of a secret, then key, stage and version: {reference}"
        which = {"VersionStage": stage or "AWSCURRENT"} | ({"VersionId": version} if version else {})
        found = self.moto.secrets_manager.get_secret_value(SecretId=":".join(arn), **which)
        text: str = json.loads(found["SecretString"])[key]
        return text
