"""Key Vault's operations on secrets by method and path, for use without Azure's API description."""

from collections.abc import Mapping

from tools.key_vault.description import Description, Operation

ROUTES = {
    "/secrets": {"get": "GetSecrets"},
    "/secrets/restore": {"post": "RestoreSecret"},
    "/secrets/{secret-name}": {"put": "SetSecret", "delete": "DeleteSecret"},
    "/secrets/{secret-name}/versions": {"get": "GetSecretVersions"},
    "/secrets/{secret-name}/backup": {"post": "BackupSecret"},
    "/secrets/{secret-name}/{secret-version}": {"get": "GetSecret", "patch": "UpdateSecret"},
    "/deletedsecrets": {"get": "GetDeletedSecrets"},
    "/deletedsecrets/{secret-name}": {"get": "GetDeletedSecret", "delete": "PurgeDeletedSecret"},
    "/deletedsecrets/{secret-name}/recover": {"post": "RecoverDeletedSecret"},
}


class Routes(Description):
    """Maps requests to operations, and accepts each request and answer."""

    def __init__(self) -> None:
        self._all = {
            "paths": {
                path: {method: {"operationId": name} for method, name in methods.items()}
                for path, methods in ROUTES.items()
            }
        }

    def request(self, operation: Operation, query: Mapping[str, list[str]]) -> list[str]:  # noqa: ARG002
        return []

    def body(self, operation: Operation, content_type: str, body: bytes) -> list[str]:  # noqa: ARG002
        return []

    def answer(self, operation: Operation, status: int, content_type: str, body: bytes) -> list[str]:  # noqa: ARG002
        return []
