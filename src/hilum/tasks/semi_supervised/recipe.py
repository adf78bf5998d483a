"""The settings of S2MTS2's second stage (Liu et al. 2021; the authors' scripts where the paper is silent)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from hilum.imaging.augment import GaussianBlur, HorizontalFlip, Jitter, Plan, RandomResizedCrop, Rotate
from hilum.methods.recipe import Recipe


class SemiSupervised(Recipe):
    """Few labels and many images: a mean teacher (script for CheXpert), or two students (script for ChestX-ray14)."""

    name: ClassVar[str] = "semi-supervised"
    paper: ClassVar[str] = "Liu et al. 2021, arXiv 2103.03629"

    objective: Literal["mean-teacher", "two-students"] = Field(
        "mean-teacher",
        description="mean-teacher: labels, and agreement with a teacher on images without; two-students: each learns from "
        "labels and from the history of what the other's teacher said",
    )
    ema: float = Field(0.999, ge=0, le=1, description="share of itself that a teacher keeps in a step (script)")
    consistency: float = Field(
        1.0, ge=0, description="weight of agreement on images without labels, at the end (script: 1)"
    )
    history_beta: float = Field(0.9, ge=0, lt=1, description="share of the history that is kept each time (script)")
    history_weight: float = Field(3.0, ge=0, description="weight of the pull towards the history (script)")
    views: Literal["weak", "strong"] = Field(
        "weak", description="of the students: weak: crop and mirror (script); strong: also gray, rotation, blur"
    )
    compat: bool = Field(
        False,
        description="as the scripts: mean-teacher loses the pretrained weights to a teacher that never had them; "
        "two-students' teachers start without them, and images without labels are not used; counters of batches stay",
    )
    teacher_init: str = Field("random", description="what teachers start from under compat; script: 'imagenet'")
    batch_size: int = Field(64, gt=1, description="labeled images in a step, and as many without (script)")
    epochs: float = Field(30, gt=0, description="passes over all training images (script)")
    optimizer: Literal["sgd", "adam", "adamw"] = Field("adamw", description="script for CheXpert")
    learning_rate: float = Field(0.05, gt=0, description="script")
    betas: tuple[float, float] = Field((0.9, 0.99), description="script")
    eps: float = Field(0.1, gt=0, description="script; so large that Adam behaves much like SGD")
    schedule: Literal["constant", "cosine", "cosine-squared", "linear", "steps", "plateau"] = Field(
        "cosine", description="of the learning rate (script)"
    )

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "two-students": {"objective": "two-students", "optimizer": "adam", "batch_size": 16}
    }
    tiny: ClassVar[dict[str, Any]] = {"ema": 0.98, "batch_size": 32, "epochs": 10}

    def plan(self, side_px: int, strong: bool) -> Plan:
        """The augmentation of a view."""
        crop, mirror = RandomResizedCrop((0.2, 1.0)), HorizontalFlip(0.5)
        if not strong:
            return (crop, mirror)
        blur = GaussianBlur((0.1 * side_px / 256, 2.0 * side_px / 256), 0.5)
        return (crop, Jitter(0.4, 0.4, 0.4, 0.4, p=0.8), Rotate(45), blur, mirror)
