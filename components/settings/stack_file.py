"""Read and check a stack file before the engine does: `python -m components.settings.stack_file Pulumi.<stack>.yaml`.

The engine would print text of an invalid file, which may be a secret value, and Pulumi's history would keep it. The
entries of `config:` are converted as the engine converts them: a word stays a word, a structure becomes JSON, and an
empty entry becomes "".
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from secretops.errors import ExitCode

from ..core.naming import PROJECT
from .problems import Problem
from .section import PROJECT_FOLDER, decoded


class _Loader(yaml.SafeLoader):
    """Loads YAML as the engine does: no repeated keys, only true and false as booleans, and 1:30 as text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.tag == "tag:yaml.org,2002:null":
                    raise yaml.MarkedYAMLError(problem="found an empty key", problem_mark=key.start_mark)
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem="found a key for the second time", problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if not tag.endswith((":bool", ":int", ":timestamp", ":value"))]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$"),
    list("-+0123456789"),
)

_RULE = "a stack file must be YAML in UTF-8: indented by spaces, each key once, text with : # @ * & ! or % in quotes"
_SECTIONS = f"sections must be keys below config:, with the prefix {PROJECT}: or without it, and each only once"
_REMEDY = "compare the file with those in examples/"


class StackFileError(Exception):
    """The file is not a valid stack file. `problem` has what is wrong, the rule and the remedy."""

    def __init__(self, what: str, rule: str, remedy: str, *, code: str) -> None:
        self.problem = Problem(what, rule, remedy, code)
        super().__init__(str(self.problem))


@dataclass(frozen=True)
class StackFile:
    stack: str
    entries: dict[str, str]
    """Text of each section."""
    encrypted: list[str]
    """Names of the sections and keys with a `secure:` entry."""
    others: dict[str, str]
    """Text of each key of another program, such as aws:region."""
    imports: bool
    """Whether the file imports a Pulumi environment, which may contain more sections."""

    @classmethod
    def read(cls, path: Path) -> StackFile:
        """Read a stack file. Raises StackFileError, which never quotes the file: its text may be a secret value."""
        named = re.fullmatch(r"Pulumi\.(.+)\.ya?ml", path.name)
        if not named:
            raise StackFileError(
                f"{path.name}: not the name of a stack file",
                "a stack file must be named Pulumi.<stack>.yaml",
                "rename the file, for example to Pulumi.dev.yaml",
                code="file-name",
            )
        text = ""
        try:
            text = path.read_text(encoding="utf-8")
            content = document(text)
            imports = bool(content.get("environment"))
            config = _config_of({"config": {}} | content if imports else content)
            sections = _own(config)
            others = {str(key): entry for key, entry in config.items() if not _is_own(str(key))}
            return cls(
                stack=named[1],
                entries={name: handed_over(entry) for name, entry in sections.items()},
                encrypted=encrypted_of(sections | others),
                others={key: handed_over(entry) for key, entry in others.items()},
                imports=imports,
            )
        except OSError as error:
            raise StackFileError(
                f"{path}: {error.strerror}",
                "the stack file must exist, and this account must be able to read it",
                f"correct the path; or check the file's owner and mode: ls -l {path}",
                code="file-unreadable",
            ) from None
        except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            raise StackFileError(f"{path}{_wrong(error, text)}", _RULE, _REMEDY, code="file-syntax") from None
        except StackFileError as error:
            raise StackFileError(
                f"{path}: {error.problem.what}", error.problem.rule, error.problem.remedy, code=error.problem.code
            ) from None


# Quoted parts of PyYAML's errors that are not the file's text: a kind of token, or one character.
_OWN_QUOTE = re.compile(r"""(['"])(<[a-z ]+>|\\?.)\1""")


def _wrong(error: Exception, text: str) -> str:
    """Return an error's position and message, without the text of the file that PyYAML quotes."""
    match error:
        case yaml.MarkedYAMLError():
            message = ": ".join(filter(None, (error.context, error.problem))) or "not readable"
            mark = error.problem_mark or error.context_mark
            where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            kept = _OWN_QUOTE.sub(lambda quote: f"\0{quote[2]}\0", message)
            what = re.sub(r"""(['"]).*\1""", "(not shown)", kept).replace("\0", "'")
            return f"{where}: {what.partition(';')[0]}"
        case yaml.reader.ReaderError():
            line = text.count("\n", 0, error.position) + 1
            return f", line {line}: found a character that YAML does not allow, U+{error.character:04X}"
        case UnicodeDecodeError():
            line = error.object.count(b"\n", 0, error.start) + 1
            return f", line {line}: not UTF-8"
        case RecursionError():
            return ": nested too deeply"
    return ": a date, bytes, a number of thousands of digits, or an alias within its anchor, which JSON does not have"


def sections_of(text: str) -> dict[str, Any]:
    """Return this project's sections in `config:`. Their names may have the project's prefix.

    Raises StackFileError and yaml.YAMLError.
    """
    return _own(_config_of(document(text)))


def document(text: str) -> dict[Any, Any]:
    """Return the YAML of a stack file as the engine parses it; {} if it is no mapping. Raises yaml.YAMLError."""
    found = yaml.load(text, _Loader)  # noqa: S506 # nosec B506 - a SafeLoader
    return found if isinstance(found, dict) else {}


def _config_of(content: Mapping[Any, Any]) -> dict[Any, Any]:
    config = content.get("config")
    if not isinstance(config, dict):
        raise StackFileError(
            "the key config: is missing, or has no sections", _SECTIONS, _REMEDY, code="config-missing"
        )
    return config


def _own(config: Mapping[Any, Any]) -> dict[str, Any]:
    sections = {str(key).removeprefix(f"{PROJECT}:"): entry for key, entry in config.items() if _is_own(str(key))}
    if len(sections) < len([key for key in config if _is_own(str(key))]):
        raise StackFileError(
            "a section occurs twice, with and without the prefix",
            _SECTIONS,
            "remove one of the two sections",
            code="section-twice",
        )
    return sections


def _is_own(key: str) -> bool:
    return ":" not in key or key.startswith(f"{PROJECT}:")


def encrypted_of(sections: Mapping[str, Any]) -> list[str]:
    return [name for name, entry in sections.items() if any(_secure(entry))]


def handed_over(entry: Any) -> str:
    if entry is None:
        return ""
    return entry if isinstance(entry, str) else json.dumps(entry)


def _secure(entry: Any) -> Iterator[bool]:
    match entry:
        case {"secure": _, **rest} if not rest:
            yield True
        case dict():
            for inner in entry.values():
                yield from _secure(inner)
        case list():
            for inner in entry:
                yield from _secure(inner)


def _named(files: Sequence[str]) -> Path:
    if len(files) == 1:
        return Path(files[0])
    raise StackFileError(
        f"{len(files)} files" if files else "no file",
        "the command requires one stack file, Pulumi.<stack>.yaml",
        "python -m components.settings.stack_file Pulumi.dev.yaml",
        code="one-file",
    )


def check_port(sections: Mapping[str, str]) -> None:
    """Raise StackFileError if the port of the stack's embedded broker is used by another program."""
    store, server, broker = (_section(sections.get(name, "")) for name in ("store", "server", "broker"))
    if broker.get("kind") != "embedded":
        return
    from secretops.broker.process import is_listening, running, wait_until_free

    from .sections import EmbeddedBroker

    port = broker.get("port", EmbeddedBroker.model_fields["port"].default)
    if not isinstance(port, int) or port not in range(1, 2**16):
        return

    folders = store.get("root", ".coreflux-mcp"), server.get("folder", ".coreflux-mcp-local")
    if not is_listening("localhost", port) or any(running(PROJECT_FOLDER / str(each) / "broker") for each in folders):
        return
    if not wait_until_free("localhost", port):
        raise StackFileError(
            f"broker.port: {port}: another program listens at localhost:{port}",
            "the port of the embedded broker must be free",
            "set another broker.port, or stop the other program; to stop the broker of another clone: make down in "
            "that clone",
            code="port-taken",
        )


def _section(text: str) -> dict[str, Any]:
    section = decoded(text)
    return section if isinstance(section, dict) else {}


def values_of(file: StackFile) -> Iterator[Problem]:
    from .plain_values import encrypted_entry, says_secret, values_in, values_of_others
    from .schema import SECTIONS

    yield from (encrypted_entry(key) for key in file.encrypted if key not in file.others)
    yield from values_of_others(file.others, file.encrypted)
    for name, text in file.entries.items():
        yield from values_in(name, decoded(text), secret=name not in SECTIONS and says_secret(name))


def check(file: StackFile) -> None:
    """Raise ConfigurationError with all errors. If the file imports a Pulumi environment, look only for secret
    values."""
    from .settings import ConfigurationError, Settings

    if not file.imports:
        Settings.parse(file.stack, file.entries, encrypted=file.encrypted, others=file.others)
    elif found := list(values_of(file)):
        raise ConfigurationError(f"Pulumi.{file.stack}.yaml", found)


def main() -> None:
    """Check a stack file; with --deploys, also the port of its embedded broker. Exit with 2 if there is an error."""
    from .settings import ConfigurationError

    deploys = "--deploys" in sys.argv
    try:
        file = StackFile.read(_named([each for each in sys.argv[1:] if each != "--deploys"]))
        check(file)
        if deploys:
            check_port(file.entries)
    except (StackFileError, ConfigurationError) as error:
        print(error, "Pulumi has not read the file.", sep="\n", file=sys.stderr)  # noqa: T201 - for make
        sys.exit(int(ExitCode.USAGE))


if __name__ == "__main__":
    main()
