"""Provide the CA certificate of a stack file's `ca_file` on a machine that lacks it.

`.ci/ca/STACK.crt` may contain the certificate. Without that file, a preview that is compared with another preview uses
a generated certificate. A preview against Pulumi's state would report this as a change, so it fails instead.
"""

from __future__ import annotations

import re
from pathlib import Path

from tools.steps import SetupError, run_step, say, write_whole

# The broker's `ca_file`, not a Vault's. Without a YAML parser, which a job's Python lacks.
_CA_FILE = re.compile(
    r"""^(([ ]+)[\w-]+:broker:[^\n]*\n(?:\2[ ]+[^\n]*\n|[ ]*(?:\#[^\n]*)?\n)*?\2[ ]+ca_file:[ ]*)"""
    r"""("[^"\n]*"|'[^'\n]*'|[^\s\#](?:[^\n\#]*[^\s\#])?)""",
    re.MULTILINE,
)
FOLDER = ".ci/ca"


def with_its_own(text: str, root: Path, stack: str, folder: Path, *, beside_a_state: bool = False) -> str:
    """Return a stack file's text, with the path of an existing certificate in `ca_file`. `beside_a_state` forbids a
    generated certificate. Raises SetupError."""
    named = _CA_FILE.search(text)
    if not named or _place(named).exists():
        return text
    own = root / FOLDER / f"{stack}.crt"
    if not own.exists() and beside_a_state:
        raise _nowhere(stack, _place(named))
    if not own.exists():
        own = _made_up(folder.parent)
        say(
            f"- {stack}: neither broker.ca_file nor {FOLDER}/{stack}.crt exists here; the preview uses a generated "
            "certificate"
        )
    return _CA_FILE.sub(lambda found: f"{found[1]}{own}", text)


def _made_up(folder: Path) -> Path:
    made = folder / "made-up-ca.crt"
    if not made.exists():
        options = ["-newkey", "rsa:2048", "-nodes", "-subj", "/CN=made up for a preview", "-days", "2"]
        run_step(
            "a certificate that signs nothing",
            ["openssl", "req", "-x509", *options, "-keyout", "/dev/null", "-out", made],
            remedy=f"install openssl, or put the CA's certificate into {FOLDER}",
        )
    return made


def write(root: Path, stack: str) -> str:
    """Copy `.ci/ca/STACK.crt` to the path in the stack file. Return what was done. Raises SetupError."""
    named = _CA_FILE.search((root / f"Pulumi.{stack}.yaml").read_text())
    if not named:
        return f"{stack} names no ca_file"
    place, own = _place(named), root / FOLDER / f"{stack}.crt"
    if place.exists():
        return f"{place} is there"
    if not own.exists():
        raise _nowhere(stack, place)
    try:
        write_whole(place, own.read_text())
    except OSError as error:
        raise SetupError(
            f"the CA of {stack}'s broker", f"  {place}: {error.strerror}", "run the same command with sudo"
        ) from error
    return f"{place} is written, from {own.relative_to(root)}"


def _place(named: re.Match[str]) -> Path:
    return Path(named[3].strip("\"'"))


def _nowhere(stack: str, place: Path) -> SetupError:
    return SetupError(
        f"the CA of {stack}'s broker",
        f"  neither {place} nor {FOLDER}/{stack}.crt in the repository exists",
        f"commit the CA's certificate, which is public, as {FOLDER}/{stack}.crt",
    )
