"""What the readers of a dotenv store find: variables in config/.env, and files. The delivery, not the truth.

The names under which a secret was delivered are kept beside its versions, so that a stack that asks for others today,
or no longer has the secret, can still take back what it once delivered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from secretops.errors import StoreError
from secretops.forms import VERSION_PREFIX, version_variable
from secretops.platforms.dotenv.location import DeliveredFile
from secretops.platforms.dotenv.location import DotenvStoreLocation as Location
from secretops.stores import env_file, files
from secretops.values import PUBLIC_FIELDS, Value

NAMES = "delivered.json"


class Names(BaseModel):
    """Under which names a secret is delivered: variables, and files below the root. Never what they say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variables: frozenset[str] = frozenset()
    files: frozenset[DeliveredFile] = frozenset()
    """With "{version}" in the name where each version has a file of its own. What is named here is removed once it is
    not needed: so it is a file that a store delivers, and nothing else."""


class Content:
    """One version as readers find it. Holds values, so it prints none."""

    __slots__ = ("files", "variables")

    def __init__(self, variables: dict[str, str], files: dict[Path, str]) -> None:
        self.variables, self.files = variables, files


class Delivery:
    """Writes config/.env and the files of a store. Call it under the store's lock. Raises StoreError."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._root = Path(location.root)
        self._env = self._root / "config" / ".env"

    def fields(self, secret: str) -> tuple[str, ...]:
        """The fields that readers are to find."""
        return (*self._location.variables.get(secret, {}), *self._location.files.get(secret, {}))

    def content(self, secret: str, version: str, value: Value) -> Content:
        """What readers of `version` find. A field that the value lacks is left out."""
        variables = {
            name: value[field] for field, name in self._location.variables.get(secret, {}).items() if field in value
        }
        paths = {
            field: self._root / name.format(version=version)
            for field, name in self._location.files.get(secret, {}).items()
            if field in value
        }
        for field, name in self._location.file_variables.get(secret, {}).items():
            if field in paths:
                variables[name] = str(paths[field])
        if variables:
            variables[version_variable(secret)] = version
        return Content(variables, {path: value[field] for field, path in paths.items()})

    def is_there(self, content: Content) -> bool:
        """Whether readers find just this."""
        return not self._stale_files(content) and not self._stale_variables(content)

    def bring(self, secret: str, content: Content) -> None:
        """Make readers find it: files first, then config/.env by one rename, then what is no longer asked for goes."""
        asked = Names(
            variables=frozenset(content.variables), files=frozenset(self._location.files.get(secret, {}).values())
        )
        before = self._names(secret)
        if asked != before:  # kept before it is true, so that whatever is delivered is found again
            both = Names(variables=asked.variables | before.variables, files=asked.files | before.files)
            self._keep(secret, both)
        for path in self._stale_files(content):
            files.make_folder(path.parent)
            mode = files.PUBLIC if path.name in PUBLIC_FIELDS else files.PRIVATE
            files.write(path, content.files[path].encode(), mode)
        if self._stale_variables(content):
            files.make_folder(self._env.parent)
            self._change(dict(content.variables))
        if asked != before:
            self._remove(before.variables - asked.variables, before.files - asked.files)
            self._keep(secret, asked)

    def prune(self, secret: str, living: Iterable[str]) -> None:
        """Remove the files of versions that are not among the `living`, and what a killed write left."""
        names = [name for name in self._location.files.get(secret, {}).values() if "{version}" in name]
        needed = {self._root / name.format(version=version) for name in names for version in living}
        for path in self._on_disk(names):
            if path not in needed:
                files.remove(path)

    def take_back(self, secret: str) -> None:
        """Remove everything of `secret` that readers find or ever found."""
        kept = self._names(secret)
        asked = {**self._location.variables.get(secret, {}), **self._location.file_variables.get(secret, {})}
        variables = kept.variables | {version_variable(secret), *asked.values()}
        self._remove(variables, kept.files | set(self._location.files.get(secret, {}).values()))

    def edited(self, ours: Sequence[Content]) -> tuple[str, str] | None:
        """What is delivered and of none of `ours`, and how to name it to a person; None when there is no such thing."""
        names = {name for content in ours for name in content.variables}
        paths = {path for content in ours for path in content.files}
        text = (self.env_text() if names else None) or ""
        variables, edited = self._edits(ours, names, text, paths)
        for name in variables:
            return f"{self._env}: {name} was changed by hand, or its version is lost", f"the line {name}="
        for path in edited:
            return f"{path} was changed by hand, or its version is lost", f"the file {path}"
        return None

    def edits(
        self, secret: str, ours: Sequence[Content], text: str, paths: Iterable[Path]
    ) -> tuple[list[str], list[Path]]:
        """Return the variables in `text` of config/.env, and those of `paths`, that none of `ours` delivers."""
        location = self._location
        names = {*location.variables.get(secret, {}).values(), *location.file_variables.get(secret, {}).values()}
        return self._edits(ours, names, text, paths)

    def _edits(
        self, ours: Sequence[Content], names: Iterable[str], text: str, paths: Iterable[Path]
    ) -> tuple[list[str], list[Path]]:
        """The line that names the version is none of them: a delivery writes it anew, and no work is lost."""
        present = env_file.values(text)
        variables = [
            name
            for name in sorted(names)
            if not name.startswith(VERSION_PREFIX)
            and present.get(name) is not None
            and all(present[name] != content.variables.get(name) for content in ours)
        ]
        edited = [
            path
            for path in sorted(set(paths))
            if (found := _text(path)) is not None and all(found not in content.files.values() for content in ours)
        ]
        return variables, edited

    def public_drift(self, text: str) -> dict[str, str]:
        """Return the public lines that `text` of config/.env lacks or has otherwise, as they have to be."""
        present = env_file.values(text)
        return {name: value for name, value in self._location.lines.items() if present.get(name) != value}

    def restore_public(self) -> dict[str, str]:
        """Write the public lines that config/.env lacks or has otherwise. Returns them."""
        drift = self.public_drift(self.env_text() or "")
        if drift:
            files.make_folder(self._env.parent)
            self._change(dict(drift))
        return drift

    def env_text(self) -> str | None:
        """Return the text of config/.env, None where there is none. Raises StoreError where no server reads it."""
        content = files.read(self._env)
        return None if content is None else env_file.decoded(self._env, content, StoreError)

    def spoiled_env_text(self) -> str | None:
        """Return the text of config/.env, also where no server reads it. Bytes that are not UTF-8 are surrogates."""
        return _text(self._env)

    def _stale_files(self, content: Content) -> list[Path]:
        return [path for path, text in content.files.items() if _text(path) != text]

    def _stale_variables(self, content: Content) -> bool:
        if not content.variables:
            return False
        present = env_file.values(self.env_text() or "")
        return any(present.get(name) != text for name, text in content.variables.items())

    def _change(self, changes: dict[str, str | None]) -> None:
        text = _text(self._env)
        changed = env_file.changed(env_file.HEADER if text is None else text, changes)
        if changed != text:
            content = changed.encode(errors="surrogateescape")
            if any(value is not None for value in changes.values()):  # to take a line back is always right
                env_file.decoded(self._env, content, StoreError)
            files.write(self._env, content, files.PRIVATE)

    def _remove(self, variables: Iterable[str], names: Iterable[str]) -> None:
        if _text(self._env) is None:
            files.remove(self._env)  # what a killed write left of it
        else:
            self._change(dict.fromkeys(variables))
        for path in self._on_disk(names):
            files.remove(path)

    def _on_disk(self, names: Iterable[str]) -> list[Path]:
        """The files of these names, of all versions, and what a killed write left of them."""
        patterns = [Path(name.format(version="*")) for name in names]
        with files.told(self._root):
            return [
                path
                for pattern in patterns
                for each in (pattern, files.temporary(pattern))
                for path in self._root.glob(str(each))
            ]

    def _names(self, secret: str) -> Names:
        path = self._root / "versions" / secret / NAMES
        text = _text(path)
        try:
            return Names.model_validate_json(text) if text else Names()
        except ValueError:
            raise StoreError(
                f"{path} does not read as what is delivered",
                rule="this file is written by secretops alone, and what it names is removed once it is not needed",
                remedy="restore it from a backup; or remove it, and look for files that no version needs any more",
            ) from None

    def _keep(self, secret: str, names: Names) -> None:
        files.write(self._root / "versions" / secret / NAMES, names.model_dump_json().encode(), files.PRIVATE)


def _text(path: Path) -> str | None:
    """Return the text of a file, None where there is none."""
    content = files.read(path)
    return None if content is None else content.decode(errors="surrogateescape")
