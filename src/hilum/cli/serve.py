"""`hilum serve`: the web app over one archive, on this machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated

import typer

TOKEN_VARIABLE = "HILUM_TOKEN"


def serve(
    archive: Annotated[str, typer.Argument(help="The archive's directory, or its URI.", show_default=False)],
    model: Annotated[
        list[Path] | None,
        typer.Option("--model", "-m", help="A model folder; repeatable. The first one answers first."),
    ] = None,
    results: Annotated[
        list[Path] | None,
        typer.Option("--results", "-r", help="A folder with reports of evaluations or studies; repeatable."),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen at; the default lets nobody else in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8420,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A further name (or name:port) this server is addressed by; repeatable.")
    ] = None,
    allow_upload: Annotated[
        bool, typer.Option("--allow-upload", help="Let visitors save images into the archive.")
    ] = False,
) -> None:
    """Look at an archive in the browser: search as you type, studies, heatmaps, try an image, prompts, results.

    Prints an address with a token; who opens it is let in. The token is random, or $HILUM_TOKEN. Research use only.

    Example: hilum serve demo/archive --model demo/chexzero --results demo/report
    """
    from hilum.errors import UsageError

    try:
        import fastapi  # noqa: F401
        import uvicorn
    except ImportError:
        raise UsageError("hilum serve needs FastAPI and uvicorn: pip install 'hilum[web]'") from None
    from rich.console import Console

    from hilum.web import Settings, create_app
    from hilum.web.settings import new_token

    for folder in results or []:
        if not folder.is_dir():
            raise UsageError(f"--results {folder}: there is no such folder.")
    console = Console(stderr=True, highlight=False)
    listening = _listen(host, port)
    port = listening.getsockname()[1]
    token = os.environ.pop(TOKEN_VARIABLE, "") or new_token()  # gone from what decoders of strangers' files inherit
    hosts = (
        *(allow_host or ()),
        *([] if host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "::") else [f"{host}:{port}"]),
    )
    settings = Settings(
        archive,
        tuple(model or ()),
        tuple(results or ()),
        token,
        port=port,
        hosts=hosts,
        allow_upload=allow_upload,
    )
    app = create_app(settings)
    listening.listen(socket.SOMAXCONN)  # before the address is told: who opens it at once waits and is not turned away
    if host not in ("127.0.0.1", "localhost", "::1"):
        console.print(
            f"[yellow]Listening at {host}: others on the network can reach this server, and what it sends is not encrypted. "
            "Put a proxy with TLS before it, and name it with --allow-host.[/yellow]",
            soft_wrap=True,
        )
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    console.print(
        "Open this address; it holds the token. Ctrl-C ends the server. Research use only, not a medical device."
    )
    typer.echo(f"http://{shown}:{port}/?token={settings.token}")
    # No access log: addresses hold what people search for, and once the token.
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=30,
    )
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, so that a taken port is told before anything is loaded."""
    from hilum.errors import UsageError

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise UsageError(
            f"cannot listen at {host}, port {port}: {error.strerror}. Choose another one with --port."
        ) from None
    return listening
