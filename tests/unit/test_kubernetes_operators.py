"""cert-manager's and External Secrets' objects against what both projects publish: schema by schema, and by a real API
server that has their definitions. Neither operator runs here.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from components.kubernetes.operators import LIFE, RENEW_BEFORE, OperatorObject, client_certificate, synced_secret
from components.references import SyncedKey
from components.sections import CertificateIssuer
from tests.real.cluster import OwnCluster
from tools.gobuild import find_go, module_folder
from tools.steps import ROOT

pytestmark = pytest.mark.real

PUBLISHED = {
    "Certificate": (
        "github.com/cert-manager/cert-manager@v1.21.2",
        "deploy/crds/cert-manager.io_certificates.yaml",
    ),
    "ExternalSecret": (
        "github.com/external-secrets/external-secrets@v1.3.2",
        "config/crds/bases/external-secrets.io_externalsecrets.yaml",
    ),
}
"""kind -> the Go module that its definition lies in, and where. Fetched once; Go checks and keeps it."""

OBJECTS = [
    client_certificate(CertificateIssuer(kind="ClusterIssuer", name="plant-ca"), "staging"),
    client_certificate(CertificateIssuer(kind="Issuer", name="plant-ca"), "x" * 100),
    synced_secret(
        [
            SyncedKey(secret="mqtt", remote="plant/mqtt", keys={"username": "mqtt-user", "password": "mqtt-password"}),
            SyncedKey(secret="db", remote="arn:aws:secretsmanager:eu-central-1:1:secret:db", keys={"url": "db.url"}),
        ],
        store="plant",
        store_kind="ClusterSecretStore",
    ),
]
each_object = pytest.mark.parametrize(
    "made", OBJECTS, ids=["a cluster's issuer", "a namespace's issuer", "a synced secret"]
)


@cache
def published(kind: str) -> dict[str, Any]:
    """The custom resource definition of `kind`."""
    module, path = PUBLISHED[kind]
    around = ROOT / "tools/kubernetes"
    found: dict[str, Any] = yaml.safe_load((module_folder(find_go(around), around, module) / path).read_text())
    return found


def schema(made: OperatorObject) -> Any:
    """Of the version that the object is of, with no room for fields that it does not name."""
    version = made.api_version.rpartition("/")[2]
    (served,) = [
        each for each in published(made.kind)["spec"]["versions"] if each["name"] == version and each["served"]
    ]
    return _strict(copy.deepcopy(served["schema"]["openAPIV3Schema"]))


def _strict(part: Any) -> Any:
    if isinstance(part, dict):
        for below in part.values():
            _strict(below)
        if part.get("type") == "object" and part.get("properties") and "additionalProperties" not in part:
            part["additionalProperties"] = bool(part.get("x-kubernetes-preserve-unknown-fields"))
    elif isinstance(part, list):
        for below in part:
            _strict(below)
    return part


def document(made: OperatorObject, **more: Any) -> dict[str, Any]:
    return {"apiVersion": made.api_version, "kind": made.kind, "spec": {**made.spec, **more}}


@each_object
def test_an_object_is_as_its_published_schema_has_it(made: OperatorObject) -> None:
    jsonschema.validate(document(made), schema(made))


@each_object
def test_the_schema_would_tell_an_unknown_field(made: OperatorObject) -> None:
    with pytest.raises(jsonschema.ValidationError, match="Additional properties"):
        jsonschema.validate(document(made, rotateEvery="1h"), schema(made))


def test_a_real_api_server_that_has_the_definitions_takes_each_object_and_no_field_more(
    own_cluster: OwnCluster,
) -> None:
    from lightkube import ApiError
    from lightkube.codecs import from_dict
    from lightkube.generic_resource import create_namespaced_resource
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.apiextensions_v1 import CustomResourceDefinition

    client = own_cluster.client()
    for kind in PUBLISHED:
        client.apply(from_dict(published(kind)))
        client.wait(CustomResourceDefinition, published(kind)["metadata"]["name"], for_conditions=["Established"])
    for made in OBJECTS:
        group, _, version = made.api_version.partition("/")
        resource = create_namespaced_resource(
            group, version, made.kind, published(made.kind)["spec"]["names"]["plural"]
        )
        at = ObjectMeta(name=made.name, namespace="default")

        client.apply(resource(metadata=at, spec=made.spec), force=True)

        kept = client.get(resource, made.name, namespace="default")
        assert kept.spec is not None
        assert kept.spec.keys() >= made.spec.keys()
        with pytest.raises(ApiError, match="rotateEvery"):
            client.apply(resource(metadata=at, spec={**made.spec, "rotateEvery": "1h"}), force=True)


def test_a_certificate_is_renewed_at_two_thirds_of_its_life() -> None:
    hours = {text: int(text.removesuffix("h")) for text in (LIFE, RENEW_BEFORE)}

    assert 1 - hours[RENEW_BEFORE] / hours[LIFE] == pytest.approx(2 / 3)


def test_a_synced_secret_is_read_whole_so_that_no_reader_sees_a_torn_pair() -> None:
    spec = OBJECTS[-1].spec

    assert [each["extract"]["key"] for each in spec["dataFrom"]] == [
        "plant/mqtt",
        "arn:aws:secretsmanager:eu-central-1:1:secret:db",
    ]
    assert spec["target"]["template"]["data"] == {
        "mqtt-user": '{{ index . "mqtt.username" }}',
        "mqtt-password": '{{ index . "mqtt.password" }}',
        "db.url": '{{ index . "db.url" }}',
    }
