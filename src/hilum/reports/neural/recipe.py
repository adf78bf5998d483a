"""The settings of a labeler's training, as data: CheXbert's by default, `tiny` for two CPU cores."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hilum.errors import RecipeError


class LabelerRecipe(BaseModel):
    """Smit et al. 2020, section 3: BERT-base, labels of the rules first, then labels of experts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocabulary: int = Field(30522, ge=100, description="WordPiece tokens, when the encoder is trained from scratch")
    layers: int = Field(12, ge=1, description="of a scratch encoder")
    width: int = Field(768, ge=8, description="of a scratch encoder")
    attention_heads: int = Field(12, ge=1, description="of a scratch encoder")
    feed_forward: int = Field(3072, ge=8, description="of a scratch encoder")
    max_tokens: int = Field(512, ge=16, description="of one window; longer reports are read in overlapping windows")
    overlap_tokens: int = Field(64, ge=0, description="what two windows of a long report share")
    dropout: float = Field(0.1, ge=0, lt=1, description="before the heads and in a scratch encoder")
    freeze_embeddings: bool = Field(False, description="leave the encoder's embeddings as they are")

    batch_size: int = Field(18, ge=1, description="reports a step")
    epochs: int = Field(8, ge=1, description="passes over the rule-labeled reports (stage one)")
    learning_rate: float = Field(2e-5, gt=0, description="of stage one")
    gold_epochs: int = Field(8, ge=1, description="passes over the expert-labeled reports (stage two)")
    gold_learning_rate: float = Field(2e-5, gt=0, description="of stage two")
    optimizer: Literal["adam", "adamw"] = Field("adam", description="Adam without weight decay, or AdamW")
    weight_decay: float = Field(0.0, ge=0, description="of AdamW")
    warmup_share: float = Field(0.0, ge=0, lt=1, description="share of a stage's steps in which the rate rises from 0")
    decay: bool = Field(False, description="let the rate fall to 0 at the end of a stage")
    clip_norm: float = Field(0.0, ge=0, description="largest norm of the gradient; 0: any")

    balance: Literal["none", "sampling", "effective"] = Field(
        "sampling",
        description="sampling: reports with rare states are drawn more often (CheXbert); "
        "effective: rare states weigh more in the loss (Cui et al. 2019)",
    )
    gold_balance: Literal["none", "sampling", "effective"] = Field("sampling", description="the same, for stage two")
    compose: float = Field(
        0.0, ge=0, description="reports composed from the sentences of others and labeled by the rules, per real report"
    )
    compose_sentences: int = Field(8, ge=1, description="most sentences of a composed report")
    replay: float = Field(0.0, ge=0, description="rule-labeled reports per expert-labeled one in stage two")
    blend: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of stage two's weights in the labeler, the rest are those it started from (Wortsman et al. 2022)",
    )
    swap: float = Field(
        0.0, ge=0, le=1, description="share of stage two's composed sentences in which another finding is named"
    )
    join: float = Field(
        0.0, ge=0, description="expert-labeled reports joined with sentences of others, per expert-labeled one"
    )

    held_out: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of reports (by patient in an archive) kept from stage one for early stopping",
    )
    gold_held_out: float = Field(0.1, ge=0, lt=1, description="the same of the experts' reports; 0: all epochs are run")
    select_by: Literal["weighted_f1", "kappa", "accuracy"] = Field(
        "weighted_f1", description="what the best checkpoint is best in, as a mean over findings"
    )
    evaluate_steps: int = Field(2000, ge=1, description="steps between looks at the held-out reports")
    patience: int = Field(5, ge=1, description="looks without a better one before training stops")
    checkpoint_steps: int = Field(500, ge=1, description="steps between states that training can resume from")
    seed: int = Field(0, ge=0, description="of everything random")

    tiny: ClassVar[dict[str, Any]] = {
        "vocabulary": 3000,
        "layers": 2,
        "width": 128,
        "attention_heads": 8,
        "feed_forward": 512,
        "max_tokens": 256,
        "overlap_tokens": 48,
        "batch_size": 32,
        "epochs": 36,
        "learning_rate": 1e-3,
        "gold_epochs": 10,
        "gold_learning_rate": 3e-4,
        "optimizer": "adamw",
        "weight_decay": 0.01,
        "warmup_share": 0.05,
        "decay": True,
        "clip_norm": 1.0,
        "balance": "none",
        "gold_balance": "sampling",
        "compose": 2.0,
        "replay": 10.0,
        "join": 1.0,
        "swap": 0.5,
        "blend": 0.25,
        "gold_held_out": 0.0,
        "evaluate_steps": 500,
        "patience": 8,
        "checkpoint_steps": 250,
    }

    @classmethod
    def resolve(cls, settings: Iterable[str] = (), tiny: bool = False) -> Self:
        """The recipe with `key=value` settings applied.

        Raises:
            RecipeError: a key does not exist (the closest is named), or a value is out of range.

        Example:
            >>> LabelerRecipe.resolve(["epochs=3"]).epochs
            3
        """
        values: dict[str, Any] = dict(cls.tiny) if tiny else {}
        for setting in settings:
            key, equals, value = (part.strip() for part in setting.partition("="))
            if not equals:
                raise RecipeError(f"labeler setting {setting!r} is not of the form key=value.")
            if key not in cls.model_fields:
                close = difflib.get_close_matches(key, cls.model_fields, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise RecipeError(f"the labeler's recipe has no setting {key!r}.{hint}")
            values[key] = value
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}" for e in error.errors()]
            raise RecipeError("the labeler's recipe: " + "; ".join(wrong)) from None

    def describe(self) -> list[tuple[str, Any, str]]:
        """(setting, value, what it means) for every setting, in order."""
        return [(k, getattr(self, k), f.description or "") for k, f in type(self).model_fields.items()]
