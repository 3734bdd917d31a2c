"""Which test runs each page's shell blocks word for word, and which commands no test runs, with the reason."""

# Page -> the test that runs its blocks. Runbooks that are not named here: tests/stacks/test_runbooks.py.
RUN_BY: dict[str, str] = {
    "README.md": "tests/stacks/test_newcomer.py",
    "docs/operations/aws.md": "tests/stacks/test_cloud_pages.py",
    "docs/operations/azure.md": "tests/stacks/test_cloud_pages.py",
    "docs/operations/certificates.md": "tests/contract/test_operations_pages.py",
    "docs/operations/component.md": "tests/stacks/test_component_package.py",
    "docs/operations/doctor.md": "tests/contract/test_operations_pages.py",
    "docs/operations/image.md": "tests/tools/test_image.py",
    "docs/operations/install.md": "tests/stacks/test_release.py",
    "docs/operations/kubernetes.md": "tests/stacks/test_kubernetes_page.py",
    "docs/operations/live.md": "tests/stacks/test_live.py",
    "docs/operations/import.md": "tests/contract/test_operations_pages.py",
    "docs/operations/pull-requests.md": "tests/stacks/test_review.py",
    "docs/operations/monitoring.md": "tests/contract/test_operations_pages.py",
    "docs/operations/report.md": "tests/contract/test_operations_pages.py",
    "docs/operations/scanning.md": "tests/tools/test_scan.py",
    "docs/operations/swarm.md": "tests/stacks/test_swarm_page.py",
    "docs/operations/upgrade.md": "tests/stacks/test_upgrade.py",
    "docs/operations/vault.md": "tests/stacks/test_vault_local.py",
}

AWS = "an account of AWS"
AZURE = "a subscription of Azure"
NO_KEY = "only who has a key of the agent: the page of that key gives one"
SWARM_WITH_VAULT = "a Swarm with a Vault: each is tested separately"
ELSEWHERE = "a Vault in a cluster: tests/stacks/test_vault_kubernetes.py runs them for one outside"

ON_A_STACK = (
    *("make up", "secretops put", "openssl rand", "secretops status", "secretops doctor", "secretops purge"),
    *("pulumi state unprotect", "pulumi destroy"),
)

# Page -> the reason why no test runs a command -> how those commands begin.
NOT_RUN: dict[str, dict[str, tuple[str, ...]]] = {
    "docs/compliance/README.md": {
        "tests/unit/test_policy_command.py calls the command on a preview": (
            "PULUMI_ENABLE_STREAMING_JSON_PREVIEW=true pulumi preview",
            "python -m policies",
        )
    },
    "docs/operations/agent-key.md": {
        "an agent answers there: tests/contract/test_agent_key.py calls the same operations on a server of ours": (
            "secretops put agent-",
            "secretops rotate agent-key",
            "secretops status",
        )
    },
    "docs/operations/aws.md": {
        AWS: (*ON_A_STACK, "aws ", "QUERY=$(pulumi stack output trail"),
        "records that a trail of AWS has delivered": ("secretops audit trail/*.gz",),
    },
    "docs/operations/azure.md": {AZURE: (*ON_A_STACK, "az ")},
    "docs/operations/component.md": {
        "the test makes its environment once, by uv, of what the lock has": ("python3 -m venv venv",),
        "the same; and a repository that has an address": ("venv/bin/pip install",),
        "the test of a stack of AWS types it": ("venv/bin/python -m coreflux_mcp_secrets.aws.lambda_package",),
    },
    "docs/operations/image.md": {
        "GitHub, where the server is cloned from": ("make image  ",),
        "podman": ("make image TAG=coreflux-mcp:1 DOCKER=podman",),
        "the digest of an image in a registry": ("make image TAG=NAME:1 PYTHON_IMAGE=",),
        "a registry": ("docker push",),
        "set-up in the test's clone: its tests call tools.sbom": ("make sbom",),
        "goes on until it is ended: tests/tools/test_image.py runs both roles": (
            "docker run --read-only --cap-drop ALL",
        ),
    },
    "docs/operations/import.md": {
        "the answer of an API server: tests/contract/test_import.py has its form": ("kubectl get",),
        "a server in a container with secrets of a Swarm": (
            "umask 077\nmkdir /dev/shm/server",
            "docker exec",
            "secretops import --from /dev/shm",
            "rm -r /dev/shm",
        ),
        "the page of that admin gives one; the test puts it": ("secretops put broker-admin",),
    },
    "docs/operations/install.md": {"GitHub, and a release": ("gh release", "gh attestation")},
    "docs/operations/kubernetes.md": {AWS: ("aws ",), AZURE: ("az ",)},
    "docs/operations/swarm.md": {
        "a registry with a login: tests/unit/test_swarm_daemon.py reads one, without a registry": ("docker login",),
        NO_KEY: ("secretops put agent-key",),
        "systemd, as root, on a manager": ("sudo ",),
        "goes on until it is ended: tests/stacks/test_swarm.py asks by the trail's query, which ends": (
            "docker events",
        ),
        "locks the manager after a restart": ("docker swarm update --autolock",),
        "prompts for that lock's key at a terminal": ("docker swarm unlock",),
        "another store, which no Swarm of the tests has": ("docker secret create coreflux-mcp-login FILE",),
    },
    "docs/operations/upgrade.md": {"the test checks out this commit": ("git fetch", "git merge")},
    "docs/operations/vault.md": {
        NO_KEY: ("secretops put agent-key",),
        SWARM_WITH_VAULT: (
            "umask 077\nopenssl rand -hex 32 | tr",
            "docker secret create",
            "openssl rand -hex 32 | secretops put http-token",
            "umask 077\nROLE=auth/coreflux-mcp-prod-vault-swarm",
            "bao write -field=secret_id_accessor",
            "FILE=.coreflux-mcp-rotator/login/rotator",
            "bao write -f -field=secret_id $ROLE-rotator",
            "rm ~/secret-id",
        ),
        ELSEWHERE: ("bao auth enable kubernetes", "bao write auth/kubernetes/config"),
        "a log on a server of Vault's: tests/stacks/test_vault_local.py reads its own": ("secretops audit /vault",),
    },
}
