"""Datasets that share images: to pretrain on one and test on the other is to test on what was seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Literal


@dataclass(frozen=True)
class Overlap:
    """Two sources with images in common.

    Attributes:
        a, b: names of sources.
        match: "patient": both give a shared patient the same `patient_id`, so that leaving out the patients of one from
            the other leaves no shared image. None: nothing public tells which images are shared; leave out one of the two.
        about: what is shared, in a sentence.
        known_by: how a patient id begins that can be compared; one that begins otherwise may be a shared patient's.
    """

    a: str
    b: str
    match: Literal["patient"] | None
    about: str
    known_by: str = ""

    def other(self, name: str) -> str:
        """The other of the two."""
        return self.b if name == self.a else self.a


OVERLAPS = (
    Overlap("ranzcr", "nih", None, "RANZCR CLiP's images were taken from ChestX-ray14, under other names"),
    Overlap("siim", "nih", None, "SIIM-ACR's images were taken from ChestX-ray14, under other names"),
    Overlap(
        "rsna",
        "nih",
        "patient",
        "RSNA's images were taken from ChestX-ray14; patients match where RSNA was ingested with its mapping file",
        known_by="nih-",
    ),
    Overlap("ranzcr", "siim", None, "both were taken from ChestX-ray14"),
    Overlap("ranzcr", "rsna", None, "both were taken from ChestX-ray14"),
    Overlap("siim", "rsna", None, "both were taken from ChestX-ray14"),
    Overlap("reflacx", "mimic", "patient", "REFLACX reads images of MIMIC-CXR"),
    Overlap("edema", "mimic", "patient", "the edema grades are of images of MIMIC-CXR"),
    Overlap("reflacx", "edema", "patient", "both are images of MIMIC-CXR"),
    Overlap("chexpert-5x200", "chexpert", "patient", "CheXpert 5x200 is drawn from CheXpert's training images"),
    Overlap("medmnist", "pediatric", None, "PneumoniaMNIST is Pediatric Pneumonia made small"),
    Overlap("medmnist", "nih", None, "ChestMNIST is ChestX-ray14 made small"),
    Overlap("medmnist", "rsna", None, "ChestMNIST and RSNA were taken from ChestX-ray14"),
    Overlap("medmnist", "siim", None, "ChestMNIST and SIIM-ACR were taken from ChestX-ray14"),
    Overlap("medmnist", "ranzcr", None, "ChestMNIST and RANZCR CLiP were taken from ChestX-ray14"),
)
_OF_PAIR = {frozenset((overlap.a, overlap.b)): overlap for overlap in OVERLAPS}


def overlap_of(a: str, b: str) -> Overlap | None:
    """The known overlap of two sources, in either order; None where none is known."""
    return _OF_PAIR.get(frozenset((a, b)))


def overlaps(names: Iterable[str]) -> list[Overlap]:
    """All known overlaps among these sources.

    Example:
        >>> [(overlap.a, overlap.b) for overlap in overlaps(["mimic", "nih", "edema"])]
        [('edema', 'mimic')]
    """
    found = [overlap_of(a, b) for a, b in combinations(sorted(set(names)), 2)]
    return [overlap for overlap in found if overlap is not None]


def seen_images(
    overlap: Overlap, target: Iterable[tuple[str, str, str]], pretraining: Iterable[tuple[str, str]]
) -> list[str]:
    """Ids of target images that pretraining may have seen, to leave out.

    Args:
        overlap: of the target's source and the pretraining's.
        target: (image_id, patient_id, source) of the images to test on.
        pretraining: (patient_id, source) of the images pretrained on.

    Returns:
        The images of the two sources whose patients are on both sides, and those of which nothing tells whether they are.
    """
    sources = {overlap.a, overlap.b}
    there = {(patient, source) for patient, source in pretraining if source in sources}
    known = {source: {patient for patient, of in there if of == source} for source in sources}
    # Where pretraining has patients without a comparable id, any image of the other source may be theirs.
    doubtful = {
        overlap.other(source)
        for source, patients in known.items()
        if not all(patient.startswith(overlap.known_by) for patient in patients)
    }
    found = []
    for image, patient, source in target:
        if source not in sources or not known[overlap.other(source)]:
            continue
        others = known[overlap.other(source)]
        is_comparable = patient.startswith(overlap.known_by) and source not in doubtful
        if overlap.match is None or patient in others or not is_comparable:
            found.append(image)
    return found
