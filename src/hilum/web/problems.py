"""Errors as people and programs read them: a page, or problem+json (RFC 9457). No path of this machine leaves it."""

from __future__ import annotations

import json
import logging
import re
import secrets
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from hilum.errors import ArchiveBusyError, ArchiveError, HilumError, ImageError, ModelError, UsageError
from hilum.web.pages import render

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TOO_LARGE = "too_large"
# An absolute path, or one that climbs or runs through folders, quoted or not.
_PATH = re.compile(r"(?<![\w/:.])(?:[A-Za-z]:\\|~?/|\.{1,2}/)[^\s'\",;:()<>]+|\b[\w.-]+(?:/[\w.@+-]+){2,}")


class ArchiveGoneError(ArchiveError):
    """The archive is not where it was when the server was started; it may come back."""


class ModelNotReadyError(ModelError):
    """A model is being loaded, or could not be; the rest of the server works."""


class NotFoundError(HilumError):
    """What was asked for is not there."""


class BusyError(HilumError):
    """Too much is being done at once; waiting helps."""


class RefusedError(HilumError):
    """The server was started without what this needs."""


@dataclass(frozen=True)
class Problem:
    """One error of a request.

    Attributes:
        status: of HTTP.
        title: what kind of error, the same for all of its kind.
        detail: what happened here and what to do.
        retry_seconds: when to ask again, where waiting helps.
    """

    status: int
    title: str
    detail: str
    retry_seconds: int | None = None

    def response(self, request: Request) -> Response:
        """As JSON under /api, as a page elsewhere."""
        if request.url.path.startswith("/api"):
            body = {"type": "about:blank", "title": self.title, "status": self.status, "detail": self.detail}
            body["instance"] = request.url.path
            response = Response(json.dumps(body), self.status, media_type=MEDIA_TYPE)
        else:
            response = render(request, "problem.html.j2", self.status, problem=self)
        if self.retry_seconds is not None:
            response.headers["Retry-After"] = str(self.retry_seconds)
        return response


# The first kind that fits.
_KINDS: tuple[tuple[type[HilumError], int, str, int | None], ...] = (
    (ArchiveGoneError, 503, "The archive is not there", 5),
    (ArchiveBusyError, 503, "The archive is being written", 10),
    (NotFoundError, 404, "Not found", None),
    (RefusedError, 403, "Not allowed here", None),
    (BusyError, 503, "Busy", 3),
    (ModelNotReadyError, 503, "The model cannot answer now", 5),
    (ImageError, 422, "The file cannot be used", None),
    (UsageError, 400, "The request cannot be used", None),
    (ArchiveError, 503, "The archive cannot be read", 5),
    (ModelError, 409, "The model cannot do this", None),
    (HilumError, 400, "This did not work", None),
)


def problem_of(error: Exception, private: tuple[str, ...] = ()) -> Problem:
    """What is told of an error.

    Args:
        error: of hilum, or of the web framework; any other becomes a number under which it was logged.
        private: places on this machine, taken out of what is told.
    """
    if isinstance(error, ImageError) and error.reason == TOO_LARGE:
        return Problem(413, "The file is too large", without_paths(str(error), private))
    for kind, status, title, retry in _KINDS:
        if isinstance(error, kind):
            return Problem(status, title, without_paths(str(error), private), retry)
    if isinstance(error, RequestValidationError):
        return Problem(422, "The request cannot be used", _what_is_wrong(error))
    if isinstance(error, HTTPException):
        told = "There is no such page." if error.status_code == 404 else str(error.detail)
        return Problem(error.status_code, HTTPStatus(error.status_code).phrase, told)
    number = secrets.token_hex(4)
    log.error("error %s", number, exc_info=error)
    return Problem(
        500,
        "Something went wrong here",
        f"The server met an error it does not know; it goes on. Its log has it under number {number}.",
    )


def without_paths(text: str, private: tuple[str, ...] = ()) -> str:
    """A message without places on this machine.

    Example:
        >>> without_paths("/data/pacs/archive: no such archive.")
        '(path): no such archive.'
        >>> without_paths("x.hilum holds no labels", ("x.hilum",))
        '(path) holds no labels'
    """
    for place in sorted(private, key=len, reverse=True):
        if len(place) > 1:
            text = re.sub(rf"(?<![\w]){re.escape(place)}(?![\w])", "(path)", text)
    text = _PATH.sub("(path)", text)
    return re.sub(r"\(path\)(?:[/\\][^\s'\",;:()<>]*)+", "(path)", text)


def _what_is_wrong(error: RequestValidationError) -> str:
    parts = []
    for one in error.errors()[:5]:
        place = ".".join(str(part) for part in one["loc"][1:]) or "body"
        parts.append(f"{place}: {one['msg'][:1].lower()}{one['msg'][1:]}")
    return "; ".join(parts) + "."


def answer_errors(app: FastAPI, private: tuple[str, ...]) -> None:
    """Have every error that is foreseen answered with a `Problem`; `Access` sees to the others."""

    async def answer(request: Request, error: Exception) -> Response:
        return problem_of(error, private).response(request)

    for kind in (HilumError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, answer)
