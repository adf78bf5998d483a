"""A synthetic patient over time: which signs are there in which study, and from which views it was seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hilum.sources.phantom.anatomy import Anatomy, Pose
from hilum.sources.phantom.signs import Sign, truth_of

CHRONIC = {
    "Cardiomegaly": 0.16,
    "Enlarged Cardiomediastinum": 0.13,
    "Lung Lesion": 0.13,
    "Pleural Other": 0.12,
    "Fracture": 0.12,
}
ACUTE = {
    "Edema": 0.13,
    "Lung Opacity": 0.07,
    "Consolidation": 0.12,
    "Pneumonia": 0.11,
    "Atelectasis": 0.15,
    "Pneumothorax": 0.11,
    "Pleural Effusion": 0.16,
}
HEALTHY = 0.16  # patients whose every study is normal
GRADE_ODDS = (0.32, 0.42, 0.26)
MAX_STUDIES = 4


@dataclass(frozen=True)
class Picture:
    """One image of a study."""

    pose: Pose
    uid_number: int


@dataclass(frozen=True)
class Study:
    """One visit: what is there, what changed since the last one, and the pictures taken."""

    number: int
    days: int  # since the patient's first study
    age_years: int
    signs: tuple[Sign, ...]
    before: tuple[Sign, ...] | None  # of the previous study; None for the first
    pictures: tuple[Picture, ...]

    @property
    def truth(self) -> dict[str, int]:
        """0 or 1 for each truth column."""
        return truth_of(self.signs)


@dataclass(frozen=True)
class Patient:
    """One synthetic patient.

    Example:
        >>> patient = Patient.random(seed=0, index=3)
        >>> patient == Patient.random(seed=0, index=3)
        True
    """

    seed: int
    index: int
    anatomy: Anatomy
    studies: tuple[Study, ...]

    @classmethod
    def random(cls, seed: int, index: int) -> Patient:
        """Patient `index` of the world `seed`: the same whatever else is generated."""
        rng = np.random.default_rng([seed, index, 71])
        anatomy = Anatomy.random(int(rng.integers(2**31)))
        n_studies = int(rng.choice(np.arange(1, MAX_STUDIES + 1), p=[0.42, 0.30, 0.17, 0.11]))
        healthy = rng.random() < HEALTHY
        chronic = [] if healthy else [_new_sign(f, rng) for f, odds in CHRONIC.items() if rng.random() < odds]
        if not healthy and rng.random() < 0.11:
            chronic.append(_device(str(rng.choice(["pacemaker", "sternal wires"])), "left", rng))
        studies: list[Study] = []
        acute: list[Sign] = []
        days = 0
        for number in range(n_studies):
            if number:
                days += int(rng.choice([1, 2, 4, 9, 30, 120, 400]))
            acute = [] if healthy else _acute_next(acute, [s.finding for s in chronic], rng)
            signs = tuple(chronic + acute)
            sick = sum(sign.grade for sign in acute) + 2 * any(s.kind == "endotracheal tube" for s in acute)
            studies.append(
                Study(
                    number=number,
                    days=days,
                    age_years=anatomy.age_years + days // 365,
                    signs=signs,
                    before=studies[-1].signs if studies else None,
                    pictures=_pictures(sick, rng),
                )
            )
        return cls(seed, index, anatomy, tuple(studies))


def _acute_next(now: list[Sign], chronic: list[str], rng: np.random.Generator) -> list[Sign]:
    """What becomes of the acute signs until the next study: some resolve, some change grade, some are new."""
    kept = []
    for sign in now:
        fate = rng.random()
        if fate < 0.30:
            continue
        grade = sign.grade - 1 if fate < 0.50 else sign.grade + 1 if fate > 0.88 else sign.grade
        if sign.finding == "Support Devices":
            grade = sign.grade
        if grade >= 1:
            kept.append(replace(sign, grade=min(3, grade)))
    have = {sign.finding for sign in kept}
    calm = 0.6 if now else 1.0
    for finding, odds in ACUTE.items():
        if "Cardiomegaly" in chronic and finding in ("Edema", "Pleural Effusion"):
            odds *= 1.6
        if "Edema" in have and finding == "Pleural Effusion":
            odds *= 1.5
        if finding not in have and rng.random() < odds * calm:
            kept.append(_new_sign(finding, rng, avoid=kept))
            have.add(finding)
    kinds = {sign.kind for sign in kept}
    if "Pneumothorax" in have and "chest tube" not in kinds and rng.random() < 0.30:
        side = next(sign.side for sign in kept if sign.finding == "Pneumothorax")
        kept.append(_device("chest tube", side, rng))
    if sum(s.grade for s in kept) >= 4 and "endotracheal tube" not in kinds and rng.random() < 0.25:
        kept.append(_device("endotracheal tube", "midline", rng))
    if have and "central line" not in kinds and rng.random() < 0.08:
        kept.append(_device("central line", str(rng.choice(["left", "right"])), rng))
    return kept


def _new_sign(finding: str, rng: np.random.Generator, avoid: list[Sign] | tuple[Sign, ...] = ()) -> Sign:
    """A fresh sign with side, grade and place as they usually come."""
    one_side = str(rng.choice(["left", "right"], p=[0.46, 0.54]))
    both = {"Pleural Effusion": 0.30, "Atelectasis": 0.30, "Pneumonia": 0.25, "Lung Opacity": 0.2}.get(finding, 0.0)
    side = "bilateral" if finding == "Edema" or rng.random() < both else one_side
    if finding in ("Cardiomegaly", "Enlarged Cardiomediastinum"):
        side = "midline"
    if finding == "Pneumothorax":  # air and fluid on one side would hide each other
        wet = [s.side for s in avoid if s.finding in ("Pleural Effusion", "Consolidation")]
        side = "left" if "right" in wet else "right" if "left" in wet else one_side
    zone = ""
    if finding in ("Lung Opacity", "Lung Lesion", "Consolidation", "Pneumonia"):
        odds = [0.4, 0.3, 0.3] if finding == "Lung Lesion" else [0.25, 0.2, 0.55]
        zone = str(rng.choice(["upper", "middle", "lower"], p=odds))
    grade = int(rng.choice([1, 2, 3], p=GRADE_ODDS))
    return Sign(finding, side, grade, zone, "", int(rng.integers(2**31)))


def _device(kind: str, side: str, rng: np.random.Generator) -> Sign:
    if kind == "sternal wires":
        side = "midline"
    return Sign("Support Devices", side, 2, "", kind, int(rng.integers(2**31)))


def _pictures(sick: int, rng: np.random.Generator) -> tuple[Picture, ...]:
    """The views of a study: the sicker, the more often portable."""
    portable = rng.random() < min(0.85, 0.08 + 0.13 * sick)
    if portable:
        views = ["ap_supine" if rng.random() < 0.25 else "ap"]
        if rng.random() < 0.08:
            views.append("ap")
    else:
        views = ["pa"] + (["lateral"] if rng.random() < 0.45 else [])
    return tuple(Picture(Pose.random(view, int(rng.integers(2**31))), int(rng.integers(10**9))) for view in views)
