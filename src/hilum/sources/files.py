"""Find image files in a folder tree, by name or by their first bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hilum.errors import SourceError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".dicom", ".img")


def require_folder(root: Path, source: str, layout: str) -> None:
    """Fail unless `root` is a folder that can be listed.

    Raises:
        SourceError: it is not there, is a file, or may not be read.
    """
    if not root.exists():
        raise SourceError(f"{root} does not exist. Source '{source}' expects: {layout}")
    if not root.is_dir():
        raise SourceError(f"{root} is a file, not a folder. Source '{source}' expects: {layout}")
    try:
        next(os.scandir(root), None)
    except OSError as error:
        raise SourceError(f"{root} cannot be listed: {error.strerror}.") from error


def require_parts(root: Path, source: str, layout: str, *parts: str | tuple[str, ...]) -> list[Path]:
    """Where each part of a release lies under `root`; all that is missing is said at once.

    Args:
        root: the ingested folder.
        source: name of the source, for messages.
        layout: what it expects, for messages.
        parts: file or folder names, or glob patterns; a tuple holds other names for the same part, best first.

    Raises:
        SourceError: `root` cannot be listed, or lacks a part; the message names every missing one and what is there.
    """
    require_folder(root, source, layout)
    found: list[Path] = []
    lacks: list[str] = []
    for part in parts:
        names = (part,) if isinstance(part, str) else part
        here = find_part(root, *names)
        if here is None:
            lacks.append(names[0] + (f" (or {', '.join(names[1:])})" if len(names) > 1 else ""))
        else:
            found.append(here)
    if lacks:
        raise SourceError(
            f"{root} lacks {' and '.join(lacks)}; it holds: {contents(root)}. Source '{source}' expects: {layout}"
        )
    return found


def find_part(root: Path, *names: str) -> Path | None:
    """The first of these names, or glob patterns, that is there under `root`."""
    for name in names:
        here = min(root.glob(name), default=None) if any(mark in name for mark in "*?[") else root / name
        if here is not None and here.exists():
            return here
    return None


def contents(root: Path) -> str:
    """The first few names in a folder, for messages."""
    names = sorted(found.name for found in root.iterdir() if not found.name.startswith("."))
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return (", ".join(names[:8]) or "nothing") + more


def inside(root: Path, *names: str) -> Path:
    """The first of these folders under `root` that is there, else `root`: releases are unpacked one level deeper or not."""
    return next((root / name for name in names if (root / name).is_dir()), root)


def by_stem(folder: Path) -> dict[str, Path]:
    """Image files anywhere under a folder, by name without ending; the first in order of path wins."""
    found: dict[str, Path] = {}
    for file in walk(folder):
        if file.suffix.lower() in IMAGE_SUFFIXES:
            found.setdefault(file.stem, file)
    return found


def walk(root: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """Every file under `root` in a fixed order, without hidden ones; links to folders are followed, but not in circles.

    Args:
        root: a folder.
        above: real paths of the folders this one was reached through.
    """
    real = os.path.realpath(root)
    if real in above:
        return
    try:
        with os.scandir(root) as listing:
            found = sorted(listing, key=lambda item: item.name)
    except OSError as error:
        raise SourceError(f"{root} cannot be listed: {error.strerror}.") from error
    for item in found:
        if item.name.startswith("."):
            continue
        if item.is_dir():
            yield from walk(Path(item.path), (*above, real))
        else:
            yield Path(item.path)


def by_name(folders: list[Path]) -> dict[str, Path]:
    """Image files directly in these folders, by file name; the first folder wins."""
    found: dict[str, Path] = {}
    for folder in folders:
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith("."):
                found.setdefault(file.name, file)
    return found


def relative(file: Path, root: Path) -> str:
    """The path of `file` under `root` with forward slashes; absolute where it lies elsewhere."""
    try:
        return file.relative_to(root).as_posix()
    except ValueError:
        return file.as_posix()


def looks_like_dicom(file: Path) -> bool:
    """True for a DICOM part 10 file, and for a bare data set as old devices write it (PS3.10 section 7.1)."""
    try:
        with file.open("rb") as stream:
            head = stream.read(132)
    except OSError:
        return False
    if head[128:132] == b"DICM":
        return True
    # A bare data set starts with group 0002 or 0008, then an explicit type or an implicit length below 256.
    return (
        head[:2] in (b"\x02\x00", b"\x08\x00")
        and len(head) > 8
        and (head[4:6].isalpha() or head[5:8] == b"\x00\x00\x00")
    )
