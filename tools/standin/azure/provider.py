"""Azure for the stand-in: answers from tables, or from an emulator if configured."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from typing import Any

from tools.standin import choice, sdk_types
from tools.standin.azure import credentials, emulator, identities, replacement, roles, rules, together
from tools.standin.azure.emulator import Emulator
from tools.standin.cloud import Inputs, RefusedError, Resource
from tools.standin.problems import Problem

# The tenant, unless one is configured.
NOBODY = "00000000-0000-0000-0000-000000000000"

CALLER = "azure-native:authorization:getClientConfig"


class Azure:
    package = "azure-native"

    def __init__(self, version: str) -> None:
        self.version = version
        self._subscription = self._tenant = ""
        self._emulator: Emulator | None = None

    def configure(self, variables: Inputs) -> None:
        if not choice.mode() and (found := credentials.source()):
            raise RefusedError(
                f"there are Azure credentials (from {found}), and this is the stand-in, which reaches no subscription; "
                f"run `make preview` for Pulumi's own provider, or set {choice.VARIABLE}=preview"
            )
        self._subscription = _given(variables, "subscriptionId", "SUBSCRIPTION_ID")
        if not re.fullmatch(roles.GUID, self._subscription):
            raise RefusedError(
                f"azure-native:subscriptionId: {self._subscription or 'missing'}; the provider needs a subscription's "
                "GUID; set Provider(subscription_id=…) or ARM_SUBSCRIPTION_ID"
            )
        self._tenant = _given(variables, "tenantId", "TENANT_ID") or NOBODY
        url = os.environ.get(emulator.VARIABLE)
        self._emulator = Emulator(url) if url else None

    @property
    def disclaimer(self) -> str:
        made = f". It creates vaults and roles in the emulator at {self._emulator.url}" if self._emulator else ""
        return (
            "It does not prove that Azure accepts the stack: it does not check permissions, quotas, policies, names "
            "taken by others or the behavior of services, and it knows only the replacements in its own "
            f"table{made}"
        )

    def problems(self, token: str, inputs: Inputs) -> Iterator[Problem]:
        return rules.problems(token, inputs)

    def auto_named(self, token: str) -> str | None:
        return identities.name_of(token)

    def replaced_by(self, token: str) -> Collection[str]:
        return replacement.replaced_by(token, frozenset(sdk_types.input_types(sdk_types.arguments_class(token))))

    def answered(self, token: str, inputs: Inputs) -> Inputs:
        return identities.answered(token, inputs)

    def create(self, resource: Resource) -> tuple[str, Inputs]:
        place = identities.Place(
            token=resource.token,
            urn=resource.urn,
            subscription=self._subscription,
            tenant=self._tenant,
            inputs=resource.inputs,
        )
        if self._emulator and self._emulator.makes(resource.token):
            self._emulator.put(resource.token, place.id, resource.inputs)
        return place.id, identities.computed(place, sdk_types.computed_types(resource.token))

    def update(self, resource: Resource, resource_id: str) -> None:
        if refused := together.unchangeable(identities.kind(resource.token), resource.before, resource.inputs):
            raise RefusedError(f"{resource.name}: {refused}")
        if self._emulator and self._emulator.makes(resource.token):
            self._emulator.put(resource.token, resource_id, resource.inputs)

    def delete(self, resource: Resource, resource_id: str) -> None:
        if self._emulator and self._emulator.makes(resource.token):
            self._emulator.delete(resource_id)

    def exists(self, token: str, resource_id: str, outputs: Inputs) -> bool:  # noqa: ARG002
        if self._emulator and self._emulator.makes(token):
            return self._emulator.exists(resource_id)
        return True

    def invoke(self, token: str, arguments: Inputs) -> dict[str, Any]:  # noqa: ARG002
        if token == CALLER:
            about = {"subscriptionId": self._subscription, "tenantId": self._tenant}
            return {**about, "clientId": identities.guid("client"), "objectId": identities.guid("object")}
        raise RefusedError(
            f"{token}: the stand-in does not implement this function; use another function, or add this one to the "
            "stand-in"
        )


def _given(variables: Inputs, name: str, variable: str) -> str:
    return str(variables.get(name) or os.environ.get(f"ARM_{variable}", ""))
