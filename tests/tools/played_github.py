"""Stand-in for GitHub's API and its tokens for jobs, as GitHub documents them."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tools.review.github import OURS


@dataclass
class Played:
    """Pull requests, their comments, a run's artifact and a job's tokens."""

    token: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    artifact: bytes | None = b""
    pulls: list[dict[str, Any]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    told_storage: list[str | None] = field(default_factory=list)
    url: str = ""

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Any:
        here = "/repos/owner/project"
        match method, path.removeprefix(here).split("/")[1:]:
            case "GET", ["pulls"]:
                owner, _, branch = query["head"][0].partition(":")
                return [
                    one
                    for one in self.pulls
                    if (one["head"]["user"], one["head"]["ref"]) == (owner, branch) and query["page"] == ["1"]
                ]
            case "GET", ["actions", "runs", "9", "artifacts"]:
                return {"artifacts": [{"id": 3, "name": query["name"][0], "expired": self.artifact is None}]}
            case "GET", ["issues" | "pulls", number, "comments" | "files" as what]:
                comments = [one for one in self.comments if one["number"] == int(number)]
                found = comments if what == "comments" else self.files
                first = (int(query["page"][0]) - 1) * int(query["per_page"][0])
                return found[first : first + int(query["per_page"][0])]
            case "POST", ["issues", number, "comments"]:
                self.comments.append(comment(len(self.comments) + 1, int(number), OURS, body["body"]))
                return self.comments[-1]
            case "PATCH", ["issues", "comments", id]:
                (one,) = (one for one in self.comments if one["id"] == int(id))
                one["body"] = body["body"]
                return one
        return None


def comment(id: int, number: int, by: str, body: str) -> dict[str, Any]:
    return {"id": id, "number": number, "user": {"login": by}, "body": body}


@contextmanager
def playing() -> Iterator[Played]:
    made = Played()

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            if url.path == "/storage":
                made.told_storage.append(self.headers.get("Authorization"))
                self.end(200, made.artifact or b"")
            elif url.path == "/token":
                right = self.headers.get("Authorization") == f"Bearer {made.token}"
                audience = parse_qs(url.query).get("audience", [""])[0]
                self.end(200 if right else 401, json.dumps({"value": f"{audience}-{made.token}"}).encode())
            elif self.headers.get("Authorization") != f"Bearer {made.token}":
                self.end(401, b"{}")
            elif url.path.endswith("/artifacts/3/zip"):
                self.send_response(302)
                self.send_header("Location", f"{made.url.replace('127.0.0.1', 'localhost')}/storage")
                self.end_headers()
            else:
                answer = made.answer(self.command, url.path, parse_qs(url.query), body)
                self.end(404 if answer is None else 200, json.dumps(answer).encode())

        do_GET = do_POST = do_PATCH = respond  # noqa: N815

        def end(self, code: int, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()
