"""Bring a source into an archive: list, decode in workers, append in atomic commits, count everything."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

from hilum.archive import Archive
from hilum.errors import UsageError
from hilum.imaging import Limits
from hilum.reports import DEFAULT_POLICY, POLICIES
from hilum.sources.already import AlreadyThere
from hilum.sources.catalog import make_source
from hilum.sources.intake import Intake
from hilum.sources.layout import Progress, Source, no_progress
from hilum.sources.pseudonyms import Pseudonyms
from hilum.sources.splitting import SPLITTING, Splitting
from hilum.sources.summary import IngestSummary

ROWS_PER_COMMIT = 256


def ingest(
    source: str | Source,
    root: str | Path,
    archive: str | Path | Archive,
    *,
    workers: int | None = None,
    longer_side_px: int | None = None,
    text_policy: str | None = None,
    split: Literal["auto", "hashed", "official", "none"] | None = None,
    fractions: Mapping[str, float] | None = None,
    seed: int | None = None,
    pseudonymize: bytes | str | Path | None = None,
    strict: bool = False,
    dry_run: bool = False,
    limits: Limits | None = None,
    rows_per_commit: int = ROWS_PER_COMMIT,
    progress: Progress = no_progress,
    **options: Any,
) -> IngestSummary:
    """Bring a dataset or folder into an archive; run it again to go on, or to add what is new.

    Each commit is whole: a run that is killed at any moment and started again ends with the content of a run that
    was not. A file that cannot be read gets a row in the archive's `rejects`, and the run goes on.

    Args:
        source: a name (see ``hilum.sources.SOURCES``) or a source object.
        root: the folder, or for `table` the table.
        archive: an archive or its directory, made when it is not there.
        workers: decoding processes; default one for each core.
        longer_side_px: of the stored images; default the archive's own, 384 for a new one.
        text_policy: which text of a report stands for a study, chosen when the archive is made.
        split: "auto" (the default) takes the dataset's own split where it has one and hashes the patient id elsewhere;
            "hashed" ignores the dataset's; "official" leaves the rest without; "none" gives no split.
        fractions: share of patients in train, val and test of the hashed split; default 0.6, 0.2, 0.2.
        seed: of the hashed split; default 0. Split, fractions and seed are kept in the archive's manifest: a later
            run takes them from there.
        pseudonymize: secret salt (bytes), or the file that holds it: patient, study and image ids and paths are
            replaced by salted hashes. Report text is kept as it is.
        strict: stop at the first file that cannot be read.
        dry_run: look, decode nothing, write nothing.
        limits: bounds on one file's size and decoding time.
        rows_per_commit: images in one commit.
        progress: called as (step, done, total).
        options: settings of the source, such as `reports` for "dicom".

    Raises:
        SourceError: the layout does not fit, or `strict` met a bad file.
        TableError: a table does not hold what it should.
        ArchiveError: the archive cannot be written: another writer, a full disk. What was committed is kept.

    Example:
        >>> import hilum
        >>> hilum.ingest("nih", "ChestX-ray14/", "cxr.hilum", workers=8).added  # doctest: +SKIP
        112120
    """
    started = time.perf_counter()
    if split is not None and split not in SPLITTING:
        raise UsageError(f"split is {split!r}; expected one of {', '.join(SPLITTING)}.")
    if text_policy is not None and text_policy not in POLICIES:
        raise UsageError(f"unknown text policy {text_policy!r}; expected one of {', '.join(POLICIES)}.")
    chosen = make_source(source, options) if isinstance(source, str) else source
    names = _pseudonyms(pseudonymize)
    settings = {"longer_side_px": longer_side_px, "text_policy": text_policy}
    target = archive if isinstance(archive, Archive) else _existing(Path(archive), settings)
    summary = IngestSummary(chosen.name, dry_run=dry_run)
    lock: AbstractContextManager[None] = target.writing() if target is not None and not dry_run else nullcontext()
    with lock:
        record = target.manifest.sources if target is not None else {}
        _check_pseudonyms(target, names)
        splitting = Splitting.settle(record, chosen.name, split, seed, fractions, chosen.train_val)
        there = AlreadyThere(target, chosen.name, names)
        total = chosen.open(Path(root), there.known(), progress)
        run = Intake(chosen, there, summary, names, splitting, strict)
        if dry_run:
            run.count(total, progress)
            chosen.finish(whole=False)
        else:
            if target is None:  # only now: a folder that is no such source should leave no empty archive
                target = _create(Path(archive), settings, names)  # type: ignore[arg-type]  # an Archive is no None
            with target.writing():
                _remember(target, chosen.name, splitting, names, Path(root))
                if workers is None:
                    workers = os.cpu_count() or 1
                run.write(target, total, workers, limits or Limits(), rows_per_commit, progress)
                chosen.finish(whole=summary.already_there == 0)
    summary.skipped = dict(chosen.counts.skipped)
    summary.notes = [*chosen.counts.notes]
    summary.seconds = time.perf_counter() - started
    return summary


def _existing(path: Path, settings: Mapping[str, Any]) -> Archive | None:
    """The archive at `path` if there is one; its settings must be those asked for."""
    if not (path / "archive.json").exists():
        return None
    return Archive.open_or_create(path, **{name: value for name, value in settings.items() if value is not None})


def _create(path: Path, settings: Mapping[str, Any], names: Pseudonyms | None) -> Archive:
    given = {name: value for name, value in settings.items() if value is not None}
    return Archive.create(path, **{"text_policy": DEFAULT_POLICY, **given, "pseudonymized": names is not None})


def _check_pseudonyms(archive: Archive | None, names: Pseudonyms | None) -> None:
    """An archive is pseudonymized as a whole and under one salt, or not at all."""
    if archive is None:
        return
    if names is None and archive.manifest.pseudonymized:
        raise UsageError(f"{archive.path} holds pseudonyms only; give its salt with --pseudonymize SALT-FILE.")
    if names is not None and not archive.manifest.pseudonymized:
        raise UsageError(f"{archive.path} holds identifiers as they are; ingest into a new archive to hide them.")
    checks = {record.get("salt_check") for record in archive.manifest.sources.values() if isinstance(record, Mapping)}
    if names is not None and checks and names.check not in checks:
        raise UsageError(f"{archive.path} was made with another salt: one patient would get two names. Use that salt.")


def _remember(archive: Archive, source: str, splitting: Splitting, names: Pseudonyms | None, root: Path) -> None:
    """Before the first image, so that a killed run goes on with the same split and salt."""
    record = splitting.record() | ({"salt_check": names.check} if names else {"root": str(root.resolve())})
    if archive.manifest.sources.get(source) != record:
        archive.update_manifest(sources={**archive.manifest.sources, source: record})


def _pseudonyms(salt: bytes | str | Path | None) -> Pseudonyms | None:
    if salt is None:
        return None
    return Pseudonyms(salt) if isinstance(salt, bytes) else Pseudonyms.from_file(Path(salt))
