"""A GitHub job's identity: a token that a cloud exchanges for a role, in a file that only the job can read.

Environment variables name the file for boto3 and Pulumi's providers. Without a role or a token, as in a fork, a preview
uses a stand-in.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from tools.steps import SetupError, say

# The variables that lead to the token.
VARIABLES = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_SESSION_NAME")
AUDIENCE = "sts.amazonaws.com"
SECONDS = 30


def take(environment: dict[str, str], folder: Path) -> bool:
    """Write the token for AWS_ROLE_ARN to a file, and set VARIABLES. Return whether there is a token. Raises
    SetupError.

    A token is valid for minutes, so it is fetched before each command.
    """
    role = environment.get("AWS_ROLE_ARN")
    url = environment.get("ACTIONS_ID_TOKEN_REQUEST_URL")
    bearer = environment.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if not (role and url and bearer):
        return False
    request = urllib.request.Request(f"{url}&audience={urllib.parse.quote(AUDIENCE)}")  # noqa: S310 - GitHub's own
    request.add_unredirected_header("Authorization", f"Bearer {bearer}")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310  # nosec B310
            token = str(json.loads(answer.read(100_000))["value"])
    except (urllib.error.URLError, OSError, ValueError, KeyError, TypeError) as error:
        raise SetupError(
            "get GitHub's OIDC token for this job",
            f"  {type(error).__name__}",
            "add `id-token: write` to the job's `permissions`",
        ) from None
    file = folder / "github-token"
    folder.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(token)
    environment["AWS_WEB_IDENTITY_TOKEN_FILE"] = str(file)
    environment["AWS_ROLE_SESSION_NAME"] = f"github-{environment.get('GITHUB_RUN_ID', 'run')}"
    say(f"- logged in as {role}, with GitHub's OIDC token")
    return True
