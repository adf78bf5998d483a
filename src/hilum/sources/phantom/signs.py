"""A sign: one observation at one place in one grade, and what a set of signs says in CheXpert's words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SIDE_SIGN = {"right": -1.0, "left": 1.0}
GRADES = ("none", "mild", "moderate", "severe")

# The observations a phantom can show; "No Finding" is the absence of all.
DRAWN = (
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
TRUTH_COLUMNS = ("No Finding", *DRAWN)

# What is seen also counts as: a focal airspace disease is an opacity. Edema, atelectasis and nodules keep their own names.
IMPLIED = {"Consolidation": ("Lung Opacity",), "Pneumonia": ("Lung Opacity",)}


@dataclass(frozen=True)
class Sign:
    """One visible observation.

    Attributes:
        finding: one of `DRAWN`.
        side: "left", "right", "bilateral" or "midline" (the patient's sides).
        grade: 1 mild, 2 moderate, 3 severe; it sets size and contrast.
        zone: "upper", "middle", "lower" or "" where the place follows from the finding.
        kind: which of several looks (a device's name); "" where there is one.
        seed: of the sign's own chance, so that it looks the same in every study of the patient.
    """

    finding: str
    side: str = "midline"
    grade: int = 2
    zone: str = ""
    kind: str = ""
    seed: int = 0

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides it is on: one, or both for a bilateral sign."""
        return ("right", "left") if self.side == "bilateral" else (self.side,) if self.side in SIDE_SIGN else ()


def truth_of(signs: Iterable[Sign]) -> dict[str, int]:
    """0 or 1 for each truth column, from the signs that were drawn.

    Example:
        >>> [name for name, value in truth_of([Sign("Pneumonia", "right")]).items() if value]
        ['Lung Opacity', 'Pneumonia']
    """
    present = {sign.finding for sign in signs}
    present |= {wider for finding in present for wider in IMPLIED.get(finding, ())}
    return {name: int(name in present or (name == "No Finding" and not present)) for name in TRUTH_COLUMNS}
