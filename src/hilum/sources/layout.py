"""What a source says of a dataset on disk: its description, its entries, and the facts of one image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from hilum.findings import LabelValue

if TYPE_CHECKING:
    import numpy as np

    from hilum.imaging import Radiograph

Progress = Callable[[str, int, int | None], None]
"""Called as (what is being done, how many are done, how many there are or None)."""


def no_progress(step: str, done: int, total: int | None) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What someone says of an image or of its whole study.

    Attributes:
        said_by: None for the dataset itself; else who, as "reader:vindr/R9" or "labeler:mimic/negbio".
        of_study: it holds for every image of the study.
    """

    finding: str
    value: LabelValue
    said_by: str | None = None
    of_study: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the archive keeps of one image beside its pixels. Unknown is None.

    Attributes:
        view: one of the archive's views; None leaves it to the DICOM header, if there is one.
        study_order: days, or any whole number that grows with time, from this patient's first study.
        split: the dataset's own split, where it has one.
        report: the whole text of the study's report.
        labels: (finding, value) as this dataset states them for this image.
        statements: what it states of the whole study, or gives as the opinion of one reader or labeler.
    """

    image_id: str
    study_id: str
    patient_id: str
    view: str | None = None
    study_order: int | None = None
    age_years: float | None = None
    sex: str | None = None
    split: str | None = None
    report: str | None = None
    labels: tuple[tuple[str, LabelValue], ...] = ()
    statements: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One image to read.

    Attributes:
        path: where it lies under the ingested root, with forward slashes; together with the source its key.
        file: where to read it.
        facts: what is known before reading; None when the file itself tells (DICOM).
        pixels: (H, W) uint8 where the image is no file of its own but a part of `file`; nothing is decoded then.
    """

    path: str
    file: Path
    facts: Facts | None = None
    pixels: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Something that cannot enter the archive: a short reason code, and a sentence for people."""

    path: str
    reason: str
    message: str


@dataclass(slots=True)
class Counts:
    """What a source left out without rejecting it, for the summary."""

    skipped: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def skip(self, why: str, count: int = 1) -> None:
        """Count something that is rightly left out."""
        self.skipped[why] = self.skipped.get(why, 0) + count


@dataclass(frozen=True, slots=True)
class Known:
    """What an archive holds of a source already, in the source's own terms (before pseudonyms).

    Attributes:
        order_of: path -> study order of an image that is there; None when it is not there or has no order.
        has_patient: whether any image of this patient is there.
    """

    order_of: Callable[[str], int | None] = lambda path: None
    has_patient: Callable[[str], bool] = lambda patient: False


class Source(Protocol):
    """A dataset or layout. A new one is one file, and one line in ``SOURCES``.

    Attributes:
        name: as on the command line, and in the archive's `source` column.
        title: as people call it.
        task: what its labels allow, in a few words.
        outputs: findings it states, or () when it states none.
        size: how many images, studies and patients the release has.
        split: which split its images get.
        licence: under which terms it may be used.
        where: where to get it.
        layout: what its folder must look like.
        unconfirmed: what we hold true of it without having seen it in an official file.
        train_val: share of patients in train and val where the dataset keeps both together (split "train_val").
        counts: filled along the way.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    task: ClassVar[str]
    outputs: ClassVar[tuple[str, ...]]
    size: ClassVar[str]
    split: ClassVar[str]
    licence: ClassVar[str]
    where: ClassVar[str]
    layout: ClassVar[str]
    unconfirmed: ClassVar[tuple[str, ...]]
    train_val: ClassVar[Mapping[str, float]]
    counts: Counts

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """Check the layout and read what must be known before the first image; the number of entries, if known.

        Args:
            root: the folder or table that was named.
            known: what the archive holds of this source already.
            progress: told about long steps.

        Raises:
            SourceError: the layout is not this source's; the message says what is missing.
            TableError: a table does not hold what it should.
        """
        ...

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every image in a fixed order, or why it cannot be one."""
        ...

    def facts(self, entry: Entry, image: Radiograph) -> Facts | Rejected:
        """The facts of a decoded image."""
        ...

    def finish(self, whole: bool) -> None:
        """After the last image: add to `counts` what should be said.

        Args:
            whole: every entry was read in this run; False when some were in the archive before.
        """
        ...
