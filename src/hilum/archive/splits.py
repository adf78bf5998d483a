"""Which patients train, validate and test: given, official, or hashed. Always by patient, never by image or study."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Literal

import pyarrow.compute as pc

from hilum.archive.archive import Archive
from hilum.archive.schema import SPLITS
from hilum.errors import ArchiveError

FRACTIONS = {"train": 0.6, "val": 0.2, "test": 0.2}

# Other datasets' words for the three splits.
_SYNONYMS = {
    "training": "train",
    "valid": "val",
    "validation": "val",
    "validate": "val",
    "dev": "val",
    "testing": "test",
}


def hashed_split(patient_id: str, seed: int = 0, fractions: Mapping[str, float] | None = None) -> str:
    """The split of a patient, from the id alone: the same on every machine, whoever else is in the archive.

    The first 8 bytes of SHA-256 of "seed:patient_id" are read as a number in [0, 1) and compared with the running
    sum of the fractions in the order train, val, test. A patient added later moves nobody.

    Args:
        patient_id: any text.
        seed: another seed gives another, independent split.
        fractions: share of patients in each of train, val, test; they sum to 1. Default 0.6, 0.2, 0.2.

    Raises:
        ArchiveError: a fraction is negative, of an unknown split, or they do not sum to 1.

    Example:
        >>> hashed_split("patient-7"), hashed_split("patient-7", seed=1)
        ('test', 'val')
    """
    fractions = FRACTIONS if fractions is None else fractions
    unknown = [name for name in fractions if name not in SPLITS]
    if unknown or any(share < 0 for share in fractions.values()) or abs(sum(fractions.values()) - 1) > 1e-6:
        raise ArchiveError(
            f"split fractions {dict(fractions)}: expected shares of {', '.join(SPLITS)}, none negative, that sum to 1."
        )
    digest = hashlib.sha256(f"{seed}:{patient_id}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    upper = 0.0
    names = [name for name in SPLITS if fractions.get(name, 0) > 0]
    for name in names:
        upper += fractions[name]
        if place < upper:
            return name
    return names[-1]


def assign_splits(
    archive: Archive,
    official: Mapping[str, str] | None = None,
    *,
    seed: int = 0,
    fractions: Mapping[str, float] | None = None,
    keep_given: bool = True,
    rest: Literal["hashed", "leave"] = "hashed",
) -> Counter[str]:
    """Give every patient of an archive one split.

    A patient's split is, in this order: the one in `official`; the one its images carry already (given by the source,
    when `keep_given`; a patient whose images carry two is refused); the hashed one.

    Args:
        archive: written in one commit.
        official: patient_id -> split from a dataset's own list; "valid" and "training" are understood.
        seed: of the hashed split.
        fractions: of the hashed split.
        keep_given: False to hash also patients that have a split.
        rest: "leave" gives nobody a hashed split.

    Returns:
        How many patients each split now has.

    Raises:
        ArchiveError: a split is none of train, val, test, or a patient's images carry two.
    """
    hashed_split("", seed, fractions)  # complains about the fractions before anything is read
    official = {patient: _canonical(split, patient) for patient, split in (official or {}).items()}
    with archive.writing():
        given = _given_splits(archive)
        chosen: dict[str, str] = {}
        for patient, carried in given.items():
            if patient in official:
                chosen[patient] = official[patient]
            elif keep_given and carried:
                if len(carried) > 1:
                    raise ArchiveError(
                        f"patient {patient} has images in {' and '.join(sorted(carried))}. Name the patient's split in "
                        "an official list, or hash all with keep_given=False."
                    )
                chosen[patient] = next(iter(carried))
            elif rest == "hashed":
                chosen[patient] = hashed_split(patient, seed, fractions)
        archive.set_splits({p: split for p, split in chosen.items() if given[p] != {split}})
    return Counter(chosen.values())


def patients_in_two_splits(archive: Archive) -> dict[str, list[str]]:
    """Patients whose images carry more than one split: a leak. patient_id -> the splits, sorted."""
    return {p: sorted(carried) for p, carried in _given_splits(archive).items() if len(carried) > 1}


def _given_splits(archive: Archive) -> dict[str, set[str]]:
    pairs = archive.images(["patient_id", "split"]).group_by(["patient_id", "split"]).aggregate([])
    given: dict[str, set[str]] = {patient: set() for patient in pc.unique(pairs["patient_id"]).to_pylist()}
    for pair in pairs.filter(pc.is_valid(pairs["split"])).select(["patient_id", "split"]).to_pylist():
        given[pair["patient_id"]].add(pair["split"])
    return given


def _canonical(split: str, patient: str) -> str:
    name = _SYNONYMS.get(split.strip().lower(), split.strip().lower())
    if name not in SPLITS:
        raise ArchiveError(f"patient {patient}: split is {split!r}; expected one of {', '.join(SPLITS)}.")
    return name


__all__ = ["FRACTIONS", "assign_splits", "hashed_split", "patients_in_two_splits"]
