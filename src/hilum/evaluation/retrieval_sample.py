"""The images that retrieval is measured on, their report texts and classes, and the texts that ask for a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hilum.archive import Archive
from hilum.errors import TableError, UsageError
from hilum.findings import canonical
from hilum.models.zero_shot import load_prompts
from hilum.tables import read_table
from hilum.tasks.search.gallery import Gallery
from hilum.tasks.text_cache import study_texts


@dataclass(frozen=True, eq=False)
class RetrievalSample:
    """Images that ask and are found.

    Attributes:
        image_ids: N images; `patients` (N,) whose they are.
        with_text: (T,) places of images whose study has a report text; `texts` are those.
        classes: C findings; `has` (N, C) bool says which images have which, after the labels.
        remarks: what was left out, and whose labels were taken.
    """

    image_ids: list[str]
    patients: np.ndarray
    with_text: np.ndarray
    texts: list[str]
    classes: tuple[str, ...]
    has: np.ndarray
    remarks: list[str]

    @property
    def own_class(self) -> np.ndarray:
        """(N,) the number of an image's class; -1 where it has none, or several."""
        if not self.classes:
            return np.full(len(self.image_ids), -1)
        return np.where(self.has.sum(axis=1) == 1, self.has.argmax(axis=1), -1)

    @classmethod
    def of(cls, archive: Archive, where: str | None, classes: Sequence[str], said_by: str | None) -> RetrievalSample:
        """Images of an archive.

        Raises:
            UsageError: too few fit the filter, or no label is about a class.
        """
        gallery = Gallery(archive)
        allowed = gallery.allowed(where)
        places = np.arange(len(gallery)) if allowed is None else np.flatnonzero(allowed)
        if len(places) < 2:
            raise UsageError(f"{len(places)} images fit {where!r}; retrieval needs some to choose among.")

        def column(name: str) -> list[str]:
            return list(gallery.column(name).take(pa.array(places)).to_pylist())

        studies = column("study_id")
        text_of = dict(zip(*study_texts(archive), strict=True))
        with_text = np.array([i for i, study in enumerate(studies) if study in text_of], np.int64)
        remarks = []
        if len(with_text) < len(places):
            missing = len(places) - len(with_text)
            remarks.append(f"{missing:,} images have no report text: they are left out of recall and rank")
        named, has = _classes(gallery, places, classes, said_by, remarks)
        texts = [text_of[studies[i]] for i in with_text]
        return cls(column("image_id"), np.array(column("patient_id")), with_text, texts, named, has, remarks)


def _classes(
    gallery: Gallery, places: np.ndarray, classes: Sequence[str], said_by: str | None, remarks: list[str]
) -> tuple[tuple[str, ...], np.ndarray]:
    """The classes that some image has, and (N, C) which."""
    if not classes:
        return (), np.zeros((len(places), 0), bool)
    speaker = said_by
    if speaker is None and any(one.startswith("dataset:") for one in gallery.speakers):
        speaker = "dataset"
    named = tuple(dict.fromkeys(gallery.finding(name) for name in classes))
    said = [pc.fill_null(gallery.said(name, "positive", speaker), False) for name in named]
    has = np.stack([mask.to_numpy(zero_copy_only=False)[places] for mask in said], axis=1)  # (N, C)
    there = [c for c in range(len(named)) if has[:, c].any()]
    absent = [name for c, name in enumerate(named) if c not in there]
    if absent:
        remarks.append(f"no image has {', '.join(absent)}")
    named, has = tuple(named[c] for c in there), has[:, there]
    counts = has.sum(axis=1)
    remarks.append(
        f"labels said by {speaker or 'anybody'}; {int((counts == 1).sum()):,} images have one class alone and ask, "
        f"{int((counts > 1).sum()):,} have several and {int((counts == 0).sum()):,} none: those are neighbors only"
    )
    return named, has


def asked_texts(
    classes: tuple[str, ...], queries: str | PathLike[str] | None = None, prompts: str = "chexzero"
) -> list[tuple[int, str]]:
    """The texts that ask for classes, each with the number of its class.

    Args:
        classes: findings.
        queries: a table with columns `finding` (or `Variable`, as ConVIRT's) and `text`; default the prompts.
        prompts: a prompt set: its positive prompts of each class.

    Raises:
        TableError: a column is missing, or a class has no text.
    """
    if queries is None:
        chosen = load_prompts(prompts)
        return [(c, text) for c, name in enumerate(classes) for text in chosen.prompts(name)[0]]
    table = read_table(Path(queries))
    folded = {name.lower(): name for name in table.column_names}
    finding, text = folded.get("finding") or folded.get("variable"), folded.get("text")
    if finding is None or text is None:
        raise TableError(
            f"{Path(queries)}: expected columns finding (or Variable) and text, found {', '.join(table.column_names)}."
        )
    pairs = zip(table[finding].to_pylist(), table[text].to_pylist(), strict=True)
    found = [(classes.index(canonical(str(n))), str(t)) for n, t in pairs if canonical(str(n)) in classes and t]
    without = [name for c, name in enumerate(classes) if c not in {c for c, _ in found}]
    if without:
        raise TableError(f"{Path(queries)}: no text asks for {', '.join(without)}.")
    return found
