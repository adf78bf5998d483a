"""One patient's chest as numbers, one exposure of it, and the curves that follow from both and from the signs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hilum.sources.phantom.canvas import Plane, Points, curve, soft_min
from hilum.sources.phantom.signs import SIDE_SIGN, Sign


@dataclass(frozen=True)
class Anatomy:
    """What stays the same in all pictures of a patient. Lengths are in body units (see `canvas`)."""

    seed: int
    age_years: int
    sex: str  # "F" or "M"
    chest_width: float
    chest_length: float
    heart_width: float
    aorta: float  # 0 small and smooth, 1 unfolded and prominent
    breast: float
    fat: float
    rib_drop: float  # how steeply the ribs fall towards the side
    rib_spacing: float

    @classmethod
    def random(cls, seed: int) -> Anatomy:
        """A plausible adult; the same seed gives the same one."""
        rng = np.random.default_rng([seed, 1])
        sex = "F" if rng.random() < 0.48 else "M"
        age = int(np.clip(rng.normal(58, 17), 18, 94))
        return cls(
            seed=seed,
            age_years=age,
            sex=sex,
            chest_width=float(rng.normal(0.96 if sex == "F" else 1.0, 0.04)),
            chest_length=float(rng.normal(0.98 if sex == "F" else 1.01, 0.045)),
            heart_width=float(rng.normal(1.0 + (age - 58) * 0.0012, 0.05)),
            aorta=float(np.clip(0.35 + (age - 55) * 0.012 + rng.normal(0, 0.12), 0, 1)),
            breast=float(np.clip(rng.normal(0.6, 0.25), 0.15, 1)) if sex == "F" else 0.0,
            fat=float(np.clip(rng.normal(0.4, 0.2), 0, 1)),
            rib_drop=float(rng.normal(0.30, 0.035)),
            rib_spacing=float(rng.normal(0.180, 0.005)),
        )


@dataclass(frozen=True)
class Pose:
    """How one picture was taken: the view, the breath, and the small faults of positioning."""

    view: str = "pa"  # pa, ap, ap_supine or lateral
    inspiration: float = 0.0  # body units the diaphragm stands lower (+) or higher (-)
    rotation: float = 0.0
    zoom: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    exposure: float = 0.0
    seed: int = 0

    @classmethod
    def random(cls, view: str, seed: int) -> Pose:
        """The usual scatter of positioning for a view."""
        rng = np.random.default_rng([seed, 2])
        portable = view in ("ap", "ap_supine")
        return cls(
            view=view,
            inspiration=float(rng.normal(-0.10 if portable else 0.0, 0.05)),
            rotation=float(rng.normal(0, 0.035 if portable else 0.015)),
            zoom=float(rng.normal(1.04 if portable else 1.0, 0.03)),
            shift_x=float(rng.normal(0, 0.03 if portable else 0.015)),
            shift_y=float(rng.normal(0, 0.03 if portable else 0.02)),
            exposure=float(rng.normal(0, 0.035)),
            seed=seed,
        )

    @property
    def is_portable(self) -> bool:
        """Whether the tube stood in front of the patient (AP), which magnifies the heart."""
        return self.view in ("ap", "ap_supine")


HEART_GROWTH = (0.0, 0.17, 0.26, 0.36)  # of the left border, by grade
MEDIASTINUM_GROWTH = (0.0, 0.10, 0.15, 0.21)
LIFT_BY_ATELECTASIS = (0.0, 0.06, 0.13, 0.22)


class Outline:
    """The borders of one frontal picture: chest wall, mediastinum and heart, diaphragm, apices."""

    def __init__(self, anatomy: Anatomy, pose: Pose, signs: tuple[Sign, ...] = ()) -> None:
        self.anatomy, self.pose = anatomy, pose
        self.turn = pose.rotation
        self._heart = anatomy.heart_width * (1.13 if pose.is_portable else 1.0)
        self._left_growth = self._right_growth = self._wide = 0.0
        self._lift = {"left": 0.0, "right": 0.0}
        for sign in signs:
            if sign.finding == "Cardiomegaly":
                self._left_growth = HEART_GROWTH[sign.grade]
                self._right_growth = 0.35 * HEART_GROWTH[sign.grade]
            elif sign.finding == "Enlarged Cardiomediastinum":
                self._wide = MEDIASTINUM_GROWTH[sign.grade]
            elif sign.finding == "Atelectasis":
                for side in sign.sides:
                    self._lift[side] = LIFT_BY_ATELECTASIS[sign.grade]

    def wall(self, y: Points) -> Plane:
        """Half-width of the inner chest wall at height y."""
        a = self.anatomy
        knots = [
            (-0.1, 0.30),
            (0.0, 0.42),
            (0.12, 0.565),
            (0.3, 0.70),
            (0.55, 0.815),
            (0.85, 0.90),
            (1.2, 0.955),
            (1.6, 0.98),
            (2.1, 0.96),
        ]
        return curve([(p * a.chest_length, v * a.chest_width) for p, v in knots], y)

    def mediastinum(self, side: str, y: Points) -> Plane:
        """Distance of the heart's or the mediastinum's border from the midline on one side, at height y."""
        a, h, length = self.anatomy, self._heart, self.anatomy.chest_length
        if side == "right":
            wide = self._wide * 0.9
            grow = self._right_growth + 0.03 * (h - 1)
            knots = [
                (-0.3, 0.16), (0.05, 0.13 + 0.3 * wide), (0.25, 0.145 + 0.9 * wide), (0.55, 0.155 + wide),
                (0.8, 0.165 + 0.8 * wide),
                (0.98, 0.20 + 0.4 * grow + 0.25 * wide), (1.15, 0.275 * h + 0.9 * grow), (1.35, 0.315 * h + grow),
                (1.55, 0.285 * h + grow), (1.75, 0.20 + 0.7 * grow), (2.1, 0.15),
            ]  # fmt: skip
        else:
            knob, wide, grow = a.aorta, self._wide, self._left_growth
            knots = [
                (-0.3, 0.15), (0.05, 0.125 + 0.3 * wide), (0.25, 0.14 + 0.9 * wide), (0.42, 0.175 + 0.05 * knob + wide),
                (0.52, 0.225 + 0.10 * knob + 1.1 * wide), (0.64, 0.19 + 0.06 * knob + wide), (0.73, 0.155 + 0.9 * wide),
                (0.86, 0.215 + 0.7 * wide + 0.15 * grow), (1.0, 0.255 * h + 0.3 * wide + 0.35 * grow),
                (1.2, 0.40 * h + 0.75 * grow),
                (1.42, 0.525 * h + grow), (1.58, 0.55 * h + grow), (1.72, 0.50 * h + 0.95 * grow), (1.85, 0.36 * h + 0.7 * grow),
                (2.1, 0.2),
            ]  # fmt: skip
        turn = self.turn if side == "left" else -self.turn
        border = curve([(p * length, v) for p, v in knots], y) + np.float32(turn)
        return soft_min(border, self.wall(y) - np.float32(0.05))

    def diaphragm(self, side: str, x: Points) -> Plane:
        """Height of the dome at |x| on one side: highest in the middle, falling to the costophrenic angle."""
        a = self.anatomy
        dome = 1.70 * a.chest_length + self.pose.inspiration - self._lift[side] + (0.075 if side == "left" else 0.0)
        away = np.abs(x) - np.float32(0.44)
        lateral = np.where(away > 0, away / np.float32(max(0.3, a.chest_width - 0.44)), away / np.float32(0.55))
        fall = np.where(away > 0, 0.24 * lateral**2 + 0.12 * lateral**5, 0.15 * lateral**2)
        return (dome + fall).astype(np.float32)

    def dome(self, side: str) -> float:
        """Height of the top of the dome."""
        return float(self.diaphragm(side, np.array([0.44]))[0])

    def apex(self, x: Points) -> Plane:
        """Height of the lung's upper end at |x|."""
        return (np.float32(0.0) + np.float32(1.15) * (np.abs(x) - np.float32(0.33)) ** 2).astype(np.float32)

    def spot(self, side: str, across: float, down: float) -> tuple[float, float]:
        """A point of one lung: `across` 0 at the mediastinum to 1 at the wall, `down` 0 at the apex to 1 at the dome."""
        y = 0.08 + down * (self.dome(side) - 0.12)
        at = np.array([y])
        inner, outer = float(self.mediastinum(side, at)[0]), float(self.wall(at)[0])
        return SIDE_SIGN[side] * (inner + across * (outer - inner)), y
