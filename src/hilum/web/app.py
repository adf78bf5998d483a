"""The application: access, pages, API, and errors put together."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import Response
from threadpoolctl import threadpool_limits

from hilum import __version__
from hilum.web import glance, handbook, pictures, playground, reporting, searching, studying, trying
from hilum.web.access import Access
from hilum.web.desk import Desk
from hilum.web.pages import static_files
from hilum.web.problems import answer_errors
from hilum.web.settings import Settings

ABOUT = (
    "An archive of chest radiographs, its reports, and what models make of them. Send the token that was printed at the start as "
    "`Authorization: Bearer TOKEN`. Errors are problem+json (RFC 9457). Research use only. Not a medical device."
)


def create_app(settings: Settings) -> FastAPI:
    """The web app over one archive.

    Args:
        settings: what the server is started with.

    Raises:
        ArchiveError: the archive cannot be opened now.
    """
    desk = Desk(settings)

    @asynccontextmanager
    async def alive(_: FastAPI) -> AsyncIterator[None]:
        # Few threads: more of them wait for each other, and the slowest answer waits longest.
        to_thread.current_default_thread_limiter().total_tokens = max(8, 2 * (os.cpu_count() or 1))
        # One thread a product of matrices: between two products BLAS's own threads spin, on cores that other requests need.
        with threadpool_limits(1, "blas"):
            desk.start()
            yield
            desk.stop()

    app = FastAPI(
        title="hilum",
        version=__version__,
        description=ABOUT,
        openapi_url="/api/openapi.json",
        docs_url=None,  # theirs load scripts from elsewhere; ours is at /api
        redoc_url=None,
        lifespan=alive,
    )
    app.state.desk = desk
    for room in (glance, searching, studying, pictures, trying, playground, reporting, handbook):
        app.include_router(room.router)

    @app.get("/static/{name}", include_in_schema=False)
    def static(name: str) -> Response:
        if name not in static_files():
            raise HTTPException(404)
        content, kind = static_files()[name]
        return Response(content, media_type=kind, headers={"Cache-Control": "public, max-age=3600"})

    @app.get("/favicon.ico", include_in_schema=False)
    def icon() -> Response:
        return static("icon.svg")

    answer_errors(app, desk.private)
    app.add_middleware(Access, settings=settings)
    return app
