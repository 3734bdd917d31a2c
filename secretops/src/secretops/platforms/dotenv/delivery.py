"""What readers of a dotenv store find: variables in config/.env, and files. The delivery, not the truth.

The names under which a secret was delivered are recorded with its versions, so that a stack that delivers it under
other names, or no longer has it, can still take it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from secretops.engine.state import Versions
from secretops.errors import StoreError
from secretops.formats import VERSION_PREFIX, version_variable
from secretops.platforms.dotenv.location import DeliveredFile
from secretops.platforms.dotenv.location import DotenvStoreLocation as Location
from secretops.stores import env_file, files
from secretops.values import PUBLIC_FIELDS, Value

NAMES = "delivered.json"

# Remedy for public lines of config/.env, which name the broker that the server sends its password to.
RESTORE = "secretops doctor --repair"


class Names(BaseModel):
    """Names under which a secret is delivered: variables, and files below the root. Never their content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variables: frozenset[str] = frozenset()
    files: frozenset[DeliveredFile] = frozenset()
    """With "{version}" in the name if each version has a file of its own. Files named here are removed once they are
    not needed, so that only a file that a store delivers is a valid name."""


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
        self.env = self._root / "config" / ".env"

    def fields(self, secret: str) -> tuple[str, ...]:
        """Return the fields that readers are to find."""
        return (*self._location.variables.get(secret, {}), *self._location.files.get(secret, {}))

    def variables(self, secret: str) -> set[str]:
        """Return the variables that the stack delivers `secret` in, without that of its version."""
        location = self._location
        return {*location.variables.get(secret, {}).values(), *location.file_variables.get(secret, {}).values()}

    def content(self, secret: str, version: str, value: Value) -> Content:
        """Return what readers of `version` find. A field that the value lacks is left out."""
        location = self._location
        fields, file_variables = value.as_dict(), location.file_variables.get(secret, {})
        variables, paths = dict[str, str](), dict[Path, str]()
        for field, name in location.variables.get(secret, {}).items():
            if field in fields:
                variables[name] = fields[field]
        for field, name in location.files.get(secret, {}).items():
            if field in fields:
                path = self._root / name.format(version=version)
                paths[path] = fields[field]
                if field in file_variables:
                    variables[file_variables[field]] = str(path)
        if variables:
            variables[version_variable(secret)] = version
        return Content(variables, paths)

    def is_there(self, content: Content) -> bool:
        return not self._stale_files(content) and not self._stale_variables(content)

    def bring(self, secret: str, content: Content, record: Callable[[], None]) -> None:
        """Make readers find `content`: files first, then config/.env by one rename. Then remove other names.

        `record` is called before anything is delivered, and not if it is there already.
        """
        asked = Names(
            variables=frozenset(content.variables), files=frozenset(self._location.files.get(secret, {}).values())
        )
        before, stale, stale_env = self._names(secret), self._stale_files(content), self._stale_variables(content)
        if stale or stale_env:
            record()
        if asked != before:  # recorded before it is true, so that all that is delivered is found again
            both = Names(variables=asked.variables | before.variables, files=asked.files | before.files)
            self._write_names(secret, both)
        for path in stale:
            files.make_folder(path.parent)
            mode = files.PUBLIC if path.name in PUBLIC_FIELDS else files.PRIVATE
            files.write(path, content.files[path].encode(), mode)
        if stale_env:
            files.make_folder(self.env.parent)
            self._change(dict(content.variables))
        if asked != before:
            self._remove(before.variables - asked.variables, before.files - asked.files)
            self._write_names(secret, asked)

    def prune(self, secret: str, versions: Versions) -> None:
        """Remove the files of versions that have no value, and what a killed write left."""
        names = [name for name in self._location.files.get(secret, {}).values() if "{version}" in name]
        if not names:
            return
        needed = {self._root / name.format(version=version.id) for name in names for version in versions.living}
        for path in self._on_disk(names):
            if path not in needed:
                files.remove(path)

    def take_back(self, secret: str) -> None:
        """Remove everything of `secret` that readers find or ever found."""
        kept = self._names(secret)
        variables = kept.variables | {version_variable(secret)} | self.variables(secret)
        self._remove(variables, kept.files | set(self._location.files.get(secret, {}).values()))

    def edited(self, ours: Sequence[Content]) -> tuple[str, str] | None:
        """Return what is delivered and of none of `ours`, and how to name it to a person; None if there is nothing."""
        names = {name for content in ours for name in content.variables}
        text = (self.env_text() if names else None) or ""
        variables, paths = self.edits(ours, names, text, {path for content in ours for path in content.files})
        for name in variables:
            return f"{self.env}: {name} was changed by hand, or its version is lost", f"the line {name}="
        for path in paths:
            return f"{path} was changed by hand, or its version is lost", f"the file {path}"
        return None

    def edits(
        self, ours: Sequence[Content], names: Iterable[str], text: str, paths: Iterable[Path]
    ) -> tuple[list[str], list[Path]]:
        """Return those of the variables `names` in `text` of config/.env, and of `paths`, that none of `ours` delivers.

        The line that names the version is none of them: a delivery replaces it, and no work is lost.
        """
        present = env_file.parse(text) if text else {}
        variables = [
            name
            for name in sorted(names)
            if not name.startswith(VERSION_PREFIX)
            and (found := present.get(name)) is not None
            and found not in [content.variables.get(name) for content in ours]
        ]
        edited = [
            path
            for path in sorted(set(paths))
            if (found := text_of(path)) is not None and all(found not in content.files.values() for content in ours)
        ]
        return variables, edited

    def public_drift(self, text: str) -> dict[str, str]:
        """Return the public lines that `text` of config/.env lacks or has otherwise, as the manifest has them."""
        present = env_file.parse(text)
        return {name: value for name, value in self._location.lines.items() if present.get(name) != value}

    def public_findings(self) -> list[str]:
        """Describe each public line that differs from the manifest. Raises StoreError if the file does not read.

        It has the manifest's text and not the file's, in which somebody may have pasted a password.
        """
        text = self.env_text() or ""
        present = env_file.parse(text)
        return [
            f"{name} {'differs from' if name in present else 'is missing:'} {wanted!r}"
            for name, wanted in self.public_drift(text).items()
        ]

    def restore_public(self) -> str:
        """Write the public lines as the manifest has them, and return their names. Raises StoreError."""
        with files.lock(self._root):
            if drift := self.public_drift(self.env_text() or ""):
                files.make_folder(self.env.parent)
                self._change(dict(drift))
        return f"restored {', '.join(drift) or 'none: they are as they should be'}"

    def env_text(self) -> str | None:
        """Return the text of config/.env, None if there is none. Raises StoreError where no server reads it."""
        content = files.read(self.env)
        return None if content is None else env_file.decode(self.env, content, StoreError)

    def _stale_files(self, content: Content) -> list[Path]:
        return [path for path, text in content.files.items() if text_of(path) != text]

    def _stale_variables(self, content: Content) -> bool:
        if not content.variables:
            return False
        present = env_file.parse(self.env_text() or "")
        return not content.variables.items() <= present.items()

    def _change(self, changes: dict[str, str | None]) -> None:
        text = text_of(self.env)
        changed = env_file.update(env_file.HEADER if text is None else text, changes)
        if changed != text:
            content = changed.encode(errors="surrogateescape")
            if set(changes.values()) != {None}:  # to take a line back is always right
                env_file.decode(self.env, content, StoreError)
            files.write(self.env, content, files.PRIVATE)

    def _remove(self, variables: Iterable[str], names: Iterable[str]) -> None:
        if text_of(self.env) is None:
            files.remove(self.env)  # what a killed write left of it
        else:
            self._change(dict.fromkeys(variables))
        for path in self._on_disk(names):
            files.remove(path)

    def _on_disk(self, names: Iterable[str]) -> list[Path]:
        """Return the files of these names, of all versions, and what a killed write left of them."""
        patterns = [Path(name.format(version="*")) for name in names]
        with files.os_errors(self._root):
            return [
                path
                for pattern in patterns
                for each in (pattern, files.temporary(pattern))
                for path in self._root.glob(str(each))
            ]

    def _names(self, secret: str) -> Names:
        path = self._root / "versions" / secret / NAMES
        text = text_of(path)
        try:
            return Names.model_validate_json(text) if text else Names()
        except ValueError:
            raise StoreError(
                f"{path} does not read as what is delivered",
                rule="this file is written by secretops alone, and what it names is removed once it is not needed",
                remedy="restore it from a backup; or remove it, and look for files that no version needs",
            ) from None

    def _write_names(self, secret: str, names: Names) -> None:
        files.write(self._root / "versions" / secret / NAMES, names.model_dump_json().encode(), files.PRIVATE)


def text_of(path: Path) -> str | None:
    """Return the text of a file, None if there is none. Bytes that are not UTF-8 are surrogates."""
    content = files.read(path)
    return None if content is None else content.decode(errors="surrogateescape")
