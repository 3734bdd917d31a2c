"""Run the program on the Vault platform under mocks, and list its policies for reviewers.

To update the list, run python -m tests.unit.vault_stack > tests/unit/golden/vault-policies.txt
"""

import json
import re
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from components.settings.section import PROJECT_FOLDER
from components.settings.settings import ConfigurationError
from secretops.manifest import Manifest
from secretops.platforms.vault.location import VaultStoreLocation
from tests.unit.aws_stack import a_kubeconfig
from tests.unit.harness import Deployed, ca_file, deploy
from tests.unit.stack_file import StackFile
from tools.standin import sdk_types

IMAGE = "registry.example.com/coreflux-mcp-secrets:0.1.0"
ADDRESS = "https://vault.example.com:8200"
ISSUER = "https://kubernetes.example.com"
STORE = f'kind: vault, address: "{ADDRESS}", operators: [userpass/alice]'
GOLDEN = Path(__file__).with_name("golden") / "vault-policies.txt"
FOR_PODS = PROJECT_FOLDER / "examples/Pulumi.prod-vault-kubernetes.yaml"
HERE = PROJECT_FOLDER / "examples/Pulumi.dev-vault-local.yaml"


def file_on_vault(
    store: str = "", server: str = "", broker: str = "", *, kind: str = "kind: local", **more: str
) -> StackFile:
    """Return a stack file of the Vault store, with more entries in each section. `kind` is the server's kind."""
    sections = {
        "store": f"{{{STORE}{store}}}",
        "server": f"{{{kind}{server}}}",
        "broker": f"{{kind: coreflux, host: mqtt.example.com{broker}}}",
        **more,
    }
    return StackFile.read("\n".join(["config:", *(f"  {name}: {text}" for name, text in sections.items())]))


def for_this_machine(
    store: str = "", server: str = "", broker: str = "", *, stack: str = "dev", preview: bool = False, **more: str
) -> Deployed:
    return deploy(file_on_vault(store, server, broker, **more), stack, preview=preview)


def for_pods(
    store: str = "", server: str = "", broker: str = "", *, stack: str = "prod", preview: bool = False, **more: str
) -> Deployed:
    kind = f'kind: kubernetes, image: "{IMAGE}"'
    with a_kubeconfig():
        return deploy(file_on_vault(store, server, broker, kind=kind, **more), stack, preview=preview)


@cache
def by_agent() -> Deployed:
    """Deploy a stack in a cluster with Vault's agent and only the required settings. The result is cached, so do not
    change it."""
    return for_pods()


@cache
def by_external_secrets() -> Deployed:
    return for_pods(server=", reference: SyncedKey")


@cache
def on_this_machine() -> Deployed:
    return for_this_machine()


@cache
def with_every_option(*, preview: bool = False) -> Deployed:
    return for_pods(
        f', namespace: plant, max_versions: 10, jwt: {{issuer: "{ISSUER}"}}, pki: {{days: 14}}, '
        "audit_files: [/var/log/vault.log]",
        ", vault_cidrs: [10.9.0.0/16]",
        ", client_certificate: true",
        secrets="{plant-db: {fields: [url], readers: [rotator]}}",
        preview=preview,
    )


def shipped(example: Path, ca: Path) -> Deployed:
    text = re.sub(r"/etc/ssl/certs/[a-z-]+\.crt", str(ca), example.read_text())
    with a_kubeconfig():
        return deploy(StackFile.read(text), example.name.split(".")[1])


def inputs(deployed: Deployed, name: str) -> Any:
    return _whole(deployed.resources[name].inputs)


def vaults(deployed: Deployed) -> list[Any]:
    return [one for one in deployed.resources.values() if one.type.startswith("vault:")]


def manifest_of(deployed: Deployed) -> Manifest:
    return Manifest.model_validate(deployed.exports["secretops"])


def store_of(manifest: Manifest) -> VaultStoreLocation:
    assert isinstance(manifest.store, VaultStoreLocation)
    return manifest.store


def policies(deployed: Deployed) -> dict[str, dict[str, list[str]]]:
    """Return policy name -> path -> capabilities, as Vault parses them."""
    return {
        one.inputs["name"]: dict(_paths(one.inputs["policy"])) for one in deployed.of_type("vault:index/policy:Policy")
    }


def _paths(policy: str) -> Iterator[tuple[str, list[str]]]:
    found = re.findall(r'path ("[^"]+") \{\s+capabilities = (\[[^]]+\])\s+\}', policy)
    assert len(found) == policy.count("path "), "every rule is understood"
    for path, may in found:
        yield json.loads(path), json.loads(may)


def refusals(store: str = "", server: str = "", broker: str = "", *, stack: str = "prod", **more: str) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        file_on_vault(store, server, broker, **more).parse(stack)
    return [" ".join(str(problem).split()) for problem in refused.value.problems]


def wrong(deployed: Deployed) -> list[str]:
    return [
        f"{one.name}: {problem}"
        for one in vaults(deployed)
        for problem in sdk_types.problems(one.type, _whole(one.inputs))
    ]


def _whole(entry: Any) -> Any:
    from tests.unit.azure_stack import whole  # imports another platform's SDK

    return whole(entry)


def every_policy() -> str:
    with tempfile.TemporaryDirectory() as folder:
        least = shipped(FOR_PODS, ca_file(Path(folder)))
    known = _shown(least)
    others = {
        "Copied by External Secrets": by_external_secrets(),
        "On this machine: the launcher reads": on_this_machine(),
        "With every option: login by jwt, a PKI, a client certificate, a secret more": with_every_option(),
    }
    lines = [
        "What server, rotator and operator of a stack of Vault may, as tests/unit/test_vault_policies.py finds it.",
        "Made by: python -m tests.unit.vault_stack > tests/unit/golden/vault-policies.txt",
    ]
    lines += ["", "examples/Pulumi.prod-vault-kubernetes.yaml: an agent reads"]
    for who, rules in known.items():
        lines += [f"  {who}", *rules]
    for title, deployed in others.items():
        lines += ["", f"{title}; the server, and the further rights of others outside the mount"]
        for who, rules in _shown(deployed).items():
            additional = [one for one in rules if one not in known[who] and not one.startswith("    <stack>/")]
            printed = rules if who == "server" else additional
            lines += [f"  {who}", *printed] if printed else []
    return "\n".join(lines) + "\n"


def _shown(deployed: Deployed) -> dict[str, list[str]]:
    """Return principal -> a line for each rule, with <stack> in place of the stack's prefix in names."""
    base = f"coreflux-mcp-{manifest_of(deployed).stack}"
    printed: dict[str, list[str]] = {}
    for one in deployed.of_type("vault:index/policy:Policy"):
        found: dict[tuple[str, str, str], list[str]] = {}
        text = one.inputs["policy"].replace(base, "<stack>")
        for why, path, may in re.findall(r'# (.*)\npath "(.*)" \{\n  capabilities = \[(.*)\]', text):
            folder, slash, name = path.rpartition("/")
            which = (f"{folder}{slash}", may.replace('"', ""), why.replace(name, "{}") if name else why)
            found.setdefault(which, []).append(name)
        lines = printed[one.inputs["name"].removeprefix(f"{base}-")] = list[str]()
        for (folder, may, why), on in found.items():
            what = on[0] if len(on) == 1 else f"{{{', '.join(on)}}}"
            lines.append(f"    {folder}{what}: {may}; {why.replace('{}', what) if len(on) == 1 else why}")
    return printed


if __name__ == "__main__":
    print(every_policy(), end="")
