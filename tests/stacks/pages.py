"""Which test runs a page's shell blocks word for word, and which commands none runs, with the reason.

tests/unit/test_docs.py holds all pages to it; what follows a page (tests/stacks/runbook.py) leaves out these alone.
"""

from __future__ import annotations

RUN_BY: dict[str, str] = {
    "README.md": "tests/stacks/test_newcomer.py",
    "docs/compliance.md": "tests/stacks/test_policies.py",
    "docs/operations/agent-key.md": "tests/contract/test_operations_pages.py",
    "docs/operations/aws.md": "tests/stacks/test_cloud_pages.py",
    "docs/operations/azure.md": "tests/stacks/test_cloud_pages.py",
    "docs/operations/certificates.md": "tests/contract/test_operations_pages.py",
    "docs/operations/component.md": "tests/stacks/test_component_package.py",
    "docs/operations/doctor.md": "tests/contract/test_operations_pages.py",
    "docs/operations/image.md": "tests/tools/test_image.py",
    "docs/operations/kubernetes.md": "tests/stacks/test_kubernetes_page.py",
    "docs/operations/pull-requests.md": "tests/stacks/test_review.py",
    "docs/operations/report.md": "tests/contract/test_operations_pages.py",
    "docs/operations/scanning.md": "tests/tools/test_scan.py",
    "docs/operations/swarm.md": "tests/stacks/test_swarm_page.py",
    "docs/operations/vault.md": "tests/stacks/test_vault_local.py",
}
"""Page -> the test that runs its blocks. Those of a runbook that is not named here: tests/stacks/test_runbooks.py."""

AWS = "an account of AWS"
AZURE = "a subscription of Azure"
NO_KEY = "only who has a key of the agent: the page of that key gives one"
BESIDE = "a Swarm beside a Vault: each of them is tested by itself"
ELSEWHERE = "a Vault in a cluster: tests/stacks/test_vault_kubernetes.py runs them for one outside"

NOT_RUN: dict[str, dict[str, str]] = {
    "docs/operations/aws.md": {
        "make up": AWS,
        "secretops put": AWS,
        "openssl rand": AWS,
        "aws ": AWS,
        "secretops status": AWS,
        "secretops doctor": AWS,
        "QUERY=$(pulumi stack output trail": AWS,
        "secretops audit trail/*.gz": "records that a trail of AWS has delivered",
        "secretops purge": AWS,
        "pulumi state unprotect": AWS,
        "pulumi destroy": AWS,
    },
    "docs/operations/azure.md": {
        "az ": AZURE,
        "make up": AZURE,
        "secretops put": AZURE,
        "openssl rand": AZURE,
        "secretops status": AZURE,
        "secretops doctor": AZURE,
        "secretops purge": AZURE,
        "pulumi state unprotect": AZURE,
        "pulumi destroy": AZURE,
    },
    "docs/operations/component.md": {
        "python3 -m venv venv": "the test makes its environment once, by uv, of what the lock has",
        "venv/bin/pip install": "the same; and a repository that has an address",
        "venv/bin/python -m coreflux_mcp_secrets.tools.lambda_package": "the test of a stack of AWS types it",
    },
    "docs/operations/image.md": {
        "make image  ": "GitHub, where the server is cloned from",
        "make image TAG=coreflux-mcp:1 DOCKER=podman": "podman",
        "make image PYTHON_IMAGE=": "the digest of an image in a registry",
        "docker push": "a registry",
        "docker run --read-only --cap-drop ALL": "goes on until it is ended, at a port and a folder of the machine's; "
        "tests/tools/test_image.py runs both roles with others",
    },
    "docs/operations/kubernetes.md": {"aws ": AWS, "az ": AZURE},
    "docs/operations/swarm.md": {
        "docker login": "a registry with a login: tests/unit/test_swarm_daemon.py reads one, and no registry is asked",
        "secretops put agent-key": NO_KEY,
        "sudo ": "systemd, as root, on a manager",
        "docker events": "goes on until it is ended: the page's query of the trail, which ends, is run",
        "docker swarm update --autolock": "locks the manager for whoever restarts it",
        "docker swarm unlock": "asks for that lock's key at a terminal",
        "docker secret create coreflux-mcp-login FILE": "another store, which no Swarm of the tests is given",
    },
    "docs/operations/vault.md": {
        "secretops put agent-key": NO_KEY,
        "umask 077\nopenssl rand -hex 32 | tr": BESIDE,
        "docker secret create": BESIDE,
        "umask 077\nROLE=auth/coreflux-mcp-prod-vault-swarm": BESIDE,
        "bao write -field=secret_id_accessor": BESIDE,
        "bao write -f -field=secret_id $ROLE-rotator": BESIDE,
        "rm ~/secret-id": BESIDE,
        "bao auth enable kubernetes": ELSEWHERE,
        "bao write auth/kubernetes/config": ELSEWHERE,
        "secretops audit /vault": "a log on a server of Vault's: tests/stacks/test_vault_local.py reads its own",
    },
}
"""Page -> how commands begin that no test runs -> what that would take."""
