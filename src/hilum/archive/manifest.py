"""`archive.json`: what an archive is, and the settings all its images share."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hilum.archive.place import Place
from hilum.archive.schema import FORMAT_VERSION
from hilum.errors import ArchiveError

NAME = "archive.json"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Manifest:
    """Settings stored with an archive.

    Attributes:
        format_version: layout of the directory; a newer one is refused.
        longer_side_px: longer side of the stored images, in pixels.
        text_policy: which text of a report stands for a study.
        pseudonymized: whether patient and study ids were replaced by salted hashes.
        created: when, UTC, ISO 8601.
        sources: what was ingested: name -> anything worth keeping (JSON).
    """

    format_version: int = FORMAT_VERSION
    longer_side_px: int = 384
    text_policy: str = "impression else findings"
    pseudonymized: bool = False
    created: str = field(default_factory=_now)
    sources: dict[str, Any] = field(default_factory=dict)

    def changed(self, **changes: Any) -> Manifest:
        """A copy with other values.

        Raises:
            ArchiveError: a name is not a manifest setting.
        """
        known = {f.name for f in fields(self)}
        for name in changes:
            if name not in known:
                raise ArchiveError(f"{NAME} has no setting {name!r}. Settings: {', '.join(sorted(known))}.")
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The manifest as JSON values."""
        return asdict(self)


def load_manifest(directory: Place) -> Manifest:
    """The manifest of the archive in `directory`.

    Raises:
        ArchiveError: no such directory, no archive in it, damaged JSON, or a newer format.
    """
    place = directory / NAME
    if not directory.exists():
        raise ArchiveError(f"{directory}: no such archive. Make one with: hilum ingest SOURCE PATH -o {directory}")
    if not directory.is_dir():
        raise ArchiveError(f"{directory} is a file; an archive is a directory made by `hilum ingest`.")
    try:
        values = json.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if (directory / "model.safetensors").exists():
            raise ArchiveError(
                f"{directory} is a model folder, not an archive. Models come first, the archive last, as in: "
                "hilum zeroshot MODEL ARCHIVE"
            ) from None
        raise ArchiveError(
            f"{directory} is not an archive: it holds no {NAME}. Name the directory that `hilum ingest` wrote."
        ) from None
    except (ValueError, OSError) as error:
        raise _damaged(place, str(error)) from error
    if not isinstance(values, dict) or not isinstance(values.get("format_version"), int):
        raise _damaged(place, "expected a JSON object with a whole number 'format_version'")
    if values["format_version"] > FORMAT_VERSION:
        raise ArchiveError(
            f"{directory} was written by a newer hilum: archive format {values['format_version']}, this one reads "
            f"up to {FORMAT_VERSION}. Upgrade with: pip install --upgrade hilum"
        )
    known = {f.name: values[f.name] for f in fields(Manifest) if f.name in values}
    manifest = Manifest(**known)
    for f in fields(Manifest):
        expected = type(getattr(Manifest(), f.name))
        if type(getattr(manifest, f.name)) is not expected:
            raise _damaged(place, f"{f.name!r} is {getattr(manifest, f.name)!r}, expected {expected.__name__}")
    return manifest


def save_manifest(directory: Path, manifest: Manifest) -> None:
    """Write the manifest by atomic rename: a reader sees the old one or the new one, whole."""
    temporary = directory / f"{NAME}.tmp"
    with temporary.open("w", encoding="utf-8") as stream:
        json.dump(manifest.to_dict(), stream, indent=2, ensure_ascii=False)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(directory / NAME)


def _damaged(place: Place, reason: str) -> ArchiveError:
    return ArchiveError(
        f"{place} is damaged: {reason}. The tables beside it are untouched; restore this file from a backup, or ingest "
        f"the sources again into a new archive."
    )
