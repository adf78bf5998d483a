"""What a server is started with; nothing of it can be changed through the web."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from hilum.errors import UsageError
from hilum.imaging import Limits

DEFAULT_PORT = 8420
# Below what ingest allows: a stranger's file is looked at while people wait.
UPLOAD_LIMITS = Limits(pixels=40_000_000, bytes=64 << 20, seconds=20.0)
LEAST_TOKEN = 16
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Settings:
    """Settings of one server.

    Attributes:
        archive: the archive's directory.
        models: model folders; the first is the one asked where none is named.
        results: folders in which reports of evaluations and studies are looked for.
        token: what a visitor must bring; a random one unless given.
        port: where it listens, for the cookie's name and the Host check.
        hosts: further names by which it may be addressed, such as that of a proxy in front of it.
        allow_upload: whether images may be saved into the archive.
        limits: what decoding one uploaded file may cost.
        receive_seconds: how long one upload may take to arrive.
    """

    archive: str | Path
    models: tuple[Path, ...] = ()
    results: tuple[Path, ...] = ()
    token: str = field(default_factory=lambda: new_token(), repr=False)
    port: int = DEFAULT_PORT
    hosts: tuple[str, ...] = ()
    allow_upload: bool = False
    limits: Limits = UPLOAD_LIMITS
    receive_seconds: float = 60.0

    def __post_init__(self) -> None:
        if len(self.token) < LEAST_TOKEN:
            raise UsageError(
                f"the token has {len(self.token)} characters; one of at least {LEAST_TOKEN} cannot be guessed."
            )

    def knows_host(self, host: str) -> bool:
        """Whether a request's Host header is one of ours; another one is a name that was pointed at this machine."""
        host = host.lower()
        ours = {f"{name}:{self.port}" for name in LOOPBACK} | {name.lower() for name in self.hosts}
        return host in ours or (self.port == 80 and host in LOOPBACK)


def new_token() -> str:
    """A token of 256 random bits."""
    return secrets.token_urlsafe(32)
