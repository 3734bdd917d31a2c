"""A real API server with cert-manager's and External Secrets' CRDs validates the program's objects for them. Neither of
the two runs."""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest
import yaml

from components.core import secrets as specs
from components.core.naming import CERTIFICATE_FILES
from components.kubernetes.operators import client_certificate, secret_store, sync_minutes, synced_secret
from components.kubernetes.pod_args import CHANGE_OVER, TO_A_VOLUME, CertificateIssuerArgs
from secretops.manifest import Reader, Secret
from tests.real.cluster import OwnCluster
from tests.unit.policy_plans import own, planned, text_of
from tools.steps import ROOT
from tools.toolchain.gobuild import find_go, module_folder

# kind -> the Go module of its definition, and the path there. Go verifies and caches it.
PUBLISHED = {
    "Certificate": ("github.com/cert-manager/cert-manager@v1.21.2", "deploy/crds/cert-manager.io_certificates.yaml"),
    "ExternalSecret": (
        "github.com/external-secrets/external-secrets@v1.3.2",
        "config/crds/bases/external-secrets.io_externalsecrets.yaml",
    ),
    "SecretStore": (
        "github.com/external-secrets/external-secrets@v1.3.2",
        "config/crds/bases/external-secrets.io_secretstores.yaml",
    ),
}

# Those of AWS are in tests/stacks/test_aws_elsewhere.py, too.
OBJECTS = [
    client_certificate(
        CertificateIssuerArgs(kind="AWSPCAClusterIssuer", name="plant-ca", group="awspca.cert-manager.io"), "x" * 100
    ),
    synced_secret(specs.mqtt("prod", 90), "coreflux-mcp/prod/mqtt", minutes=5),
]


def providers() -> list[dict[str, Any]]:
    """Return the program's settings for External Secrets' logins to Key Vault and Vault."""
    options = ("operators: [", "ca_file: /etc/ssl/certs/ca.crt, namespace: plant, operators: [")
    vault = text_of("prod-vault-kubernetes").replace(*options).replace("mcp:0.1.0'", "mcp:0.1.0', reference: SyncedKey")
    plans = (own("prod-azure-kubernetes"), planned(vault, "prod"))
    return [
        one.properties["spec"]["provider"] for plan in plans for one in plan.resources if one.name == "secret-store"
    ]


@cache
def published(kind: str) -> dict[str, Any]:
    module, path = PUBLISHED[kind]
    around = ROOT / "tools/kubernetes"
    found: dict[str, Any] = yaml.safe_load((module_folder(find_go(around), around, module) / path).read_text())
    return found


@pytest.mark.real
@pytest.mark.slow
def test_api_server_accepts_each_object_and_no_other_field(own_cluster: OwnCluster) -> None:
    from lightkube import ApiError
    from lightkube.generic_resource import create_namespaced_resource
    from lightkube.models.meta_v1 import ObjectMeta

    client = own_cluster.client()
    for kind in PUBLISHED:
        own_cluster.define(published(kind))
    logins = providers()
    assert [set(one) for one in logins] == [{"azurekv"}, {"vault"}]
    for made in [*OBJECTS, *map(secret_store, logins)]:
        group, _, version = made.api_version.partition("/")
        resource = create_namespaced_resource(
            group, version, made.kind, published(made.kind)["spec"]["names"]["plural"]
        )
        at = ObjectMeta(name=made.name, namespace="default")
        client.apply(resource(metadata=at, spec=made.spec), force=True)
        stored = client.get(resource, made.name, namespace="default")
        assert stored.spec is not None
        assert stored.spec.keys() >= made.spec.keys()
        with pytest.raises(ApiError, match="rotateEvery"):
            client.apply(resource(metadata=at, spec={**made.spec, "rotateEvery": "1h"}), force=True)


@pytest.mark.parametrize(
    ("secret", "name", "keys"),
    [
        (specs.mqtt("prod", 90), "coreflux-mcp-secrets-mqtt", {"username": "mqtt-user", "password": "mqtt-password"}),
        (specs.client_cert(), "coreflux-mcp-certs", {field: field for field in CERTIFICATE_FILES}),
        (
            specs.declared("db", ("url", "user"), (Reader.SERVER,), 90),
            "coreflux-mcp-secrets-db",
            {"url": "db.url", "user": "db.user"},
        ),
    ],
    ids=lambda case: case.name if isinstance(case, Secret) else "",
)
def test_secret_fields_are_named_as_the_launchers_files(secret: Secret, name: str, keys: dict[str, str]) -> None:
    spec = synced_secret(secret, "plant/it", minutes=5).spec
    (whole,) = spec["dataFrom"]
    assert whole["extract"] == {"key": "plant/it"}, "in one request: no reader sees a torn pair"
    assert renamed(whole, secret.fields) == keys
    assert spec["target"] == {"name": name, "creationPolicy": "Owner", "deletionPolicy": "Retain"}


@pytest.mark.parametrize(("grace", "minutes"), [(240, 1), (299, 1), (300, 2), (480, 5), (3600, 5), (604800, 5)])
def test_stores_are_read_as_seldom_as_the_grace_allows(grace: int, minutes: int) -> None:
    assert sync_minutes(grace) == minutes
    assert minutes * 60 + TO_A_VOLUME + CHANGE_OVER <= grace


def renamed(whole: dict[str, Any], fields: Iterable[str]) -> dict[str, str]:
    """Return field -> key, as External Secrets rewrites keys: each rule in turn (its guide, Rewriting Keys)."""
    keys = {}
    for field in fields:
        key = field
        for rule in whole.get("rewrite", ()):
            key = re.sub(rule["regexp"]["source"], rule["regexp"]["target"], key)
        keys[field] = key
    return keys
