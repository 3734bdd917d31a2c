"""The Azure store's rotator: jobs of Container Apps, by the hour and near an expiry. Under mocks."""

from __future__ import annotations

from pathlib import Path

import pytest

from secretops.entrypoints import lay_files
from secretops.manifest import Manifest
from tests.unit.azure_ids import client_id
from tests.unit.azure_stack import ca, container, inputs, manifest_of, store_of, variables, with_ca
from tests.unit.harness import Deployed, before


@pytest.fixture(scope="module")
def prod() -> Deployed:
    return with_ca()


def test_the_rotator_ticks_each_hour_as_itself(prod: Deployed) -> None:
    configuration = inputs(prod, "job")["configuration"]

    assert configuration["triggerType"] == "Schedule"
    schedule = configuration["scheduleTriggerConfig"]
    assert schedule == {"cronExpression": "0 * * * *", "parallelism": 1, "replicaCompletionCount": 1}
    assert configuration["replicaTimeout"] < 3600
    assert variables(container(prod, "job")) == {"AZURE_CLIENT_ID": client_id("coreflux-prod-rotator")}


@pytest.mark.parametrize("job", ["job", "job-near-expiry"])
def test_a_job_finds_its_manifest_where_it_looks_for_it(prod: Deployed, job: str) -> None:
    (first,) = inputs(prod, job)["template"]["initContainers"]
    one = container(prod, job)

    laid = lay_files.texts(first["args"], variables(first))
    path = one["args"][one["args"].index("--manifest") + 1]
    inside = Manifest.model_validate_json(laid[path])
    assert inside.secrets == manifest_of(prod).secrets
    assert store_of(inside).secrets == store_of(manifest_of(prod)).secrets
    assert laid[inside.broker.ca_file or ""] == ca().read_text()
    assert one["args"][:2] == ["tick", "--scheduled"]
    folders = {mount["mountPath"] for mount in (*first["volumeMounts"], *one["volumeMounts"])}
    assert folders == {str(Path(path).parent)}


def test_an_expiry_starts_the_rotator_too_once_somebody_may(prod: Deployed) -> None:
    events, topic = inputs(prod, "expiry-events"), inputs(prod, "vault-events")
    job, queue = inputs(prod, "job-near-expiry"), inputs(prod, "expiry-queue")
    sent, scale = events["deliveryWithResourceIdentity"], job["configuration"]["eventTriggerConfig"]["scale"]
    (rule,) = scale["rules"]

    assert topic["source"].endswith(f"/vaults/{inputs(prod, 'vault')['vaultName']}")
    assert events["systemTopicName"] == topic["systemTopicName"]
    kinds = {kind.rpartition(".")[2] for kind in events["filter"]["includedEventTypes"]}
    assert kinds == {"SecretNearExpiry", "SecretExpired"}
    assert sent["destination"]["queueName"] == queue["queueName"]
    assert sent["destination"]["resourceId"].endswith(queue["accountName"])
    names = {"accountName": queue["accountName"], "queueName": queue["queueName"]}
    assert rule["metadata"] == {**names, "queueLength": "1"}
    assert rule["identity"].endswith("/coreflux-prod-platform")
    assert rule["identity"] in job["identity"]["userAssignedIdentities"]
    assert scale["maxExecutions"] == 1
    gone = sent["destination"]["queueMessageTimeToLiveInSeconds"]
    assert gone == 2 * scale["pollingInterval"], "an event is gone after two looks, because nobody takes it"
    assert {"events-are-queued", "environment"} <= before(prod, "expiry-events"), "a role is believed in minutes later"
    assert "platform-looks-into-queue" in before(prod, "job-near-expiry")
