"""Reports from a table, a folder of text files, or the corpus file that CXR-RePaiR published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hilum.reports import cut
from hilum.reports.inputs import join_texts, open_input
from hilum.tables import as_text, read_table
from hilum.tasks.composing.released_corpus import is_released_corpus, read_released_corpus

PATIENT_NAMES = ("patient_id", "subject_id", "patient", "patientid")
IMPRESSION = "impression"


class Read(NamedTuple):
    """Texts as they lie there, whose they are where that is known, and which columns they are from."""

    texts: list[str]
    study_ids: list[str | None]
    patient_ids: list[str | None]
    said: str


def reports_of_table(path: Path, text_columns: Sequence[str] = ()) -> Read:
    """All reports of a table or a folder; of a whole report, its impression.

    Args:
        path: CSV, TSV, Parquet, a folder of .txt files, or CXR-RePaiR's `corpus_embeddings/*.pt`.
        text_columns: the columns with the words, joined; by default `impression`, else the one that holds reports.

    Raises:
        TableError, UsageError: it is no table, or which column holds the reports cannot be told.
        CheckpointError: a `.pt` file from which the texts cannot be taken.
    """
    if is_released_corpus(path):
        texts = read_released_corpus(path)
        return Read(texts, [None] * len(texts), [None] * len(texts), "texts of the corpus file")
    source = open_input(path, text_columns)
    if source.kind == "folder" or not source.header:
        found = [(name, text) for chunk in source.chunks() for name, text in zip(chunk.ids, chunk.texts, strict=True)]
        names: list[str | None] = [name for name, _ in found] if source.kind == "folder" else [None] * len(found)
        return Read([_spoken(text) for _, text in found], names, [None] * len(found), "whole text files")
    table = read_table(path, numbers=False)
    by_name = {name.strip().lower(): name for name in reversed(table.column_names)}
    columns = list(text_columns) or ([by_name[IMPRESSION]] if IMPRESSION in by_name else list(source.text_columns))
    cells = [as_text(table[name]).to_pylist() for name in columns]
    joined = [join_texts(row) for row in zip(*cells, strict=True)]
    texts = joined if IMPRESSION in {name.lower() for name in columns} else [_spoken(text) for text in joined]

    def ids(name: str | None) -> list[str | None]:
        return as_text(table[name]).to_pylist() if name else [None] * len(table)

    patient = next((by_name[name] for name in PATIENT_NAMES if name in by_name), None)
    return Read(texts, ids(by_name.get("study_id", source.id_column)), ids(patient), " + ".join(columns))


def _spoken(text: str) -> str:
    """The impression of a whole report, else its findings; a text without such headers as it is."""
    parts = cut(text)
    return parts.get("impression") or parts.get("findings") or text
