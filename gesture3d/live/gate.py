"""Who may talk to the server: this page in this browser, and nobody else.

Any web page in the same browser can send requests to 127.0.0.1, open WebSockets there (to which
CORS does not apply), and have a name of its own resolve to 127.0.0.1. So every request must name
this server as its `Host`, all that changes something and every WebSocket must come from its own
`Origin`, and all but the page's code needs a token that only the printed address has.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
OPEN = "/static/"  # the page's code, which is no secret
TOKEN_HEADER = "x-token"
SAFE = ("GET", "HEAD")
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "media-src 'self' blob: mediastream:; connect-src 'self' ws://{host}; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


class Gate:
    """ASGI middleware in front of everything.

    Args:
        host, port: where the server listens. Where that is not this machine alone, addresses of
            numbers are let through as `Host` (a name that an attacker owns never is one).
        token: what requests must know, as ``?token=`` or as the header X-Token.
    """

    def __init__(self, app: ASGIApp, host: str, port: int, token: str) -> None:
        self.app, self.port, self.token = app, port, token
        self.is_local = host in LOOPBACK
        self.names = {*LOOPBACK, host}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        reason = self.refusal(scope)
        if reason is None:
            await self.app(scope, receive, _with_headers(scope, send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4403, "reason": reason[:120]})
        else:
            await PlainTextResponse(f"{reason}\n", 403)(scope, receive, _with_headers(scope, send))

    def refusal(self, scope: Scope) -> str | None:
        """Why a request may not pass; None where it may."""
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return "this server is not called so; open the address that the program printed"
        changes = scope["type"] == "websocket" or scope["method"] not in SAFE
        if (changes or origins) and origins != [f"http://{hosts[0]}"]:
            return "only this server's own page may do this"
        if scope["type"] == "http" and scope["method"] in SAFE and scope["path"].startswith(OPEN):
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"))
        given = [*headers.getlist(TOKEN_HEADER), *query.get("token", [])]
        if not any(secrets.compare_digest(one.encode(), self.token.encode()) for one in given):
            return "no token, or an old one; open the address that the program printed"
        return None

    def _is_ours(self, host: str) -> bool:
        name, _, port = host.rpartition(":")
        if port != str(self.port):
            return self.port == 80 and host in self.names
        return name in self.names or (not self.is_local and _is_number(name))


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _with_headers(scope: Scope, send: Send) -> Send:
    """Every answer has the headers that keep other pages out of this one."""
    host = Headers(scope=scope).get("host", "")

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            headers["content-security-policy"] = POLICY.format(host=_plain(host))
        await send(message)

    return with_headers


def _plain(host: str, allowed: Iterable[str] = "-.:[]") -> str:
    """Only what is in a host's name, so that no header can be continued with it."""
    return "".join(c for c in host if (c.isascii() and c.isalnum()) or c in allowed)
