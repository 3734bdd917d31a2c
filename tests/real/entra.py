"""Stand-ins for Microsoft Entra ID: a credential for this process, and a managed identity endpoint for others.

Their tokens are not real. The endpoint speaks the protocol of App Service and Container Apps (IDENTITY_ENDPOINT,
IDENTITY_HEADER; Microsoft's page "How to use managed identities for App Service"), so that DefaultAzureCredential runs
unchanged.
"""

import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions

from tools.key_vault.tokens import LIFE, Authority, Principal

DEADLINE = 600.0


class StandinCredential:
    """A TokenCredential of one principal, for any resource. Its tokens are valid for `life` seconds."""

    def __init__(self, authority: Authority, principal: Principal, *, life: int = LIFE) -> None:
        self.principal, self.life = principal, life
        self._authority = authority

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:  # noqa: ARG002
        (scope,) = scopes
        token = self._authority.issue(self.principal, scope.removesuffix("/.default"), life=self.life)
        # The client believes it: only so does it send an expired token.
        return AccessTokenInfo(token, int(self._authority.clock()) + LIFE)

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        info = self.get_token_info(*scopes)
        return AccessToken(info.token, info.expires_on)

    def close(self) -> None: ...


class IdentityEndpoint(ThreadingHTTPServer):
    """Issues tokens of registered identities, by client id, if the request has the right header."""

    daemon_threads = True

    def __init__(self, authority: Authority) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.authority, self.header = authority, secrets.token_hex(16)
        self.principals: dict[str, Principal] = {}
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join(DEADLINE)
        self.server_close()

    def environment(self, principal: Principal) -> dict[str, str]:
        self.principals[principal.appid] = principal
        return {
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{self.server_address[1]}/msi/token",
            "IDENTITY_HEADER": self.header,
            "AZURE_CLIENT_ID": principal.appid,
        }


class _Handler(BaseHTTPRequestHandler):
    server: IdentityEndpoint

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        server, query = self.server, parse_qs(urlsplit(self.path).query)
        principal = server.principals.get(query.get("client_id", [""])[0])
        if self.headers.get("X-IDENTITY-HEADER") != server.header or principal is None:
            return self._send(400, {"statusCode": 400, "message": "no such identity"})
        resource = query["resource"][0]
        return self._send(
            200,
            {
                "access_token": server.authority.issue(principal, resource),
                "client_id": principal.appid,
                "expires_on": str(int(server.authority.clock()) + LIFE),
                "resource": resource,
                "token_type": "Bearer",
            },
        )

    def _send(self, status: int, answer: dict[str, object]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
