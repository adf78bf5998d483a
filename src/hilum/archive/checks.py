"""What may be wrong with an archive that opens: leaks between splits, duplicates, orphans, images that look wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hilum.archive.archive import Archive
from hilum.archive.schema import pixels_sha1
from hilum.archive.splits import patients_in_two_splits

FRONTAL = ("pa", "ap", "ap_supine")
_EXAMPLES = 5
_BATCH = 128
_FLAT_RANGE = 8  # gray levels out of 256 between the darkest and the brightest pixel


@dataclass(frozen=True)
class Problem:
    """One kind of problem found in an archive.

    Attributes:
        kind: short name, stable for scripts.
        count: how many cases.
        what: what is wrong, in one sentence.
        next_step: what to do about it.
        examples: a few ids (patients, images or studies).
    """

    kind: str
    count: int
    what: str
    next_step: str
    examples: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The problem as JSON values."""
        return {**asdict(self), "examples": list(self.examples)}


def check(archive: Archive, progress: Callable[[int, int], None] | None = None) -> list[Problem]:
    """Look for leaks, duplicates, orphans, and damaged, constant or inverted-looking images.

    Args:
        archive: read once, pixels included.
        progress: called with (images looked at, images in all).

    Returns:
        One entry for each kind of problem found; empty when the archive is clean.
    """
    images = archive.images(["image_id", "study_id", "patient_id", "view", "pixels_sha1", "split"])
    studies = archive.studies(["study_id", "report"])
    labels = archive.labels(["study_id", "image_id"])
    found = [
        _leaks(archive),
        _duplicates(images),
        _without_report(studies),
        _without_study(images, studies),
        *_orphan_labels(labels, images, studies),
        *_odd_pixels(archive, images, progress),
    ]
    return [problem for problem in found if problem is not None]


def looks_inverted(pixels: np.ndarray) -> bool:
    """Whether a frontal radiograph looks like its own negative: bright air, dark spine.

    In a radiograph shown as usual the mediastinum is brighter than the lungs beside it and than the air in the two
    upper corners. The two differences, on gray levels stretched between the 1st and 99th percentile, are added; the
    sum is negative for a negative. Meant for frontal views only.

    Args:
        pixels: (H, W) uint8.

    Example:
        >>> frame = np.zeros((80, 80), np.uint8)
        >>> frame[8:, 8:72], frame[16:60, 12:34], frame[16:60, 46:68] = 200, 60, 60
        >>> looks_inverted(frame), looks_inverted(255 - frame)
        (False, True)
    """
    step = max(1, min(pixels.shape) // 96)
    small = pixels[::step, ::step].astype(np.float32)
    low, high = np.percentile(small, [1, 99])
    small = np.clip((small - low) / max(high - low, 1.0), 0.0, 1.0)
    mediastinum = _mean(small, (0.30, 0.85), (0.45, 0.55))
    lungs = (_mean(small, (0.25, 0.60), (0.20, 0.35)) + _mean(small, (0.25, 0.60), (0.65, 0.80))) / 2
    corners = (_mean(small, (0.0, 0.1), (0.0, 0.1)) + _mean(small, (0.0, 0.1), (0.9, 1.0))) / 2
    return bool((mediastinum - lungs) + (mediastinum - corners) < 0)


def _mean(image: np.ndarray, rows: tuple[float, float], columns: tuple[float, float]) -> float:
    """Mean of a box given in fractions of height and width."""
    h, w = image.shape
    top, left = int(rows[0] * h), int(columns[0] * w)
    bottom, right = max(top + 1, int(np.ceil(rows[1] * h))), max(left + 1, int(np.ceil(columns[1] * w)))
    return float(image[top:bottom, left:right].mean())


def _problem(kind: str, cases: Iterable[str | None], what: str, next_step: str) -> Problem | None:
    names = [str(case) for case in cases]
    if not names:
        return None
    return Problem(kind, len(names), f"{len(names):,} {what}", next_step, tuple(names[:_EXAMPLES]))


def _leaks(archive: Archive) -> Problem | None:
    leaks = patients_in_two_splits(archive)
    return _problem(
        "patient_in_two_splits",
        (f"{patient} ({', '.join(splits)})" for patient, splits in leaks.items()),
        "patients have images in more than one split; test results would be too good.",
        "Assign the splits by patient: hilum.archive.assign_splits(archive, official) or with keep_given=False.",
    )


def _duplicates(images: pa.Table) -> Problem | None:
    groups = images.group_by("pixels_sha1").aggregate([("image_id", "count")])
    repeated = groups.filter(pc.greater(groups["image_id_count"], 1))["pixels_sha1"]
    twins = images.filter(pc.is_in(images["pixels_sha1"], value_set=pc.unique(repeated)))
    by_hash: dict[str, list[str]] = {}
    for sha1, image in zip(twins["pixels_sha1"].to_pylist(), twins["image_id"].to_pylist(), strict=True):
        by_hash.setdefault(sha1, []).append(image)
    splits = twins.group_by("pixels_sha1").aggregate([("split", "count_distinct")])["split_count_distinct"]
    across = int(pc.sum(pc.greater(splits, 1)).as_py() or 0)
    return _problem(
        "duplicate_images",
        (" = ".join(names[:3]) for names in by_hash.values()),
        f"images are stored under more than one id with the very same pixels ({across:,} of them in two splits).",
        "Ingest each file once; where two patients share an image, correct the ids in the source and ingest again.",
    )


def _without_report(studies: pa.Table) -> Problem | None:
    text = pc.fill_null(studies["report"], "")
    return _problem(
        "study_without_report",
        studies.filter(pc.equal(pc.utf8_trim_whitespace(text), ""))["study_id"].to_pylist(),
        "studies have no report; they are left out of image-text pretraining and report labels.",
        "Harmless where no report exists. Otherwise check that the report files or the CSV's ids match the studies.",
    )


def _without_study(images: pa.Table, studies: pa.Table) -> Problem | None:
    lost = images.filter(pc.invert(_in(images["study_id"], studies["study_id"])))
    return _problem(
        "image_without_study",
        lost["image_id"].to_pylist(),
        "images name a study that is not in the table of studies.",
        "Ingest the source again; a run that was stopped goes on where it was.",
    )


def _orphan_labels(labels: pa.Table, images: pa.Table, studies: pa.Table) -> list[Problem | None]:
    no_image = pc.and_(pc.is_valid(labels["image_id"]), pc.invert(_in(labels["image_id"], images["image_id"])))
    known_studies = pa.chunked_array([*studies["study_id"].chunks, *images["study_id"].chunks], pa.string())
    no_study = pc.and_(pc.is_valid(labels["study_id"]), pc.invert(_in(labels["study_id"], known_studies)))
    what = "are labeled but not in the archive."
    next_step = "See `hilum info` for rejected files; the labels do no harm, but nothing is scored against them."
    return [
        _problem(
            "label_without_image",
            pc.unique(labels["image_id"].filter(no_image)).to_pylist(),
            f"images {what}",
            next_step,
        ),
        _problem(
            "label_without_study",
            pc.unique(labels["study_id"].filter(no_study)).to_pylist(),
            f"studies {what}",
            next_step,
        ),
    ]


def _odd_pixels(
    archive: Archive, images: pa.Table, progress: Callable[[int, int], None] | None
) -> list[Problem | None]:
    rows, views, names, hashes = (images[c].to_pylist() for c in ("row", "view", "image_id", "pixels_sha1"))
    constant, inverted, damaged = [], [], []
    for start in range(0, len(rows), _BATCH):
        batch = slice(start, start + _BATCH)
        read = archive.pixels(rows[batch])
        for pixels, view, name, sha1 in zip(read, views[batch], names[batch], hashes[batch], strict=True):
            if pixels_sha1(pixels.data) != sha1:
                damaged.append(name)
            elif int(pixels.max()) - int(pixels.min()) < _FLAT_RANGE:
                constant.append(name)
            elif view in FRONTAL and looks_inverted(pixels):
                inverted.append(name)
        if progress is not None:
            progress(min(start + _BATCH, len(rows)), len(rows))
    return [
        _problem(
            "damaged_image",
            damaged,
            "images do not have the pixels that were stored (their SHA-1 differs): the disk or a copy damaged them.",
            "Restore the archive from a backup, or ingest the sources into a new one.",
        ),
        _problem(
            "constant_image",
            constant,
            f"images are one gray from edge to edge (fewer than {_FLAT_RANGE} gray levels apart).",
            "Look at the files: an empty acquisition, or a window beside the pixel values. Remove them there.",
        ),
        _problem(
            "inverted_looking_image",
            inverted,
            "frontal images look inverted: the spine darker than the lungs and the air beside the neck.",
            "Look at a few. Where it is true, correct PhotometricInterpretation (DICOM) or invert the files, "
            "then ingest them again.",
        ),
    ]


def _in(values: pa.ChunkedArray, known: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.is_in(values, value_set=pc.unique(known))
