"""Vault for the stand-in: answers from tables, or from an OpenBao if configured."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import urlsplit

from tools.standin import choice, sdk_types
from tools.standin.cloud import Inputs, RefusedError, Resource
from tools.standin.problems import Problem
from tools.standin.vault import credentials, identities, openbao, replacement, rules
from tools.standin.vault.openbao import OpenBao


class Vault:
    package = "vault"

    def __init__(self, version: str) -> None:
        self.version = version
        self._openbao: OpenBao | None = None

    def configure(self, variables: Inputs) -> None:
        if not choice.mode() and (found := credentials.source()):
            raise RefusedError(
                f"there is a Vault token (from {found}), and this is the stand-in, which reaches no server; "
                f"run `make preview` for Pulumi's own provider, or set {choice.VARIABLE}=preview"
            )
        address = str(variables.get("address") or os.environ.get("VAULT_ADDR", ""))
        if not urlsplit(address).hostname:
            raise RefusedError(
                f"vault:address: {address or 'missing'}; the provider needs a server's URL; set Provider(address=…) "
                "or VAULT_ADDR"
            )
        namespace, named = str(variables.get("namespace") or ""), os.environ.get("VAULT_NAMESPACE", "").strip("/")
        if named not in ("", namespace.strip("/")):
            raise RefusedError(
                f"vault:namespace: {namespace or 'missing'}; the provider would create everything in the namespace of "
                f"VAULT_NAMESPACE, {named}; set Provider(namespace=…), or unset the variable"
            )
        url = os.environ.get(openbao.VARIABLE)
        self._openbao = OpenBao(url, namespace) if url else None

    @property
    def disclaimer(self) -> str:
        made = f". It creates everything in the OpenBao at {self._openbao.url}" if self._openbao else ""
        return (
            "It does not prove that your Vault accepts the stack: it does not check the deployer's rights, quotas, "
            f"other mounts or Pulumi's own provider, and it knows only the replacements in its own table{made}"
        )

    def problems(self, token: str, inputs: Inputs) -> Iterator[Problem]:
        return rules.problems(token, inputs)

    def auto_named(self, token: str) -> str | None:  # noqa: ARG002 - the program gives every name
        return None

    def replaced_by(self, token: str) -> Collection[str]:
        return replacement.replaced_by(token, frozenset(sdk_types.input_types(sdk_types.arguments_class(token))))

    def answered(self, token: str, inputs: Inputs) -> Inputs:  # noqa: ARG002 - Vault answers inputs as they are
        return {}

    def create(self, resource: Resource) -> tuple[str, Inputs]:
        made_up = identities.computed(resource, sdk_types.computed_types(resource.token))
        if self._openbao and self._openbao.makes(resource.token):
            resource_id, computed = self._openbao.create(resource)
            return resource_id, {**made_up, **computed}
        return identities.identity(resource)[0], made_up

    def update(self, resource: Resource, resource_id: str) -> None:
        if self._openbao and self._openbao.makes(resource.token):
            self._openbao.update(resource, resource_id)

    def delete(self, resource: Resource, resource_id: str) -> None:  # noqa: ARG002 - its inputs say where it is
        if self._openbao and self._openbao.makes(resource.token):
            self._openbao.delete(resource)

    def exists(self, token: str, resource_id: str, outputs: Inputs) -> bool:  # noqa: ARG002
        return not (self._openbao and self._openbao.makes(token)) or self._openbao.exists(token, outputs)

    def invoke(self, token: str, arguments: Inputs) -> dict[str, Any]:  # noqa: ARG002
        """Reject every function, because its answer may be a secret value."""
        raise RefusedError(f"{token}: the stand-in implements no function of Vault; use a resource's output")
