"""A stand-in for a Secrets Manager client: it calls moto, and enforces rules of AWS that moto does not.

The rules are from AWS' API reference of PutSecretValue, UpdateSecretVersionStage, RotateSecret and DescribeSecret, and
its page of quotas. Only a test with a real account could prove them.

    a label moves only from where it is, and AWSCURRENT is never removed            moto checks AWSCURRENT's source only
    the same token with other data is refused, but for a version without a value    moto lets a pending one change
    RotateSecret makes a pending version without a value, and runs nothing here     moto adds a value and promotes it
    a pending version that is not current blocks the next RotateSecret              moto has it the wrong way round
    GetSecretValue without a stage means AWSCURRENT                                 moto returns the first one
    a secret has at most 20 labels; one scheduled for deletion takes nothing        moto counts none, and takes some
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

from tests.real.moto import ACCOUNT, REGION, Aws

if TYPE_CHECKING:
    from moto.secretsmanager.models import FakeSecret
    from types_boto3_secretsmanager.client import SecretsManagerClient

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"
MOST_LABELS = 20
_ON_THE_WAY = "standin.on-the-way"
# In the process that moto serves in. A forked child has only a copy of moto's data.
_OWN = os.getpid()


class StrictSecretsManager:
    """The part of boto3's Secrets Manager client that our code uses. Other methods are moto's."""

    # Called before and after each request that writes: a test may act there.
    around_write: ClassVar[list[Callable[[], None]]] = []

    def __init__(self, moto: SecretsManagerClient, *, current_drops_pending: bool = False) -> None:
        """`current_drops_pending`: after a rotation, no version has the label AWSPENDING. AWS documents that this may
        happen."""
        self._moto, self._drops = moto, current_drops_pending

    def __getattr__(self, name: str) -> Any:
        return getattr(self._moto, name)

    def describe_secret(self, *, SecretId: str) -> dict[str, Any]:  # noqa: N803 - as boto3 has it
        answer: dict[str, Any] = dict(self._moto.describe_secret(SecretId=SecretId))
        stages = {version: list(dict.fromkeys(has)) for version, has in answer.pop("VersionIdsToStages", {}).items()}
        if labeled := {version: has for version, has in stages.items() if has}:
            answer["VersionIdsToStages"] = labeled
        return answer

    def get_secret_value(self, *, SecretId: str, **which: str) -> dict[str, Any]:  # noqa: N803
        self._whole(SecretId, "GetSecretValue")
        if not which:
            which = {"VersionStage": CURRENT}
        return dict(self._moto.get_secret_value(SecretId=SecretId, **which))

    def put_secret_value(
        self,
        *,
        SecretId: str,  # noqa: N803
        SecretString: str,  # noqa: N803
        ClientRequestToken: str = "",  # noqa: N803
        VersionStages: list[str] | None = None,  # noqa: N803
    ) -> dict[str, Any]:
        name, token = SecretId, ClientRequestToken or str(uuid.uuid4())
        self._tell()
        before = self._whole(name, "PutSecretValue")
        if (there := self._text(name, token)) is not None:
            if there != SecretString:
                raise _error(
                    "ResourceExistsException", "You can't use ClientRequestToken, it is in use", "PutSecretValue"
                )
            return {"VersionId": token, "VersionStages": list(before.get(token, ()))}
        stages = list(VersionStages or [CURRENT])
        had_value = any(self._text(name, version) is not None for version in self._all(name))
        if not had_value and CURRENT not in stages:
            stages.append(CURRENT)
        self._count({*stages, *(label for has in before.values() for label in has)}, "PutSecretValue")
        stages += [label for label in before.get(token, ()) if label not in stages]
        moves = CURRENT in stages and any(CURRENT in has for has in before.values())
        at_once = [stage for stage in stages if stage != CURRENT or not moves] or [_ON_THE_WAY]
        self._moto.put_secret_value(
            SecretId=name, ClientRequestToken=token, SecretString=SecretString, VersionStages=at_once
        )
        if moves:
            self._make_current(name, next(each for each, has in before.items() if CURRENT in has), token)
        if _ON_THE_WAY in at_once:
            self._moto.update_secret_version_stage(SecretId=name, VersionStage=_ON_THE_WAY, RemoveFromVersionId=token)
        self._tell()
        return {"VersionId": token, "VersionStages": self._whole(name, "PutSecretValue").get(token, [])}

    def update_secret_version_stage(
        self,
        *,
        SecretId: str,  # noqa: N803
        VersionStage: str,  # noqa: N803
        RemoveFromVersionId: str = "",  # noqa: N803
        MoveToVersionId: str = "",  # noqa: N803
    ) -> dict[str, Any]:
        operation = "UpdateSecretVersionStage"
        self._tell()
        labels = self._whole(SecretId, operation)
        holder = next((version for version, has in labels.items() if VersionStage in has), "")
        if MoveToVersionId and MoveToVersionId not in self._all(SecretId):
            raise _error("ResourceNotFoundException", "no such version", operation)
        if MoveToVersionId and MoveToVersionId == holder:
            return {}
        if holder != RemoveFromVersionId:
            raise _error("InvalidParameterException", f"{VersionStage} is attached to {holder or 'nothing'}", operation)
        if not MoveToVersionId and VersionStage == CURRENT:
            raise _error("InvalidParameterException", "You can't remove AWSCURRENT", operation)
        if VersionStage == CURRENT:
            self._make_current(SecretId, RemoveFromVersionId, MoveToVersionId)
        else:
            if MoveToVersionId and not holder:
                self._count({VersionStage, *(label for has in labels.values() for label in has)}, operation)
            ends = {"RemoveFromVersionId": RemoveFromVersionId, "MoveToVersionId": MoveToVersionId}
            self._moto.update_secret_version_stage(
                SecretId=SecretId,
                VersionStage=VersionStage,
                **{end: version for end, version in ends.items() if version},
            )
        self._tell()
        return {}

    def rotate_secret(self, *, SecretId: str, ClientRequestToken: str = "") -> dict[str, Any]:  # noqa: N803
        """Do what AWS does before it calls the function. The function is not called."""
        labels = self._whole(SecretId, "RotateSecret")
        token = ClientRequestToken or str(uuid.uuid4())
        pending = next((has for has in labels.values() if PENDING in has), None)
        if pending and CURRENT not in pending:
            raise _error("InvalidRequestException", "A previous rotation isn't complete.", "RotateSecret")
        made = {"createdate": int(time.time()), "version_id": token, "version_stages": [PENDING]}
        secret = self._kept(SecretId)
        secret.remove_version_stages_from_old_versions([PENDING])
        secret.versions[token] = made
        return {"VersionId": token}

    def _tell(self) -> None:
        for each in self.around_write:
            each()

    def _kept(self, name: str) -> FakeSecret:
        """Return moto's object, since no request can create a version without a value. moto's server is in this
        process."""
        found = self._here(name)
        assert found
        return found

    @staticmethod
    def _here(name: str) -> FakeSecret | None:
        """Return moto's object without a request; None in a child or if there is none."""
        from moto.secretsmanager.models import FakeSecret, secretsmanager_backends

        if os.getpid() != _OWN or name not in (secrets := secretsmanager_backends[ACCOUNT][REGION].secrets):
            return None
        found = secrets[name]
        assert isinstance(found, FakeSecret)
        return found

    def _make_current(self, name: str, source: str, version: str) -> None:
        """Move labels as moto does, which moves AWSPREVIOUS, too."""
        if source == version:
            return
        self._moto.update_secret_version_stage(
            SecretId=name, VersionStage=CURRENT, RemoveFromVersionId=source, MoveToVersionId=version
        )
        if self._drops and PENDING in self.describe_secret(SecretId=name)["VersionIdsToStages"].get(version, ()):
            self._moto.update_secret_version_stage(SecretId=name, VersionStage=PENDING, RemoveFromVersionId=version)

    def _whole(self, name: str, operation: str) -> dict[str, list[str]]:
        if kept := self._here(name):
            deleted = kept.is_deleted()
            labels = {version: list(dict.fromkeys(one["version_stages"])) for version, one in kept.versions.items()}
        else:
            answer = self.describe_secret(SecretId=name)
            deleted, labels = bool(answer.get("DeletedDate")), answer.get("VersionIdsToStages", {})
        if deleted:
            raise _error("InvalidRequestException", "it was marked for deletion", operation)
        return {version: has for version, has in labels.items() if has}

    def _all(self, name: str) -> list[str]:
        if kept := self._here(name):
            return list(kept.versions)
        return [each["VersionId"] for each in self._moto.list_secret_version_ids(SecretId=name)["Versions"]]

    def _text(self, name: str, version: str) -> str | None:
        if kept := self._here(name):
            text: str | None = kept.versions.get(version, {}).get("secret_string")
            return text
        with contextlib.suppress(self._moto.exceptions.ResourceNotFoundException):
            return self._moto.get_secret_value(SecretId=name, VersionId=version)["SecretString"]
        return None

    def _count(self, labels: set[str], operation: str) -> None:
        if len(labels) > MOST_LABELS:
            raise _error("LimitExceededException", f"{len(labels)} staging labels", operation)


def _error(code: str, message: str, operation: str = "GetSecretValue") -> Exception:
    from botocore.exceptions import ClientError

    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@contextlib.contextmanager
def strict(moto: Aws) -> Iterator[Aws]:
    """Serve Secrets Manager with these rules to all processes until the end of the block.

    Each request is atomic, as in AWS. With the rules in each client, two processes could both check, and then both
    write.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _front_of(moto))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Aws(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _front_of(moto: Aws) -> type[BaseHTTPRequestHandler]:
    """Return a handler of Secrets Manager's protocol, JSON 1.1. Other services go to moto."""
    service, one_at_a_time = StrictSecretsManager(moto.secrets_manager), threading.Lock()

    class Front(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer in two packets would wait 40 ms for the first one's acknowledgement

        def do_POST(self) -> None:
            from botocore import xform_name
            from botocore.exceptions import ClientError

            body = self.rfile.read(int(self.headers["Content-Length"]))
            target, _, operation = self.headers["X-Amz-Target"].partition(".")
            if target != "secretsmanager":
                self._pass_on(body)
                return
            requested = json.loads(body)
            try:
                with one_at_a_time:
                    answer = dict(getattr(service, xform_name(operation))(**requested))
            except ClientError as error:
                reported = error.response["Error"]
                self._answer(400, {"__type": reported["Code"], "message": reported["Message"]})
            else:
                answer.pop("ResponseMetadata", None)
                self._answer(200, answer)

        def _pass_on(self, body: bytes) -> None:
            with one_at_a_time, contextlib.closing(HTTPConnection(moto.url.partition("//")[2], timeout=600)) as sent:
                sent.request("POST", self.path, body, dict(self.headers))
                answer = sent.getresponse()
                self._send(answer.status, answer.read())

        def _answer(self, code: int, answer: dict[str, Any]) -> None:
            self._send(code, json.dumps(answer, default=datetime.timestamp).encode())

        def _send(self, code: int, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    return Front
