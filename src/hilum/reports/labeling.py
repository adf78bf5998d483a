"""Label many reports: read, label in workers, write; a stopped run goes on where it was."""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from hilum.errors import ReportError, UsageError
from hilum.findings import LabelValue
from hilum.reports.inputs import CHUNK, Chunk, ReportInput, open_input
from hilum.reports.label_files import Output, finished
from hilum.reports.labels import ReportLabels, evidence_record, require_policy, settle_uncertain, with_parents

log = logging.getLogger(__name__)

Progress = Callable[[int, float], None]


class Labeler(Protocol):
    """What labels reports: the rules, or a trained model."""

    @property
    def said_by(self) -> str:
        """How an archive names it."""

    def label_many(self, texts: Sequence[str]) -> Sequence[ReportLabels]:
        """The labels of several reports, in order."""


@dataclass(frozen=True)
class Settings:
    """How reports are labeled; travels to the workers.

    Attributes:
        vocabulary: the user's own TOML files.
        compat: None or "chexpert".
        model: folder of a trained labeler; None for the rules.
        uncertain: "keep", "u-ones", "u-zeros" or "u-ignore".
        propagate_parents: whether a positive finding makes its parents positive.
        evidence: whether evidence is wanted.
    """

    vocabulary: tuple[str, ...] = ()
    compat: str | None = None
    model: str | None = None
    uncertain: str = "keep"
    propagate_parents: bool = False
    evidence: bool = False


@dataclass
class LabelingSummary:
    """What a labeling run did.

    Attributes:
        reports: how many were labeled, blank ones included.
        out: the table written; None where labels went into an archive.
        said_by: who labeled.
        notes: why reports were left blank -> how many ("empty", "not English").
        duplicate_ids: ids that had been there before.
        counts: finding -> value -> how many.
        evidence, review, notes_file: other files written.
        resumed_at: reports that an earlier, stopped run had done.
    """

    reports: int = 0
    out: Path | None = None
    said_by: str = ""
    notes: Counter[str] = field(default_factory=Counter)
    duplicate_ids: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    evidence: Path | None = None
    review: Path | None = None
    notes_file: Path | None = None
    resumed_at: int = 0


def label(
    source: str | Path,
    out: str | Path | None = None,
    *,
    text_columns: Sequence[str] = (),
    id_column: str | None = None,
    vocabulary: str | Path | Sequence[str | Path] | None = None,
    compat: str | None = None,
    model: str | Path | None = None,
    uncertain: str = "keep",
    propagate_parents: bool = False,
    evidence: str | Path | None = None,
    html: str | Path | None = None,
    against: str | Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> LabelingSummary:
    """Label every report of a table, a folder or an archive.

    Args:
        source: a CSV, TSV or Parquet table, a folder of text files, or an archive.
        out: the CSV to write (CheXpert's columns by name; 1, 0, -1 or blank), `labels.csv` by default; an archive takes the
            labels itself, and writes a CSV too only where `out` is given.
        text_columns, id_column: of a table, see :func:`hilum.reports.inputs.open_input`.
        vocabulary: TOML files with findings or cues of your own.
        compat: "chexpert" for the CheXpert labeler's order and aggregation.
        model: folder of a trained labeler, instead of the rules.
        uncertain: what becomes of uncertain labels: "keep", "u-ones", "u-zeros", "u-ignore".
        propagate_parents: make the parents of a positive finding positive.
        evidence: JSON lines to write: one report a line, with the words each label rests on.
        html: a page to write that shows reports with their evidence marked.
        against: another labeler's CSV of the same reports, whose disagreements the page shows.
        workers: processes; the order of rows is that of the input.
        progress: called with the reports done and the share of the input read.

    Raises:
        HilumError: the input, an option or a vocabulary cannot be used.
    """
    require_policy(uncertain)
    if against is not None and html is None:
        raise UsageError("--against compares on a review page: give --html too.")
    if model is not None and (compat or vocabulary):
        raise UsageError("--with takes a trained model; --compat and --vocabulary are for the rules.")
    reports = open_input(source, text_columns, id_column)
    files: tuple[str | Path, ...] = (vocabulary,) if isinstance(vocabulary, str | Path) else tuple(vocabulary or ())
    settings = Settings(
        tuple(str(file) for file in files),
        compat,
        str(model) if model else None,
        uncertain,
        propagate_parents,
        evidence is not None,
    )
    labeler = make_labeler(settings)  # here too, so that a wrong vocabulary fails before anything is written
    summary = LabelingSummary(said_by=labeler.said_by)
    into_archive = reports.kind == "archive"
    table = Path(out) if out else None if into_archive else Path("labels.csv")
    columns = _columns(labeler)
    summary.counts = {name: Counter() for name in columns}
    # An archive is given its labels in large commits, so a stopped run on one starts anew.
    stamp = None if into_archive else _stamp(reports, settings, columns)
    with Output(table, Path(evidence) if evidence else None, [reports.id_name, *columns], stamp) as output:
        summary.resumed_at = summary.reports = output.done
        seen: set[int] = set()
        archive_rows = _ArchiveWriter(reports.path, labeler.said_by) if into_archive else None
        for chunk, results in _run(reports, settings, labeler, workers, output.done, seen, summary):
            output.write(chunk.ids, results)
            _count(summary, results)
            if archive_rows:
                archive_rows.add(chunk.ids, columns, results.cells)
            summary.reports += len(chunk.ids)
            if progress:
                progress(summary.reports, chunk.share_read)
        if archive_rows:
            archive_rows.flush()
        if summary.resumed_at:
            summary.counts, summary.notes = output.totals(columns)
    summary.out, summary.evidence, summary.notes_file = table, Path(evidence) if evidence else None, finished(output)
    if html is not None:
        from hilum.reports.review import write_review

        summary.review = write_review(
            Path(html), reports, labeler, against=Path(against) if against else None, settings=settings
        )
    return summary


def make_labeler(settings: Settings) -> Labeler:
    """The labeler that settings ask for."""
    if settings.model:
        from hilum.reports.neural import load_labeler

        return load_labeler(settings.model)
    from hilum.reports.rules import RuleLabeler

    return RuleLabeler(settings.vocabulary or None, settings.compat)


class Labeled(NamedTuple):
    """The results of one chunk as text: made in a worker, so that the process that writes has little to do.

    Attributes:
        cells: each report's labels as they stand in the CSV, without the id.
        notes: place in the chunk -> why that report was left blank.
        records: each report's labels and evidence as JSON, without the opening brace and the id; empty where not wanted.
        counts: finding -> code -> how many.
    """

    cells: list[str]
    notes: dict[int, str]
    records: list[str]
    counts: dict[str, Counter[int]]


_CELL = {None: "", 1: "1", 0: "0", -1: "-1"}


def label_chunk(labeler: Labeler, settings: Settings, texts: Sequence[str]) -> Labeled:
    """Labels of some reports."""
    columns = _columns(labeler)
    counts: dict[str, Counter[int]] = {name: Counter() for name in columns}
    tallies = list(counts.values())
    labeled = Labeled([], {}, [], counts)
    for codes, note, record in _codes(labeler, settings, texts, columns):
        for code, tally in zip(codes, tallies, strict=True):
            if code is not None:
                tally[code] += 1
        if note:
            labeled.notes[len(labeled.cells)] = note
        labeled.cells.append(",".join([_CELL[code] for code in codes]))
        if record is not None:
            labels = {name: code for name, code in zip(columns, codes, strict=True) if code is not None}
            labeled.records.append(json.dumps({"labels": labels, **record}, ensure_ascii=False)[1:])
    return labeled


def _codes(
    labeler: Any, settings: Settings, texts: Sequence[str], columns: Sequence[str]
) -> Iterator[tuple[Sequence[int | None], str, dict[str, Any] | None]]:
    """Codes in column order, note, and evidence of each report."""
    plain = settings.uncertain == "keep" and not settings.propagate_parents and not settings.evidence
    if plain and hasattr(labeler, "codes"):
        place = {name: i for i, name in enumerate(labeler.observations)}
        order = [place[name] for name in columns]
        for text in texts:
            codes, note = labeler.codes(text)
            yield [codes[i] for i in order], note, None
        return
    # A neural labeler's evidence costs a forward pass a word, so it is only made where it is asked for.
    read = getattr(labeler, "explain_many", labeler.label_many) if settings.evidence else labeler.label_many
    for text, said in zip(texts, read(texts), strict=True):
        values = settle_uncertain(said.values, settings.uncertain)
        if settings.propagate_parents:
            values = with_parents(values)
        record = _record(said, text) if settings.evidence else None
        yield [values[name].chexpert for name in columns], said.note, record


def _record(said: ReportLabels, text: str) -> dict[str, Any]:
    record: dict[str, Any] = {"evidence": [evidence_record(item, text) for item in said.evidence]}
    if said.note:
        record["note"] = said.note
    scores = getattr(said, "scores", None)
    if scores:
        record["scores"] = {
            name: {value.value: round(float(score), 6) for value, score in of.items()} for name, of in scores.items()
        }
    return record


def _columns(labeler: Any) -> list[str]:
    from hilum.findings import CHEXPERT_NAMES

    names = list(getattr(labeler, "columns", None) or getattr(labeler, "observations", None) or labeler.findings)
    if getattr(labeler, "columns", None):
        return names
    return [
        *(name for name in CHEXPERT_NAMES if name in names),
        *(name for name in names if name not in CHEXPERT_NAMES),
    ]


def _stamp(reports: ReportInput, settings: Settings, columns: Sequence[str]) -> list[Any]:
    vocabulary = [Path(file).read_text(encoding="utf-8") for file in settings.vocabulary]
    return [reports.stamp(), repr(settings), list(columns), vocabulary]


def _count(summary: LabelingSummary, labeled: Labeled) -> None:
    for name, tally in labeled.counts.items():
        counts = summary.counts[name]
        for code, times in tally.items():
            counts[LabelValue.from_chexpert(code).value] += times
        counts[LabelValue.NOT_MENTIONED.value] += len(labeled.cells) - tally.total()
    summary.notes.update(labeled.notes.values())


def _run(
    reports: ReportInput,
    settings: Settings,
    labeler: Labeler,
    workers: int,
    done: int,
    seen: set[int],
    summary: LabelingSummary,
) -> Iterator[tuple[Chunk, Labeled]]:
    """(chunk, labels) in the order of the input, from this process or from workers; the first `done` reports are skipped."""

    def fresh() -> Iterator[Chunk]:
        skipped = 0
        for chunk in reports.chunks():
            for name in chunk.ids:
                key = hash(name)
                summary.duplicate_ids += key in seen
                seen.add(key)
            if skipped < done:
                skipped += len(chunk.ids)
                if skipped > done:
                    raise ReportError(
                        f"{reports.path} changed since the stopped run; remove the .part files and run again."
                    )
                continue
            yield chunk

    if workers <= 1 or settings.model:
        for chunk in fresh():
            yield chunk, label_chunk(labeler, settings, chunk.texts)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_start_worker, initargs=(settings,)) as pool:
        waiting: deque[tuple[Chunk, Future[Labeled]]] = deque()
        try:
            for chunk in fresh():
                waiting.append((chunk, pool.submit(_work, chunk.texts)))
                if len(waiting) > workers * 2:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        except BrokenProcessPool:
            raise ReportError(
                f"a worker died near report {summary.reports + 1} (memory?). What was done is kept; run again with fewer workers."
            ) from None
        finally:
            for _, future in waiting:
                future.cancel()


_worker: tuple[Labeler, Settings] | None = None


def _start_worker(settings: Settings) -> None:
    global _worker
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = (make_labeler(settings), settings)
    gc.freeze()  # the vocabulary stays for good: do not look at it again and again


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(texts: list[str]) -> Labeled:
    assert _worker is not None
    return label_chunk(*_worker, texts)


class _ArchiveWriter:
    """Collects statements and adds them to the archive's labels, some thousand studies a commit."""

    STUDIES = CHUNK * 100

    def __init__(self, path: Path, said_by: str) -> None:
        self.path, self.said_by = path, said_by
        self.rows: dict[str, list[str]] = {"study_id": [], "finding": [], "value": []}
        self.studies = 0

    def add(self, ids: Sequence[str], columns: Sequence[str], cells: Sequence[str]) -> None:
        for name, row in zip(ids, cells, strict=True):
            for column, cell in zip(columns, row.split(","), strict=True):
                self.rows["study_id"].append(name)
                self.rows["finding"].append(column)
                self.rows["value"].append(LabelValue.from_chexpert(int(cell) if cell else None).value)
        self.studies += len(ids)
        if self.studies >= self.STUDIES:
            self.flush()

    def flush(self) -> None:
        if not self.rows["study_id"]:
            return
        import pyarrow as pa

        from hilum.archive import Archive

        n = len(self.rows["study_id"])
        table = pa.table(
            {
                "study_id": self.rows["study_id"],
                "image_id": pa.nulls(n, pa.string()),
                "finding": self.rows["finding"],
                "value": self.rows["value"],
                "said_by": [self.said_by] * n,
            }
        )
        Archive.open(self.path).add_labels(table)
        log.debug("%s: added %d statements (process %d)", self.path, n, os.getpid())
        self.rows = {"study_id": [], "finding": [], "value": []}
        self.studies = 0
