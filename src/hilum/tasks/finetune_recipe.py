"""The settings of finetuning: the founding study's, and those that are usual today."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from hilum.methods.recipe import Recipe


class Finetune(Recipe):
    """A head on the features, trained by gradients. Defaults are the founding study's settings."""

    name: ClassVar[str] = "finetune"
    paper: ClassVar[str] = "the founding study's protocol; `modern` is ours"

    freeze: bool = Field(False, description="train the head alone: the gradient linear probe")
    batch_size: int = Field(32, gt=1, description="study: 32; the last batch of a pass may be smaller")
    epochs: float = Field(100, gt=0, description="study: 100, whole passes")
    optimizer: Literal["sgd", "adam", "adamw"] = Field("sgd", description="study: SGD without weight decay")
    learning_rate: float = Field(1e-3, gt=0, description="study: 1e-3; of the head, and of the encoder's last layers")
    schedule: Literal["constant", "cosine", "cosine-squared", "linear", "steps", "plateau"] = Field(
        "cosine", description="study: a cosine in the paper; in its code never stepped, which `constant` repeats"
    )
    layer_decay: float = Field(1.0, gt=0, le=1, description="factor on the rate for each layer further from the head")
    ema: float | None = Field(
        None, gt=0, lt=1, description="share of itself that the running mean of the weights keeps"
    )
    augment: Literal["none", "light"] = Field(
        "none", description="study: none; light: shift, zoom, gray, never mirrored"
    )
    select: Literal["weighted", "mean"] = Field(
        "weighted", description="AUROC that chooses the epoch: by prevalence (study's code), or the plain mean"
    )

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "modern": {
            "optimizer": "adamw",
            "learning_rate": 5e-4,
            "weight_decay": 0.05,
            "warmup": 0.1,
            "layer_decay": 0.75,
            "ema": 0.999,
            "clip_norm": 1.0,
            "epochs": 30,
            "augment": "light",
            "select": "mean",
        }
    }
    tiny: ClassVar[dict[str, Any]] = {"epochs": 5}


RECIPES = ("paper", *Finetune.variants)
