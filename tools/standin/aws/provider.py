"""AWS for the stand-in: answers from tables, or from moto if configured."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain
from typing import Any

from tools.standin import choice, sdk_types
from tools.standin.aws import credentials, identities, replacement, rules, shapes
from tools.standin.aws.moto import Moto
from tools.standin.cloud import Inputs, RefusedError, Resource
from tools.standin.problems import Problem

# Types whose name is in another property, or that get no automatic name.
NAMED_OTHERWISE: Mapping[str, str | None] = {
    "aws:s3/bucket:Bucket": "bucket",
    "aws:ecs/taskDefinition:TaskDefinition": None,
}

# Variables with the address of moto. The first one that is set counts.
MOTO = ("STANDIN_MOTO_URL", "AWS_ENDPOINT_URL")


class Aws:
    package = "aws"

    def __init__(self, version: str) -> None:
        self.version = version
        self._region = ""
        self._moto: Moto | None = None

    def configure(self, variables: Inputs) -> None:
        if not choice.mode() and (found := credentials.source()):
            raise RefusedError(
                f"there are AWS credentials (from {found}), and this is the stand-in, which reaches no account; "
                f"run `make preview` for Pulumi's own provider, or set {choice.VARIABLE}=preview"
            )
        region = variables.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if not region:
            raise RefusedError("aws:region: missing; the provider needs a region; set Provider(region=…) or AWS_REGION")
        self._region = str(region)
        url = next(filter(None, map(os.environ.get, MOTO)), None)
        self._moto = Moto(url) if url else None

    @property
    def disclaimer(self) -> str:
        made = f". It creates secrets, keys and roles in the moto at {self._moto.url}" if self._moto else ""
        return (
            "It does not prove that AWS accepts the stack: it does not check permissions, quotas, names taken by "
            "others or the behavior of services, and it shows a change as a replacement only if its own table says "
            f"so{made}"
        )

    def problems(self, token: str, inputs: Inputs) -> Iterator[Problem]:
        return chain(shapes.problems(token, inputs), rules.problems(token, inputs))

    def auto_named(self, token: str) -> str | None:
        return NAMED_OTHERWISE.get(token, "name")

    def replaced_by(self, token: str) -> Collection[str]:
        return replacement.replaced_by(token, frozenset(sdk_types.input_types(sdk_types.arguments_class(token))))

    def answered(self, token: str, inputs: Inputs) -> Inputs:
        return {"tagsAll": dict(inputs.get("tags") or {})} if "tagsAll" in sdk_types.output_types(token) else {}

    def create(self, resource: Resource) -> tuple[str, Inputs]:
        region = self._region_of(resource)
        place = identities.Place(urn=resource.urn, account=self._account, region=region, inputs=resource.inputs)
        resource_id, computed = identities.computed(resource.token, place, sdk_types.computed_types(resource.token))
        if self._moto and self._moto.makes(resource.token):
            resource_id, real = self._moto.create(resource.token, region, resource.inputs)
            computed = {**computed, **real}
        return resource_id, computed

    def update(self, resource: Resource, resource_id: str) -> None:
        if self._moto and self._moto.makes(resource.token):
            self._moto.update(resource.token, self._region_of(resource), resource_id, resource.inputs)

    def delete(self, resource: Resource, resource_id: str) -> None:
        if self._moto and self._moto.makes(resource.token):
            self._moto.delete(resource.token, self._region_of(resource), resource_id, resource.inputs)

    def exists(self, token: str, resource_id: str, outputs: Inputs) -> bool:
        if self._moto and self._moto.makes(token):
            return self._moto.exists(token, outputs.get("region") or self._region, resource_id)
        return True

    def invoke(self, token: str, arguments: Inputs) -> Inputs:
        if answer := self._functions().get(token):
            return answer(arguments)
        raise RefusedError(
            f"{token}: the stand-in does not implement this function; use another function, or add this one to the "
            "stand-in"
        )

    def _functions(self) -> Mapping[str, Callable[[Inputs], dict[str, Any]]]:
        return {
            "aws:index/getCallerIdentity:getCallerIdentity": lambda _: self._caller(),
            "aws:index/getPartition:getPartition": lambda _: {
                "id": "aws", "partition": "aws", "dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws",
            },
            "aws:index/getRegion:getRegion": self._here,
        }  # fmt: skip

    def _caller(self) -> dict[str, Any]:
        arn = f"arn:aws:iam::{self._account}:user/standin"
        return {"id": self._account, "accountId": self._account, "arn": arn, "userId": "STANDIN"}

    def _here(self, arguments: Inputs) -> dict[str, Any]:
        region = arguments.get("region") or arguments.get("name") or self._region
        about = {"description": f"{region} (stand-in)", "endpoint": f"ec2.{region}.amazonaws.com"}
        return {"id": region, "name": region, "region": region, **about}

    @property
    def _account(self) -> str:
        return self._moto.account if self._moto else identities.ACCOUNT

    def _region_of(self, resource: Resource) -> str:
        return str(resource.inputs.get("region") or self._region)
