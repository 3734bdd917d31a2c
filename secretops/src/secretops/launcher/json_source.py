"""`json:`: a JSON document, or a folder of them.

Secrets by the names and fields of the catalogue, as every store keeps them, and not flat variables: that would be a
second .env.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from secretops.errors import UsageError
from secretops.launcher.json_document import JsonDocument, places
from secretops.launcher.settings import NotYetError, ServerSettings
from secretops.launcher.source import OfDocument, text_of


class Json(OfDocument):
    """`json:<path>`: {"mqtt": {"username": …, "password": …}, "agent-key": {"api-key": …}, "client-cert": {…}}.

    Each may say its "version". Of a folder each *.json is one, and together they are the document: whoever lays them
    down one after the other, as Vault's agent does, tears no secret apart, since each is in one of them. A place that
    ends with a slash is a folder also before it is there.
    """

    def __init__(self, place: str) -> None:
        super().__init__()
        self._path, self._is_folder = Path(place).expanduser(), place.endswith("/")
        self.where = str(self._path)

    def read(self) -> ServerSettings:
        try:
            return super().read()
        except NotYetError as error:
            if self._path.exists():
                raise
            raise NotYetError(
                f"{error}\n{self._path}: nobody has laid this folder there yet\n"
                "-> In a pod the agent's injector does: is it in the cluster, and did it see the pod being made?",
                secrets=error.secrets,
                http_token=error.http_token,
            ) from None

    def variables(self) -> Mapping[str, str]:
        found: dict[str, Path] = {}
        whole: dict[str, object] = {}
        for path in self._files():
            document = _document(path).model_dump(by_alias=True, exclude_unset=True)
            if twice := sorted(found.keys() & document.keys()):
                raise UsageError(
                    f"{path}: {', '.join(twice)} stands in {found[twice[0]].name}, too",
                    rule="each secret is in one file of the folder",
                    remedy="take it out of one of them",
                )
            found |= dict.fromkeys(document, path)
            whole |= document
        return self.variables_of(JsonDocument.model_validate(whole))

    def folders(self) -> frozenset[Path]:
        return frozenset({self._path if self._is_folder or self._path.is_dir() else self._path.parent})

    def _files(self) -> list[Path]:
        """The file, or those of the folder that are not being written under another name."""
        if not self._is_folder and not self._path.is_dir():
            return [self._path]
        try:
            named = [path for path in self._path.iterdir() if path.suffix == ".json"]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UsageError(
                f"{self._path}: {error.strerror}",
                rule="the account that runs the server reads the files of this folder",
                remedy="run the server as the folder's owner",
            ) from None
        return sorted(path for path in named if not path.name.startswith("."))


def _document(path: Path) -> JsonDocument:
    try:
        return JsonDocument.model_validate_json(text_of(path, "write it, or name another place with --from"))
    except ValidationError as error:
        raise UsageError(
            f"{path}: not as it should be: {places(error)}",
            rule='one JSON object of secrets and all their fields, {"mqtt": {"username": …, "password": …}, …}; '
            "each field is a text that is not empty",
            remedy="write it again, whole",
        ) from None
