"""Several readers of one image, joined to one statement."""

from __future__ import annotations

from collections.abc import Sequence

from hilum.findings import LabelValue
from hilum.sources.cells import present

AGREEMENT = ("majority", "any", "all")


def join_votes(votes: Sequence[bool], how: str) -> LabelValue:
    """What readers say together: by "majority", where a tie is uncertain, or that "any" or "all" of them see it.

    Example:
        >>> [join_votes([True, False, False], how).value for how in AGREEMENT]
        ['negative', 'positive', 'negative']
    """
    if how == "any":
        return present(any(votes))
    if how == "all":
        return present(all(votes))
    return LabelValue.UNCERTAIN if 2 * sum(votes) == len(votes) else present(2 * sum(votes) > len(votes))
