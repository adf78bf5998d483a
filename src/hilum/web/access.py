"""Who may ask: Host, Origin, token, size of the body; and what every answer tells the browser to keep to."""

from __future__ import annotations

import hashlib
import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hilum.web.pages import render
from hilum.web.problems import Problem, problem_of
from hilum.web.settings import Settings

SAFE_METHODS = ("GET", "HEAD")
OPEN_PATHS = ("/static/", "/favicon.ico")
LARGEST_BODY = 256 << 10  # of anything but an uploaded image, which counts its own bytes
UPLOAD = "/api/tries"
COOKIE_SECONDS = 12 * 3600

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; frame-src 'self'; frame-ancestors 'self'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",  # pictures of patients stay out of the browser's files
}


class Access:
    """Middleware around the whole app.

    A visitor brings the token once in the address (`/?token=...`) and is given a cookie that scripts cannot read and other
    sites cannot send; a program sends `Authorization: Bearer TOKEN`. The cookie holds a value made from the token.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings
        self.cookie = f"hilum-{settings.port}"  # cookies do not know ports: two servers on a machine need two names
        key = settings.token.encode()
        self._pass = hmac.new(key, b"hilum web cookie", hashlib.sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return  # no websockets here
        request = Request(scope, receive)

        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refusal(request)
        if refused is not None:
            await refused(scope, receive, send_with_headers)
            return
        if scope["path"] != UPLOAD:
            receive = _limited(receive, LARGEST_BODY)
        try:
            await self.app(scope, receive, send_with_headers)
        except Exception as error:  # the boundary of a request: what is unforeseen ends it, not the server
            if started:
                raise
            await problem_of(error).response(request)(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        """The answer to a request that goes no further, or None."""
        headers = request.headers
        if not self.settings.knows_host(headers.get("host", "")):
            return Problem(
                421,
                "Not this server",
                "The request names a host that is not this server. Open the address printed at its start, or start it "
                "with --allow-host NAME where a proxy stands before it.",
            ).response(request)
        if request.url.path.startswith(OPEN_PATHS):
            return None
        if not _is_from_here(headers):
            return Problem(403, "Not from this page", "Another site sent this request; it was not done.").response(
                request
            )
        bearer = headers.get("authorization", "")
        if bearer.lower().startswith("bearer "):
            is_known = _equal(bearer[7:].strip(), self.settings.token)
            return None if is_known else self._closed(request, "The token is not the one printed at the start.")
        given = parse_qs(request.url.query).get("token")
        if given and request.method in SAFE_METHODS:
            return self._enter(request, given[0])
        if not _equal(self._cookie_of(headers), self._pass):
            return self._closed(
                request, "Open the address that `hilum serve` printed at its start; it holds the token."
            )
        if request.method not in SAFE_METHODS and not _says_from_here(headers):
            # A browser always says where a POST comes from; a program uses the bearer token.
            return Problem(403, "Not from this page", "The request does not say where it comes from.").response(request)
        return None

    def _enter(self, request: Request, token: str) -> Response:
        """Exchange the token in the address for a cookie, and take it out of the address."""
        if not _equal(token, self.settings.token):
            return self._closed(
                request, "The token is not the one printed at the start. The server may have restarted."
            )
        rest = [(k, v) for k, values in parse_qs(request.url.query).items() if k != "token" for v in values]
        # A path such as //elsewhere would send the visitor to another site.
        path = "/" + request.url.path.lstrip("/")
        answer = RedirectResponse(f"{path}?{urlencode(rest)}" if rest else path, 303)
        answer.set_cookie(
            self.cookie, self._pass, max_age=COOKIE_SECONDS, httponly=True, samesite="strict", path="/",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return answer

    def _closed(self, request: Request, detail: str) -> Response:
        if request.url.path.startswith("/api"):
            answer = Problem(401, "A token is needed", detail).response(request)
            answer.headers["WWW-Authenticate"] = "Bearer"
            return answer
        return render(request, "closed.html.j2", 401, detail=detail)

    def _cookie_of(self, headers: Headers) -> str:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return ""
        return found.value if found else ""


def _equal(given: str, expected: str) -> bool:
    # In constant time: how long it takes tells nothing of how much was right.
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())


def _is_from_here(headers: Headers) -> bool:
    """False where the browser says that another site asks."""
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def _says_from_here(headers: Headers) -> bool:
    return headers.get("origin") is not None or headers.get("sec-fetch-site") == "same-origin"


def _limited(receive: Receive, most: int) -> Receive:
    """A body of at most so many bytes; more is refused while it comes."""
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise HTTPException(413, f"The request is longer than {most:,} bytes.")
        return message

    return limited
