"""Rules on folders of a machine: the dotenv store, and the files of a server or rotator."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from policies.containers import carries_value
from policies.controls import controls
from policies.matchers import at, contains, is_true, judge, listed, matches
from policies.plan import CONCEALED, UNKNOWN, Finding, Plan, Resource
from policies.rule import PRODUCTION, Each, Enforcement, Rule, rows

FOLDER = "pulumi-python:dynamic/coreflux-mcp-secrets:Folder"
_VAULT, _PODS = "coreflux-mcp-secrets:vault:SecretStore", "coreflux-mcp-secrets:kubernetes:McpServer"

# The sub-folder that only a store has, and a store's files with values.
VERSIONS, VALUES = "versions", ("config/.env", "certs/client.key")
# Patterns of the modes of a file with values, and of a certificate, which other users may read.
_OWNERS, _READABLE = "0*[0-7]00", "0*[0-7][0145][0145]"
_OUTSIDE = re.compile(r"^/|(^|/)\.\.(/|$)")
# A line of a systemd unit -> the consequence if it is missing (man systemd.timer, systemd.exec).
_LINES = {
    ("timer", "OnCalendar=hourly"): "a due secret waits for more than an hour",
    ("timer", "Persistent=yes"): "a tick that is due while the machine is off is lost",
    ("service", " tick --scheduled "): "the service does not rotate",
    ("service", "NoNewPrivileges=yes"): "a program that the service starts could gain a privilege",
    ("service", "UMask=0077"): "others could read the files that the service writes",
    ("service", "LimitCORE=0"): "a core dump would have values in it",
}


def is_store(folder: Resource) -> bool:
    """Return whether the folder is a store's, or may be a store's because its sub-folders are unknown."""
    within = at(folder.properties, "folders")
    return within is UNKNOWN or VERSIONS in listed(within)


def is_dotenv(plan: Plan) -> bool:
    return at(plan.manifest, "store", "kind") == "dotenv" or any(map(is_store, plan.of_type(FOLDER)))


def _entries(entry: Any) -> list[tuple[Any, Any]]:
    if entry is UNKNOWN:
        return [(UNKNOWN, UNKNOWN)]
    return [*entry.items()] if isinstance(entry, Mapping) else []


def _modes(folder: Resource) -> Iterator[Finding]:
    modes = at(folder.properties, "modes")
    for path, mode in _entries(modes):
        ok = matches(_READABLE if str(path).endswith(".crt") else _OWNERS)
        wrong = "lets other accounts read or write the file; set 600, or 644 for a certificate"
        yield from judge(folder, mode, ok, f"the mode of {path}", wrong)
    if is_store(folder):
        missing = UNKNOWN if modes is UNKNOWN else [path for path in VALUES if path not in (modes or {})]
        wrong = f"do not include {' or '.join(VALUES)}, so nothing repairs its mode; add both files"
        yield from judge(folder, missing, lambda paths: not paths, "modes", wrong)


def _no_store(plan: Plan) -> Iterator[Finding]:
    if not any(map(is_store, plan.of_type(FOLDER))):
        yield Finding(plan.urn, "no folder stores the values: nothing repairs their modes; add the store's folder")


def _is_own(root: Any) -> bool:
    path = PurePosixPath(str(root))
    return path.is_absolute() and len(path.parts) > len(("/", "top")) and ".." not in path.parts


def _owner(folder: Resource) -> Iterator[Finding]:
    stack = folder.urn.split(":")[2]
    allowed = (stack,) if is_store(folder) else (stack, "")
    wrong = f"is not {stack}: two stacks in one folder can read each other's values; set another root"
    yield from judge(folder, at(folder.properties, "stack"), allowed.__contains__, "stack", wrong)


def _public(folder: Resource) -> Iterator[Finding]:
    for path, text in _entries(at(folder.properties, "files")):
        is_public = text is not CONCEALED and not contains(text, "PRIVATE KEY-----")
        wrong = "is encrypted or contains a private key, which the state would also contain; let secretops write values"
        yield from judge(folder, text if text is UNKNOWN else is_public, is_true, f"the file {path}", wrong)
        wrong = "is outside of the store's folder; use a path relative to `root`, without a leading / and without .."
        yield from judge(folder, path, lambda path: not _OUTSIDE.search(path), f"the file {path}", wrong)
    for name, text in _entries(at(folder.properties, "lines")):
        yield from carries_value(folder, "config/.env", name, text)


def _units(folder: Resource) -> list[tuple[str, Any]]:
    files = _entries(at(folder.properties, "files"))
    return [(path, text) for path, text in files if str(path).endswith((".timer", ".service"))]


def _lines(folder: Resource) -> Iterator[Finding]:
    for path, text in _units(folder):
        for (kind, line), why in _LINES.items():
            if path.endswith(kind):
                ok = matches(f"(?s).*{re.escape(line)}.*")
                yield from judge(folder, text, ok, f"the unit {path}", f"lacks {line.strip()}: {why}; add it")


def _one_timer(plan: Plan) -> Iterator[Finding]:
    folders = list(plan.of_type(FOLDER))
    kinds = sorted(path.rpartition(".")[2] for folder in folders for path, _ in _units(folder))
    unknown = any(at(folder.properties, "files") is UNKNOWN for folder in folders)
    wrong = "are not one timer and one service: either nothing rotates, or two programs do; write one unit of each kind"
    yield from judge(plan, UNKNOWN if unknown else kinds, ["service", "timer"].__eq__, "the units", wrong)


def _rotates(plan: Plan) -> bool:
    """Return whether the rotator runs on this machine: with a dotenv store, a Vault store without pods, or systemd
    units."""
    beside_vault = any(plan.of_type(_VAULT)) and not any(plan.of_type(_PODS))
    return beside_vault or is_dotenv(plan) or any(map(_units, plan.of_type(FOLDER)))


RULES = (
    Rule(
        name="dotenv-files-are-the-owners",
        sentence="Files with secret values have mode 600, and each `pulumi up` repairs a wrong mode.",
        controls=controls("CC6.1 7.3.1 164.312(a)(1) 32(1)(b)", "other accounts of the machine read no value"),
        limitation="The rule does not check what root and other programs of the same account read, or whether the "
        "declared modes are set.",
        checks=(Each(FOLDER, _modes),),
        across=_no_store,
        applies=is_dotenv,
    ),
    Rule(
        name="dotenv-folder-is-one-stacks",
        sentence="The folder with the secret values belongs to only one stack.",
        controls=controls("CC6.1 6.5.3 164.312(c)(1) 32(1)(b)", "environments share no value"),
        limitation="The rule does not prove that nobody copies the folder.",
        checks=(
            *rows(
                FOLDER,
                ("root", _is_own, "is relative, has .., or is a top-level folder; for example /etc/coreflux-mcp"),
            ),
            Each(FOLDER, _owner),
        ),
        applies=is_dotenv,
    ),
    Rule(
        name="dotenv-is-for-development",
        sentence="No production stack stores its secrets in a folder of plain files.",
        controls=controls("CC6.1 8.3.2 164.312(a)(2)(iv) 32(1)(a)", "production values are encrypted"),
        limitation="The rule does not prove that the disk under the folder is encrypted.",
        checks=rows(
            FOLDER,
            (
                "folders",
                lambda found: VERSIONS not in listed(found),
                "store values of production in plain files; use another store",
            ),
            environments=PRODUCTION,
        ),
        applies=is_dotenv,
        enforcement=Enforcement.ADVISORY,  # the Secret Management Guide allows a folder also in production
    ),
    Rule(
        name="dotenv-public-files-are-public",
        sentence="Pulumi writes no secret value into a folder.",
        controls=controls("CC6.1 8.6.2 164.312(a)(1) 32(1)(b)", "the state contains no credential"),
        limitation="The rule does not check what a person writes into config/.env.",
        checks=(Each(FOLDER, _public),),
    ),
    Rule(
        name="dotenv-ticks-by-the-hour",
        sentence="One timer runs the tick hourly; its service writes no core dump, and no file that others can read.",
        controls=controls("CC6.1 8.6.3 164.312(d) 32(1)(d)", "due passwords are changed within the hour"),
        limitation="The rule does not prove that the timer is enabled: an operator does that, and the output gaps "
        "says so.",
        checks=(Each(FOLDER, _lines),),
        across=_one_timer,
        applies=_rotates,
    ),
)
