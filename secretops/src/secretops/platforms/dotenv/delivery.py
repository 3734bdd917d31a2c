"""Deliver versions to readers of a dotenv store: as variables in config/.env, and as files.

The delivered names are recorded, so that old variables and files can be removed after the stack has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from secretops.engine.state import Versions
from secretops.errors import StoreError
from secretops.formats import VERSION_PREFIX, version_variable
from secretops.platforms.dotenv.location import DeliveredFile
from secretops.platforms.dotenv.location import DotenvStoreLocation as Location
from secretops.stores import env_file, files
from secretops.values import PUBLIC_FIELDS, Value

DELIVERED = "delivered.json"

# Remedy for changed public lines of config/.env: they name the broker that gets the server's password.
RESTORE = "secretops doctor --repair"


class DeliveredNames(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    variables: frozenset[str] = frozenset()
    # Paths below the root, with "{version}" if each version has its own file. Only a name that a store can deliver is
    # valid, since these files are removed.
    files: frozenset[DeliveredFile] = frozenset()


@dataclass(frozen=True, repr=False)
class Content:
    """The content of a version as readers get it. Its repr shows no value."""

    variables: dict[str, str]
    files: dict[Path, str]


class Delivery:
    """Delivers values to config/.env and to files. Callers must hold the store's lock. Methods raise StoreError."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._files, self._root = location.files, Path(location.root)
        self.env = self._root / "config" / ".env"

    def fields(self, secret: str) -> tuple[str, ...]:
        return (*self._location.variables.get(secret, {}), *self._files.get(secret, {}))

    def variables(self, secret: str) -> set[str]:
        """Return the names of a secret's variables, except that of the version's id."""
        location = self._location
        return {*location.variables.get(secret, {}).values(), *location.file_variables.get(secret, {}).values()}

    def content(self, secret: str, version: str, value: Value) -> Content:
        fields, file_variables = value.as_dict(), self._location.file_variables.get(secret, {})
        variables, paths = dict[str, str](), dict[Path, str]()
        for field, name in self._location.variables.get(secret, {}).items():
            if field in fields:
                variables[name] = fields[field]
        for field, name in self._files.get(secret, {}).items():
            if field in fields:
                path = self._root / name.format(version=version)
                paths[path] = fields[field]
                if field in file_variables:
                    variables[file_variables[field]] = str(path)
        if variables:
            variables[version_variable(secret)] = version
        return Content(variables, paths)

    def is_delivered(self, content: Content) -> bool:
        return not self._stale_files(content) and not self._is_env_stale(content)

    def deliver(self, secret: str, content: Content, record: Callable[[], None]) -> None:
        """Write the files first, then replace config/.env. Calls `record` before the first write."""
        names = DeliveredNames(
            variables=frozenset(content.variables), files=frozenset(self._files.get(secret, {}).values())
        )
        before, stale, is_env_stale = self._names(secret), self._stale_files(content), self._is_env_stale(content)
        if stale or is_env_stale:
            record()
        if names != before:  # recorded first, so that names are known after a crash
            both = DeliveredNames(variables=names.variables | before.variables, files=names.files | before.files)
            self._write_names(secret, both)
        for path in stale:
            files.make_folder(path.parent)
            mode = files.PUBLIC if path.name in PUBLIC_FIELDS else files.PRIVATE
            files.write(path, content.files[path].encode(), mode)
        if is_env_stale:
            files.make_folder(self.env.parent)
            self._change(dict(content.variables))
        if names != before:
            self._remove(before.variables - names.variables, before.files - names.files)
            self._write_names(secret, names)

    def prune(self, secret: str, versions: Versions) -> None:
        names = [name for name in self._files.get(secret, {}).values() if "{version}" in name]
        if not names:
            return
        needed = {self._root / name.format(version=version.id) for name in names for version in versions.living}
        for path in self._on_disk(names):
            if path not in needed:
                files.remove(path)

    def withdraw(self, secret: str) -> None:
        names = self._names(secret)
        variables = names.variables | {version_variable(secret)} | self.variables(secret)
        self._remove(variables, names.files | set(self._files.get(secret, {}).values()))

    def edited(self, known: Sequence[Content]) -> tuple[str, str] | None:
        """Return a person's edit, and how to undo it, as texts; or None. An edit is content that is in none of
        `known`."""
        names = {name for content in known for name in content.variables}
        text = (self.env_text() if names else None) or ""
        variables, paths = self.edits(known, names, text, {path for content in known for path in content.files})
        for name in variables:
            return f"{self.env}: {name} was changed by hand, or its version is lost", f"remove the line {name}="
        for path in paths:
            return f"{path} was changed by hand, or its version is lost", f"rm {path}"
        return None

    def edits(
        self, known: Sequence[Content], names: Iterable[str], text: str, paths: Iterable[Path]
    ) -> tuple[list[str], list[Path]]:
        """Return which variables `names` and files `paths` have content that is in none of `known`. Ignores variables
        of version ids."""
        present = env_file.parse(text) if text else {}
        variables = [
            name
            for name in sorted(names)
            if not name.startswith(VERSION_PREFIX)
            and (found := present.get(name)) is not None
            and found not in [content.variables.get(name) for content in known]
        ]
        edited = [
            path
            for path in sorted(set(paths))
            if (found := read_text(path)) is not None and all(found not in content.files.values() for content in known)
        ]
        return variables, edited

    def public_drift(self, text: str) -> dict[str, str]:
        present = env_file.parse(text)
        return {name: value for name, value in self._location.lines.items() if present.get(name) != value}

    def public_findings(self) -> list[str]:
        """Describe public lines that differ from the stack's. Does not quote them, since a line may be a pasted
        password."""
        text = self.env_text() or ""
        present = env_file.parse(text)
        return [
            f"{name} {'differs from' if name in present else 'is missing:'} {wanted!r}"
            for name, wanted in self.public_drift(text).items()
        ]

    def restore_public(self) -> str:
        with files.lock(self._root):
            if drift := self.public_drift(self.env_text() or ""):
                files.make_folder(self.env.parent)
                self._change(dict(drift))
        return f"restored {', '.join(drift) or 'none: no line differs'}"

    def env_text(self) -> str | None:
        content = files.read(self.env)
        return None if content is None else env_file.decode(self.env, content, StoreError)

    def _stale_files(self, content: Content) -> list[Path]:
        return [path for path, text in content.files.items() if read_text(path) != text]

    def _is_env_stale(self, content: Content) -> bool:
        return bool(content.variables) and not (
            content.variables.items() <= env_file.parse(self.env_text() or "").items()
        )

    def _change(self, changes: dict[str, str | None]) -> None:
        text = read_text(self.env)
        changed = env_file.update(env_file.HEADER if text is None else text, changes)
        if changed != text:
            content = changed.encode(errors="surrogateescape")
            if set(changes.values()) != {None}:  # removing lines is permitted even if the file is too long
                env_file.decode(self.env, content, StoreError)
            files.write(self.env, content, files.PRIVATE)

    def _remove(self, variables: Iterable[str], names: Iterable[str]) -> None:
        if read_text(self.env) is None:
            files.remove(self.env)  # also removes the temporary file of a killed write
        else:
            self._change(dict.fromkeys(variables))
        for path in self._on_disk(names):
            files.remove(path)

    def _on_disk(self, names: Iterable[str]) -> list[Path]:
        patterns = [Path(name.format(version="*")) for name in names]
        both = [each for pattern in patterns for each in (pattern, files.temporary(pattern))]
        with files.os_errors(self._root):
            return [path for pattern in both for path in self._root.glob(str(pattern))]

    def _names(self, secret: str) -> DeliveredNames:
        path = self._root / "versions" / secret / DELIVERED
        text = read_text(path)
        try:
            return DeliveredNames.model_validate_json(text) if text else DeliveredNames()
        except ValueError:
            raise StoreError(
                f"{path} is not a valid list of the variables and files of {secret}",
                rule="only secretops may write this list: it names the delivered variables and files to remove later",
                remedy=f"restore {path} from a backup; or rm {path}, and remove delivered files that the stack no "
                "longer uses",
                code="dotenv-file-invalid",
            ) from None

    def _write_names(self, secret: str, names: DeliveredNames) -> None:
        files.write(self._root / "versions" / secret / DELIVERED, names.model_dump_json().encode(), files.PRIVATE)


def read_text(path: Path) -> str | None:
    """Return a file's text; None if it is missing. Invalid UTF-8 becomes surrogates."""
    content = files.read(path)
    return None if content is None else content.decode(errors="surrogateescape")
