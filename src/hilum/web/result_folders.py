"""Reports of evaluations and studies in the folders named at the start; each is asked for by a key, never by a path."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hilum.web.problems import NotFoundError

PAGES = {"report.html": "evaluation", "study.html": "study"}
DEEPEST = 4  # folders below the one that was named
MOST = 200
LARGEST_PAGE = 64 << 20


@dataclass(frozen=True)
class Found:
    """One report.

    Attributes:
        key: how it is asked for.
        name: folders from the one that was named.
        kind: evaluation or study.
        page: the HTML file.
        numbers: `results.csv` beside it, where there is one.
        changed: seconds since 1970.
    """

    key: str
    name: str
    kind: str
    page: Path
    numbers: Path | None
    changed: float


class ResultFolders:
    """Looks for reports each time it is asked, so that new ones appear.

    Args:
        folders: where to look.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(folders)

    def all(self) -> list[Found]:
        """Every report there is now, the newest first."""
        found = [one for folder in self.folders for one in _in(folder, folder, DEEPEST)]
        return sorted(found, key=lambda one: -one.changed)[:MOST]

    def get(self, key: str) -> Found:
        """A report by its key.

        Raises:
            NotFoundError: there is none.
        """
        for one in self.all():
            if one.key == key:
                return one
        raise NotFoundError("There is no such report in the folders that this server was started with.")


def page_of(found: Found) -> str:
    """The report's HTML.

    Raises:
        NotFoundError: it is gone, or too large to send.
    """
    try:
        if found.page.stat().st_size > LARGEST_PAGE:
            raise NotFoundError("This report is too large to be shown here; open its file.")
        page = found.page.read_text(encoding="utf-8", errors="replace")
    except OSError:
        raise NotFoundError("This report is not there any more.") from None
    return page.replace("@media (prefers-color-scheme: dark)", "@media screen")  # as dark as the room it is shown in


def _in(top: Path, folder: Path, depth: int) -> Iterator[Found]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    names = {entry.name: entry for entry in entries}
    for page, kind in PAGES.items():
        if page in names and names[page].is_file() and not names[page].is_symlink():
            numbers = names.get("results.csv")
            name = "/".join((top.resolve().name, *folder.relative_to(top).parts))
            key = hashlib.sha256(str(names[page].resolve()).encode()).hexdigest()[:16]
            yield Found(key, name, kind, names[page], numbers, names[page].stat().st_mtime)
    if depth:
        for entry in entries:
            # Links are not followed: what was named is shown, and nothing else.
            if entry.is_dir() and not entry.is_symlink() and not entry.name.endswith(".lance"):
                yield from _in(top, entry, depth - 1)
