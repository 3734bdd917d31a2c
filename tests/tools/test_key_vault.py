"""The stand-in for Key Vault, by Azure's own SDK: what it does of what Azure documents, and that it can say no."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.real.azure import Azure, must_keep_to_the_description

pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")

import requests
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
)
from azure.keyvault.secrets import SecretClient

from secretops.values import new_password
from tools.key_vault.audit import COLUMNS, OPERATIONS
from tools.key_vault.faults import Fault, failing, losing_the_answer, throttling
from tools.key_vault.problems import Refusal
from tools.key_vault.roles import ACTIONS, READER, SECRETS_OFFICER, SECRETS_USER, Role
from tools.key_vault.tokens import Authority, Principal
from tools.key_vault.vault import DAY, LARGEST_VALUE, LONGEST_TAG, MOST_TAGS, PAGE, Vault

pytestmark = pytest.mark.real

API_VERSION = "7.6"


@pytest.fixture
def officer(azure: Azure, vault: Vault) -> SecretClient:
    """A client of somebody who may do all with the secrets of `vault`."""
    return client_of(azure, vault, SECRETS_OFFICER)


@pytest.fixture
def broken(azure: Azure) -> Iterator[Vault]:
    """A vault whose requests or answers break the description on purpose."""
    made = azure.vault()
    yield made
    made.violations.clear()


def client_of(azure: Azure, vault: Vault, role: Role, secret: str | None = None, **options: Any) -> SecretClient:
    somebody = azure.principal()
    vault.access.grant(somebody.oid, role, secret)
    return azure.client(vault, somebody, **options)


def refusal(call: Callable[[], Any]) -> tuple[int | None, str | None, str | None]:
    """Status, code and inner code of what Azure's SDK raises."""
    with pytest.raises(HttpResponseError) as raised:
        call()
    error: Any = raised.value.error
    inner = getattr(error, "innererror", None) or {}
    return raised.value.status_code, getattr(error, "code", None), inner.get("code")


def deleted(officer: SecretClient, name: str) -> None:
    """Deleted, and the SDK has seen it."""
    officer.begin_delete_secret(name).wait()


# Values and versions


def test_each_set_makes_a_version_and_a_read_without_one_gets_the_newest(officer: SecretClient) -> None:
    old, new = new_password(), new_password()
    first = officer.set_secret("mqtt", old, content_type="application/json", tags={"state": "current"})
    second = officer.set_secret("mqtt", new)
    assert officer.get_secret("mqtt").value == new
    assert officer.get_secret("mqtt", first.properties.version).value == old
    assert first.properties.version != second.properties.version
    read = officer.get_secret("mqtt", first.properties.version).properties
    assert (read.content_type, read.tags, read.enabled) == ("application/json", {"state": "current"}, True)
    assert read.recoverable_days == 90
    assert read.recovery_level == "Recoverable+Purgeable"


def test_versions_are_listed_by_id_in_pages_and_without_values(officer: SecretClient) -> None:
    made = [officer.set_secret("mqtt", new_password()).properties.version for _ in range(PAGE + 2)]
    pages = [list(page) for page in officer.list_properties_of_secret_versions("mqtt").by_page()]
    assert [len(page) for page in pages] == [PAGE, 2]
    listed = [each.version for page in pages for each in page]
    assert listed == sorted(made, key=str)


def test_a_secret_that_is_not_there_has_no_versions_and_no_value(officer: SecretClient) -> None:
    assert list(officer.list_properties_of_secret_versions("nothing")) == []
    with pytest.raises(ResourceNotFoundError):
        officer.get_secret("nothing")
    officer.set_secret("mqtt", new_password())
    assert refusal(lambda: officer.get_secret("mqtt", "0" * 32)) == (404, "SecretNotFound", None)


def test_a_list_of_the_vault_names_each_secret_once(officer: SecretClient) -> None:
    for name in ("mqtt", "mqtt", "agent-key"):
        officer.set_secret(name, new_password())
    listed = list(officer.list_properties_of_secrets())
    assert [each.name for each in listed] == ["agent-key", "mqtt"]
    assert [each.version for each in listed] == [None, None]


def test_a_name_is_the_same_in_any_case(officer: SecretClient) -> None:
    value = new_password()
    officer.set_secret("Mqtt", value)
    assert officer.get_secret("mQTT").name == "Mqtt"
    officer.set_secret("mqtt", new_password())
    assert len(list(officer.list_properties_of_secret_versions("MQTT"))) == 2


def test_an_update_changes_what_it_names_of_one_version_and_nothing_else(officer: SecretClient) -> None:
    value = new_password()
    first = officer.set_secret("mqtt", value, tags={"a": "1", "b": "2"}, content_type="application/json")
    officer.set_secret("mqtt", new_password(), tags={"a": "9"})
    changed = officer.update_secret_properties("mqtt", first.properties.version, tags={"a": "3"})
    assert changed.tags == {"a": "3"}
    read = officer.get_secret("mqtt", first.properties.version)
    assert (read.value, read.properties.content_type, read.properties.enabled) == (value, "application/json", True)
    assert officer.get_secret("mqtt").properties.tags == {"a": "9"}


def test_a_disabled_version_is_not_read_and_the_newest_one_bars_the_way_to_older_ones(officer: SecretClient) -> None:
    first = officer.set_secret("mqtt", new_password())
    second = officer.set_secret("mqtt", new_password())
    officer.update_secret_properties("mqtt", second.properties.version, enabled=False)
    assert refusal(lambda: officer.get_secret("mqtt")) == (403, "Forbidden", "SecretDisabled")
    assert refusal(lambda: officer.get_secret("mqtt", second.properties.version))[0] == 403
    assert officer.get_secret("mqtt", first.properties.version).value == first.value
    listed = {each.version: each.enabled for each in officer.list_properties_of_secret_versions("mqtt")}
    assert listed == {first.properties.version: True, second.properties.version: False}


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        ("x" * (LARGEST_VALUE + 1), {}),
        ("x", {f"tag-{number}": "" for number in range(MOST_TAGS + 1)}),
        ("x", {"tag": "x" * (LONGEST_TAG + 1)}),
    ],
    ids=["value", "tags", "tag"],
)
def test_what_is_too_much_for_a_version_is_refused(officer: SecretClient, value: str, tags: dict[str, str]) -> None:
    assert refusal(lambda: officer.set_secret("mqtt", value, tags=tags)) == (400, "BadParameter", None)
    officer.set_secret("mqtt", value[:LARGEST_VALUE], tags={f"tag-{n}": "x" * LONGEST_TAG for n in range(MOST_TAGS)})


# Soft delete


def test_a_deleted_secret_keeps_its_name_and_comes_back_with_all_versions(officer: SecretClient) -> None:
    old, new = new_password(), new_password()
    first = officer.set_secret("mqtt", old)
    officer.set_secret("mqtt", new)
    deleted(officer, "mqtt")
    with pytest.raises(ResourceNotFoundError):
        officer.get_secret("mqtt")
    gone = officer.get_deleted_secret("mqtt")
    assert gone.scheduled_purge_date is not None and gone.deleted_date is not None
    assert (gone.scheduled_purge_date - gone.deleted_date).days == 90
    assert [each.name for each in officer.list_deleted_secrets()] == ["mqtt"]
    assert refusal(lambda: officer.set_secret("mqtt", new_password())) == (
        409,
        "Conflict",
        "ObjectIsDeletedButRecoverable",
    )
    with pytest.raises(ResourceExistsError):
        officer.set_secret("MQTT", new_password())
    officer.begin_recover_deleted_secret("mqtt").wait()
    assert officer.get_secret("mqtt").value == new
    assert officer.get_secret("mqtt", first.properties.version).value == old


def test_a_purge_frees_the_name_and_forgets_the_versions(officer: SecretClient) -> None:
    first = officer.set_secret("mqtt", new_password())
    deleted(officer, "mqtt")
    officer.purge_deleted_secret("mqtt")
    with pytest.raises(ResourceNotFoundError):
        officer.get_deleted_secret("mqtt")
    officer.set_secret("mqtt", new_password())
    with pytest.raises(ResourceNotFoundError):
        officer.get_secret("mqtt", first.properties.version)


def test_purge_protection_lets_nobody_purge_before_the_retention_is_over(azure: Azure) -> None:
    now = [1_800_000_000.0]
    vault = azure.vault(purge_protection=True, retention_days=7, clock=lambda: now[0])
    officer = client_of(azure, vault, SECRETS_OFFICER)
    made = officer.set_secret("mqtt", new_password())
    assert made.properties.recovery_level == "CustomizedRecoverable"
    deleted(officer, "mqtt")
    assert refusal(lambda: officer.purge_deleted_secret("mqtt"))[:2] == (403, "Forbidden")
    now[0] += 7 * DAY
    with pytest.raises(ResourceNotFoundError):
        officer.get_deleted_secret("mqtt")
    officer.set_secret("mqtt", new_password())


def test_what_is_not_deleted_is_neither_recovered_nor_purged(officer: SecretClient) -> None:
    for call in (officer.begin_recover_deleted_secret, officer.purge_deleted_secret, officer.get_deleted_secret):
        with pytest.raises(ResourceNotFoundError):
            call("nothing")


# Who may do what


def test_a_request_without_a_token_is_told_where_to_get_one(azure: Azure, vault: Vault) -> None:
    answer = raw(azure, vault, "GET", "/secrets/mqtt/", token="")
    assert answer.status_code == 401
    assert f"login.microsoftonline.com/{azure.authority.tenant}" in answer.headers["WWW-Authenticate"]
    assert 'resource="https://vault.azure.net"' in answer.headers["WWW-Authenticate"]
    assert vault.audit[-1]["OperationName"] == "Authentication"


@pytest.mark.parametrize("flaw", ["another audience", "ended", "another tenant's", "no token at all"])
def test_a_token_that_is_not_good_opens_nothing(azure: Azure, vault: Vault, flaw: str) -> None:
    somebody = azure.principal()
    vault.access.grant(somebody.oid, SECRETS_OFFICER)
    token = {
        "another audience": azure.authority.issue(somebody, "https://storage.azure.com"),
        "ended": azure.authority.issue(somebody, "https://vault.azure.net", life=-1),
        "another tenant's": Authority().issue(somebody, "https://vault.azure.net"),
        "no token at all": "nonsense",
    }[flaw]
    assert raw(azure, vault, "GET", "/secrets", token=token).status_code == 401
    assert raw(azure, vault, "GET", "/secrets", token=good_token(azure, vault)).status_code == 200


def test_the_sdk_gives_up_on_a_token_that_stays_refused(azure: Azure, vault: Vault) -> None:
    somebody = azure.principal()
    vault.access.grant(somebody.oid, SECRETS_OFFICER)
    ended = azure.credential(somebody, life=-1)
    with pytest.raises(ClientAuthenticationError):
        SecretClient(vault.url, ended, **azure.client_options).get_secret("mqtt")


READS = {"get", "versions", "secrets"}
METADATA = {"versions", "secrets"}
EVERYTHING = READS | {"set", "update", "delete", "deleted", "recover", "purge"}


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (SECRETS_USER, READS | {"deleted"}),
        (SECRETS_OFFICER, EVERYTHING),
        (READER, METADATA | {"deleted"}),
        (None, set()),
    ],
    ids=["user", "officer", "reader", "nobody"],
)
def test_a_role_at_the_vault_lets_through_what_azure_documents_for_it(
    azure: Azure, vault: Vault, officer: SecretClient, role: Role | None, may: set[str]
) -> None:
    somebody = azure.principal()
    if role:
        vault.access.grant(somebody.oid, role.id)
    client = azure.client(vault, somebody)
    for name in ("here", "gone", "other"):
        officer.set_secret(name, new_password())
    for name in ("gone", "other"):
        deleted(officer, name)
    version = officer.get_secret("here").properties.version
    calls: dict[str, Callable[[], Any]] = {
        "get": lambda: client.get_secret("here"),
        "versions": lambda: list(client.list_properties_of_secret_versions("here")),
        "secrets": lambda: list(client.list_properties_of_secrets()),
        "set": lambda: client.set_secret("here", new_password()),
        "update": lambda: client.update_secret_properties("here", version, enabled=True),
        "deleted": lambda: client.get_deleted_secret("gone"),
        "recover": lambda: client.begin_recover_deleted_secret("gone"),
        "purge": lambda: client.purge_deleted_secret("other"),
        "delete": lambda: client.begin_delete_secret("here"),
    }
    for name, call in calls.items():
        if name in may:
            call()
        else:
            assert refusal(call) == (403, "Forbidden", "ForbiddenByRbac"), name


def test_a_role_for_one_secret_opens_no_other_one_and_no_list_of_the_vault(
    azure: Azure, vault: Vault, officer: SecretClient
) -> None:
    for name in ("mqtt", "mqtt-pending"):
        officer.set_secret(name, new_password())
    server = client_of(azure, vault, SECRETS_USER, "mqtt")
    server.get_secret("mqtt")
    assert len(list(server.list_properties_of_secret_versions("mqtt"))) == 1
    for denied in (
        lambda: server.get_secret("mqtt-pending"),
        lambda: list(server.list_properties_of_secrets()),
        lambda: server.set_secret("mqtt", new_password()),
        lambda: server.get_secret("nothing"),
    ):
        assert refusal(denied) == (403, "Forbidden", "ForbiddenByRbac")


@pytest.mark.parametrize("reaches", [True, False])
def test_a_role_for_one_secret_opens_it_when_it_is_deleted_only_where_a_test_says_so(
    azure: Azure, vault: Vault, officer: SecretClient, reaches: bool
) -> None:
    vault.access.reaches_deleted = reaches
    rotator = client_of(azure, vault, SECRETS_OFFICER, "mqtt")
    rotator.set_secret("mqtt", new_password())
    rotator.begin_delete_secret("mqtt").wait()
    if reaches:
        rotator.get_deleted_secret("mqtt")
        rotator.begin_recover_deleted_secret("mqtt").wait()
        rotator.begin_delete_secret("mqtt").wait()
        rotator.purge_deleted_secret("mqtt")
    else:
        for denied in (
            lambda: rotator.get_deleted_secret("mqtt"),
            lambda: rotator.begin_recover_deleted_secret("mqtt"),
            lambda: rotator.purge_deleted_secret("mqtt"),
        ):
            assert refusal(denied) == (403, "Forbidden", "ForbiddenByRbac")
        officer.purge_deleted_secret("mqtt")


def test_a_revoked_assignment_opens_nothing(azure: Azure, vault: Vault) -> None:
    somebody = azure.principal()
    assignment = vault.access.grant(somebody.oid, SECRETS_OFFICER)
    client = azure.client(vault, somebody)
    client.set_secret("mqtt", new_password())
    vault.access.revoke(assignment)
    assert refusal(lambda: client.get_secret("mqtt"))[0] == 403


# What goes wrong on request


def test_a_throttled_request_says_when_to_come_again(azure: Azure, vault: Vault) -> None:
    client = client_of(azure, vault, SECRETS_OFFICER, retry_total=0)
    vault.faults.append(throttling("SetSecret", retry_after=7))
    with pytest.raises(HttpResponseError) as raised:
        client.set_secret("mqtt", new_password())
    assert raised.value.status_code == 429
    answer: Any = raised.value.response
    assert answer.headers["Retry-After"] == "7"
    client.set_secret("mqtt", new_password())


def test_the_sdk_itself_comes_again_after_throttling_and_failures(azure: Azure, vault: Vault) -> None:
    officer = client_of(azure, vault, SECRETS_OFFICER, retry_backoff_factor=0.01)
    officer.set_secret("mqtt", new_password())
    vault.faults += [throttling("GetSecret", retry_after=0), failing("GetSecret", status=500), failing("GetSecret")]
    officer.get_secret("mqtt")
    statuses = [row["HttpStatusCode"] for row in vault.audit if row["OperationName"] == "SecretGet"]
    assert statuses == [429, 500, 503, 200]


def test_an_answer_that_is_lost_makes_the_sdk_set_a_second_version(vault: Vault, officer: SecretClient) -> None:
    officer.set_secret("mqtt", new_password())
    vault.faults.append(losing_the_answer("SetSecret", secret="mqtt"))
    officer.set_secret("mqtt", new_password())
    assert len(list(officer.list_properties_of_secret_versions("mqtt"))) == 3


def test_a_failure_may_come_before_or_after_the_effect(azure: Azure, vault: Vault) -> None:
    client = client_of(azure, vault, SECRETS_OFFICER, retry_total=0)
    for takes_effect, versions in ((False, 0), (True, 1)):
        vault.faults.append(failing("SetSecret", takes_effect=takes_effect))
        assert refusal(lambda: client.set_secret("mqtt", new_password()))[0] == 503
        assert len(list(client.list_properties_of_secret_versions("mqtt"))) == versions


def test_any_answer_of_azure_can_be_asked_for(vault: Vault, officer: SecretClient) -> None:
    recovering = Refusal(409, "Conflict", "Secret mqtt is currently being recovered", "ObjectIsBeingRecovered")
    vault.faults.append(Fault(recovering, "SetSecret", "mqtt"))
    assert refusal(lambda: officer.set_secret("mqtt", new_password())) == (409, "Conflict", "ObjectIsBeingRecovered")
    officer.set_secret("mqtt", new_password())


def test_a_slow_answer_outlasts_an_impatient_client(azure: Azure, vault: Vault) -> None:
    client_of(azure, vault, SECRETS_OFFICER).set_secret("mqtt", new_password())
    impatient = client_of(azure, vault, SECRETS_USER, retry_total=0, read_timeout=1)
    vault.faults.append(Fault(delay=5.0, operation="GetSecret"))
    with pytest.raises(Exception, match=r"(?i)timed? ?out"):
        impatient.get_secret("mqtt")


def test_a_test_can_do_something_right_before_and_after_each_write(vault: Vault, officer: SecretClient) -> None:
    seen: list[int] = []
    vault.around_write.append(lambda: seen.append(len(vault.versions("mqtt")[0])))
    officer.set_secret("mqtt", new_password())
    officer.get_secret("mqtt")
    assert seen == [0, 1]


# The audit log


def test_every_request_leaves_a_row_in_the_columns_of_the_table_and_none_holds_a_value(
    azure: Azure, vault: Vault, officer: SecretClient
) -> None:
    value = new_password()
    version = officer.set_secret("mqtt", value).properties.version
    reader = azure.principal()
    vault.access.grant(reader.oid, SECRETS_USER, "mqtt")
    azure.client(vault, reader).get_secret("mqtt")
    stranger = azure.principal()
    refusal(lambda: azure.client(vault, stranger).get_secret("mqtt"))
    told = [(row["OperationName"], row["HttpStatusCode"], row["ResultSignature"]) for row in vault.audit]
    assert told == [
        ("Authentication", 401, "Unauthorized"),
        ("SecretSet", 200, "OK"),
        ("SecretGet", 200, "OK"),
        ("SecretGet", 403, "Forbidden"),
    ]
    *_, read, denied = vault.audit
    assert read["Identity"]["claim"] == {"oid": reader.oid, "appid": reader.appid}
    assert read["Id"] == f"{vault.url}/secrets/mqtt/{version}"
    assert read["RequestUri"].startswith(f"{vault.url}/secrets/mqtt/?api-version=")
    assert (read["IsRbacAuthorized"], denied["IsRbacAuthorized"]) == (True, False)
    assert denied["Identity"]["claim"]["oid"] == stranger.oid
    for row in vault.audit:
        assert {column: type(each) for column, each in row.items()} == COLUMNS
    assert value not in json.dumps(vault.audit)


# Azure's description


def test_requests_that_the_description_does_not_allow_are_refused_and_fail_the_test(
    azure: Azure, broken: Vault
) -> None:
    token = good_token(azure, broken)
    value = new_password()
    for flaw, body, query in (
        ("$.valu is not described", {"value": value, "valu": value}, API_VERSION),
        ("$ breaks required", {"tags": {}}, API_VERSION),
        ("$.attributes.exp breaks type", {"value": value, "attributes": {"exp": "tomorrow"}}, API_VERSION),
        ("$.attributes.created", {"value": value, "attributes": {"created": 1}}, API_VERSION),
        ("$.attributes.recoverableDays", {"value": value, "attributes": {"recoverableDays": 7}}, API_VERSION),
        ("$.tags.a breaks type", {"value": value, "tags": {"a": 1}}, API_VERSION),
        ("no query parameter api-version", {"value": value}, None),
    ):
        answer = raw(azure, broken, "PUT", "/secrets/mqtt", token=token, body=body, api_version=query)
        assert answer.status_code == 400, flaw
        assert flaw in "\n".join(broken.violations)
        assert value not in "\n".join(broken.violations) + answer.text
        with pytest.raises(AssertionError, match="Azure's description does not allow"):
            must_keep_to_the_description(broken)
    assert broken.versions("mqtt")[0] == []


@pytest.mark.parametrize(
    ("path", "flaw"),
    [
        ("/secrets/a_b", "parameter secret-name: $ breaks pattern"),
        ("/secrets/mqtt?maxresult=3", "unknown query parameter maxresult"),
    ],
)
def test_paths_and_queries_are_held_against_the_description_too(
    azure: Azure, broken: Vault, path: str, flaw: str
) -> None:
    answer = raw(azure, broken, "PUT", path, token=good_token(azure, broken), body={"value": new_password()})
    assert answer.status_code == 400
    assert flaw in "\n".join(broken.violations)


@pytest.mark.parametrize(("method", "path"), [("GET", "/secrets/mqtt"), ("DELETE", "/secrets/mqtt/0"), ("GET", "/")])
def test_what_is_no_operation_of_the_description_fails_the_test(
    azure: Azure, broken: Vault, method: str, path: str
) -> None:
    assert raw(azure, broken, method, path, token=good_token(azure, broken)).status_code == 400
    assert broken.violations == [f"{method} {path}: no such operation"]


@pytest.mark.parametrize(
    ("wrong", "flaw"),
    [
        ({"attribute": {}}, "$.attribute is not described"),
        ({"attributes": {"enabled": "yes"}}, "$.attributes.enabled breaks type"),
        ({"id": 7}, "$.id breaks type"),
    ],
)
def test_a_mistake_of_the_stand_in_itself_fails_the_test(
    azure: Azure, broken: Vault, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any], flaw: str
) -> None:
    monkeypatch.setattr(broken, "get", lambda *_: wrong)
    raw(azure, broken, "GET", "/secrets/mqtt/", token=good_token(azure, broken))
    assert flaw in "\n".join(broken.violations)


def test_each_operation_on_secrets_but_backup_is_there(azure: Azure) -> None:
    described = azure.key_vaults.description
    left_out = {"BackupSecret", "RestoreSecret"}
    assert set(ACTIONS) == set(OPERATIONS) == described.operations_on("secrets") - left_out


# The way there


def test_a_process_of_its_own_gets_there_by_the_sdks_own_means(azure: Azure, vault: Vault) -> None:
    somebody = azure.principal()
    vault.access.grant(somebody.oid, SECRETS_OFFICER, "mqtt")
    program = (
        "import sys; from azure.identity import DefaultAzureCredential as Credential; "
        "from azure.keyvault.secrets import SecretClient; "
        "client = SecretClient(sys.argv[1], Credential()); "
        "client.set_secret('mqtt', sys.stdin.read()); print(client.get_secret('mqtt').properties.version)"
    )
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("AZURE_", "IDENTITY_"))}
    done = subprocess.run(
        [sys.executable, "-c", program, vault.url],
        env={**environment, **azure.environment(somebody)},
        input=new_password(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == vault.get("mqtt")["id"].rpartition("/")[2]
    assert vault.audit[-1]["Identity"]["claim"]["oid"] == somebody.oid


def test_this_process_gets_there_too_where_a_test_asks_for_it(azure_environment: Principal, vault: Vault) -> None:
    from azure.identity import DefaultAzureCredential

    vault.access.grant(azure_environment.oid, SECRETS_OFFICER)
    made = SecretClient(vault.url, DefaultAzureCredential()).set_secret("mqtt", new_password())
    assert made.id == vault.get("mqtt")["id"]


def test_a_name_that_no_test_made_leads_nowhere(azure: Azure) -> None:
    url = "https://kv-of-somebody-else.vault.azure.net"
    client = SecretClient(url, azure.credential(azure.principal()), retry_total=0, **azure.client_options)
    with pytest.raises(ServiceRequestError):
        client.get_secret("mqtt")
    assert url.removeprefix("https://") in azure.hosts.unknown


def test_a_client_that_does_not_trust_the_certificate_sends_nothing(azure: Azure, vault: Vault) -> None:
    options = {**azure.client_options, "connection_verify": True}
    client = SecretClient(vault.url, azure.credential(azure.principal()), retry_total=0, **options)
    with pytest.raises(ServiceRequestError):
        client.get_secret("mqtt")
    assert vault.audit == []


def good_token(azure: Azure, vault: Vault) -> str:
    somebody = azure.principal()
    vault.access.grant(somebody.oid, SECRETS_OFFICER)
    return azure.authority.issue(somebody, "https://vault.azure.net")


def raw(
    azure: Azure,
    vault: Vault,
    method: str,
    path: str,
    *,
    token: str,
    body: dict[str, Any] | None = None,
    api_version: str | None = API_VERSION,
) -> requests.Response:
    """A request that the SDK would not make."""
    return requests.request(
        method,
        vault.url + path,
        params={"api-version": api_version} if api_version else {},
        headers={"Authorization": f"Bearer {token}"} if token else {},
        json=body,
        proxies=azure.client_options["proxies"],
        verify=azure.client_options["connection_verify"],
        timeout=60,
    )
