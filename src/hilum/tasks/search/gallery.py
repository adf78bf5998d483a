"""The images of an archive as search needs them: in memory, filtered without a query engine, shown as hits."""

from __future__ import annotations

import difflib
import threading
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hilum.archive import Archive
from hilum.errors import UsageError
from hilum.findings import canonical
from hilum.tasks.search.filters import COLUMNS, Mask, parse
from hilum.tasks.search.hits import Hit

MASKS_KEPT = 16  # of filters, a byte an image: who types a query asks with the same filter at every letter


class Gallery:
    """Every image of an archive, in the archive's order, at the version the archive was opened at.

    May be read from several threads.
    """

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        images = archive.images(list(COLUMNS)).combine_chunks()
        self.rows = images["row"].to_numpy()  # (N,)
        self._columns = {name: _whole(images[name]) for name in COLUMNS}
        self._reading = threading.Lock()
        self._masks: dict[str, np.ndarray] = {}  # of the filters asked last, oldest first
        self._labels: dict[str, pa.Table] = {}
        self._said: dict[
            tuple[str, str | None, str | None], Mask
        ] = {}  # as many as there are findings, values, speakers

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def place_of(self) -> dict[str, int]:
        """image_id -> its place, 0 to N - 1."""
        return {image_id: place for place, image_id in enumerate(self.column("image_id").to_pylist())}

    def places(self, image_ids: pa.Array) -> np.ndarray:
        """The places of these images; -1 for one that is not there."""
        found = pc.index_in(image_ids, value_set=self.column("image_id"))
        return pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)

    def place(self, image_id: str) -> int:
        """The place of one image.

        Raises:
            UsageError: it is not in the archive.
        """
        if image_id not in self.place_of:
            raise UsageError(
                f"the archive has no image {image_id!r}; `hilum search --json` prints the ids of what it finds."
            )
        return self.place_of[image_id]

    def allowed(self, where: str | None) -> np.ndarray | None:
        """(N,) bool, read-only, of which images the filter holds; None for no filter.

        Raises:
            UsageError: the filter cannot be understood, or names what the archive has not.
        """
        if where is None or not where.strip():
            return None
        mask = self._masks.get(where)
        if mask is None:
            mask = pc.fill_null(_whole(parse(where).holds(self)), False).to_numpy(zero_copy_only=False)
            mask.flags.writeable = False
            self._keep(where, mask)
        return mask

    def hits(self, places: np.ndarray, scores: np.ndarray, found_by: str) -> list[Hit]:
        """Images as search results.

        Args:
            places: (K,) of the images.
            scores: (K,) theirs.
            found_by: as in `Hit`.
        """
        wanted = pa.array(places, pa.int64())

        def cells(name: str) -> list[Any]:
            return self._columns[name].take(wanted).to_pylist()

        columns = (
            cells("image_id"), cells("study_id"), self.rows[places].tolist(), np.asarray(scores, float).tolist(),
            cells("view"), cells("split"), cells("sex"), cells("age_years"), [found_by] * len(places),
        )  # fmt: skip
        return [Hit(*values) for values in zip(*columns, strict=True)]

    # What filters ask

    def column(self, name: str) -> pa.Array:
        """One column, an entry an image."""
        return self._columns[name]

    @cached_property
    def findings(self) -> list[str]:
        """The findings that the archive's labels are about."""
        return sorted(pc.unique(self.archive.labels(["finding"])["finding"]).to_pylist())

    def finding(self, name: str) -> str:
        """The finding as the labels name it.

        Raises:
            UsageError: no label is about it.
        """
        named = canonical(name)
        if named in self.findings:
            return named
        if not self.findings:
            raise UsageError(
                f"label({name!r}): the archive has no labels yet. Its reports are labeled with: hilum label ARCHIVE"
            )
        close = difflib.get_close_matches(named, self.findings, n=1, cutoff=0.6)
        raise UsageError(
            f"label({name!r}): no label is about it{f'. Did you mean {close[0]!r}?' if close else '.'} "
            f"Findings with labels: {', '.join(self.findings)}."
        )

    def said(self, finding: str, value: str | None, speaker: str | None) -> Mask:
        """Of which images, or of whose studies, somebody says this; kept, for the same is often asked again."""
        asked = (finding, value, speaker)
        if asked not in self._said:
            self._said[asked] = self._find_said(finding, value, speaker)
        return self._said[asked]

    def _find_said(self, finding: str, value: str | None, speaker: str | None) -> Mask:
        labels = self._labels_of(finding)
        if value is not None:
            labels = labels.filter(pc.equal(labels["value"], value))
        if speaker is not None:
            labels = labels.filter(self._by(speaker, labels["said_by"]))
        of_images = labels.filter(pc.is_valid(labels["image_id"]))["image_id"]
        of_studies = labels.filter(pc.is_null(labels["image_id"]))["study_id"]
        return pc.or_(
            pc.is_in(self.column("image_id"), value_set=_whole(of_images)),
            pc.is_in(self.column("study_id"), value_set=_whole(of_studies)),
        )

    def _keep(self, where: str, mask: np.ndarray) -> None:
        with self._reading:
            self._masks[where] = mask
            if len(self._masks) > MASKS_KEPT:
                del self._masks[next(iter(self._masks))]

    @cached_property
    def speakers(self) -> list[str]:
        """Who has said the labels."""
        return sorted(pc.unique(self.archive.labels(["said_by"])["said_by"]).to_pylist())

    def _by(self, speaker: str, said_by: pa.ChunkedArray) -> pa.ChunkedArray:
        """Whether a statement is by this speaker: named in full, or by what stands before '@' or ':'."""
        named = [one for one in self.speakers if speaker in (one, one.split("@")[0].split(":")[0])]
        if not named:
            raise UsageError(f"nobody called {speaker!r} has said a label. Speakers: {', '.join(self.speakers)}.")
        return pc.is_in(said_by, value_set=pa.array(named, pa.string()))

    def _labels_of(self, finding: str) -> pa.Table:
        with self._reading:
            if finding not in self._labels:
                quoted = finding.replace("'", "''")  # it is one of `findings`, so a name that the archive holds
                columns = ["study_id", "image_id", "value", "said_by"]
                self._labels[finding] = self.archive.labels(columns, where=f"finding = '{quoted}'")
            return self._labels[finding]


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return column
