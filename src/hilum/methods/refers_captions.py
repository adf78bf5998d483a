"""What becomes of a report's words in REFERS: normalized for the generator, left and right exchanged with a mirrored image."""

from __future__ import annotations

import re
import unicodedata

_SIDE = re.compile(r"\b(left|right)(?=(?:most|wards?)?\b)", re.IGNORECASE)
_OTHER = {"left": "right", "right": "left"}


def normalized(caption: str) -> str:
    """Lower case without accents, as the generator learns it.

    Example:
        >>> normalized("Opacité  LEFT base")
        'opacite  left base'
    """
    spread = unicodedata.normalize("NFKD", caption.lower())
    return "".join(sign for sign in spread if not unicodedata.combining(sign))


def mirrored(caption: str, compat: bool = False) -> str:
    """The caption of a mirrored image: left and right as words change places, whatever their case.

    Args:
        caption: any text.
        compat: exchange the letters "left" and "right" wherever they stand in lower case, as the released code does.

    Example:
        >>> mirrored("Left base, leftward shift; bright RIGHT apex")
        'Right base, rightward shift; bright LEFT apex'
        >>> mirrored("Left base; bright right apex", compat=True)
        'Left base; bleft left apex'
    """
    if compat:
        return "right".join(part.replace("right", "left") for part in caption.split("left"))
    return _SIDE.sub(_exchange, caption)


def _exchange(found: re.Match[str]) -> str:
    word = found.group()
    other = _OTHER[word.lower()]
    if word.isupper():
        return other.upper()
    return other.capitalize() if word[0].isupper() else other
