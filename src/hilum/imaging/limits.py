"""How much one file may cost."""

from __future__ import annotations

from dataclasses import dataclass

from hilum.errors import UsageError


@dataclass(frozen=True)
class Limits:
    """What decoding one file may cost before it is refused.

    Attributes:
        pixels: most rows x columns x samples of a picture. The largest film digitizers give about 50 million.
        bytes: most bytes of a file, and of a deflated data set once inflated.
        seconds: wall clock time for one file. Kept by `DecodePool`'s workers; in-process decoding cannot be stopped.
    """

    pixels: int = 80_000_000
    bytes: int = 1 << 29
    seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("pixels", "bytes", "seconds"):
            if not getattr(self, name) > 0:
                raise UsageError(f"Limits({name}={getattr(self, name)!r}): expected a number above 0.")
