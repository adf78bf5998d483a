"""Recipes: a method's settings as typed, frozen data, with the paper's values as defaults."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hilum.errors import RecipeError
from hilum.methods.schedule import Place, cosine, cosine_squared, linear, milestones, plateau, warm_up


class Recipe(BaseModel):
    """Base of all recipes: how a run is trained. Defaults of a method's recipe are the paper's.

    `tiny` is what two CPU cores train in minutes; `variants` are named changes, such as a sibling method's settings.
    Unknown settings fail, with a suggestion.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    paper: ClassVar[str]
    tiny: ClassVar[dict[str, Any]] = {}
    variants: ClassVar[dict[str, dict[str, Any]]] = {}

    text_policy: str | None = Field(None, description="which text of a report; none: the archive's own policy")
    texts: tuple[str, ...] = Field(
        (),
        description="one for each of several archives, in order: a text policy; cxr-clip also takes prompts, for texts from labels",
    )
    weights: tuple[float, ...] = Field(
        (), description="one for each of several archives: how often an epoch passes over it (default 1 each)"
    )
    batch_size: int = Field(64, gt=1, description="examples in a step over all devices")
    epochs: float = Field(1, gt=0, description="passes over the training examples")
    optimizer: Literal["sgd", "adam", "adamw"] = Field("adamw", description="adam: weight decay in the gradient (L2)")
    learning_rate: float = Field(1e-4, gt=0, description="the highest rate; the schedule is a factor on it")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD")
    betas: tuple[float, float] = Field((0.9, 0.999), description="of Adam and AdamW")
    eps: float = Field(1e-8, gt=0, description="of Adam and AdamW")
    weight_decay: float = Field(0.0, ge=0, description="on weights")
    decay_all: bool = Field(False, description="decay biases and norms too")
    schedule: Literal["constant", "cosine", "cosine-squared", "linear", "steps", "plateau"] = Field(
        "constant", description="of the learning rate; plateau halves it when the validation loss stays"
    )
    warmup: float = Field(0.0, ge=0, lt=1, description="share of the steps with a linear warm-up")
    milestones: tuple[int, ...] = Field((), description="epochs after which schedule=steps divides the rate by ten")
    plateau_patience: int = Field(5, ge=0, description="validations without progress before schedule=plateau halves it")
    clip_norm: float | None = Field(None, gt=0, description="largest gradient norm")
    chunk: int | None = Field(
        None,
        gt=0,
        description="examples encoded at once on a device; fewer than its share of the batch: gradient caching",
    )
    validate_every: int = Field(100, gt=0, description="steps between validations; the best is kept")
    validation_images: int = Field(2000, gt=1, description="most examples of the split 'val' a validation looks at")

    def rate(self, place: Place) -> float:
        """The factor on the learning rate at a place of the run."""
        if self.schedule == "cosine-squared":
            return cosine_squared(place, round(self.warmup * place.steps))
        if self.schedule == "linear":
            return linear(place, round(self.warmup * place.steps))
        warm = int(self.warmup * place.steps)
        rising = warm_up(place.step, warm)
        if rising is not None:
            return rising
        if self.schedule == "cosine":
            return cosine(place, warm)
        if self.schedule == "steps":
            return milestones(place.epoch, self.milestones)
        if self.schedule == "plateau":
            return plateau(place.losses, patience=self.plateau_patience)
        return 1.0

    @classmethod
    def resolve(cls, settings: Iterable[str] = (), tiny: bool = False, variant: str | None = None) -> Self:
        """The recipe with `key=value` settings applied.

        Args:
            settings: texts such as `batch_size=128`; values are read as the field's type, several with commas.
            tiny: start from the tiny variant.
            variant: a key of `variants`, applied before tiny.

        Raises:
            RecipeError: a key does not exist (the closest is named), or a value is out of range.
        """
        if variant is not None and variant not in cls.variants:
            known = ", ".join(cls.variants) or "none"
            raise RecipeError(f"recipe {cls.name} has no variant '{variant}'. There are: {known}.")
        values: dict[str, Any] = dict(cls.variants[variant]) if variant is not None else {}
        values |= cls.tiny if tiny else {}
        for setting in settings:
            key, equals, value = setting.partition("=")
            if not equals:
                raise RecipeError(f"recipe {cls.name}: '{setting}' is not of the form key=value.")
            key = key.strip()
            if key not in cls.model_fields:
                close = difflib.get_close_matches(key, cls.model_fields, n=1, cutoff=0.5)
                hint = f" Did you mean '{close[0]}'?" if close else ""
                raise RecipeError(f"recipe {cls.name} has no setting '{key}'.{hint}  See: hilum recipe show {cls.name}")
            may_be_none = type(None) in get_args(cls.model_fields[key].annotation)
            values[key] = None if may_be_none and value.strip().lower() == "none" else _read(cls, key, value.strip())
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}" for e in error.errors()]
            raise RecipeError(f"recipe {cls.name}: " + "; ".join(lines)) from None

    def describe(self) -> list[tuple[str, Any, str]]:
        """(setting, value, what it means) for every setting, in order."""
        return [(k, getattr(self, k), f.description or "") for k, f in type(self).model_fields.items()]


def _read(recipe: type[Recipe], key: str, value: str) -> Any:
    """A setting's text; several values, with commas or as JSON, where the field holds several."""
    kinds = [recipe.model_fields[key].annotation, *get_args(recipe.model_fields[key].annotation)]
    if not any(get_origin(kind) in (tuple, list, dict) for kind in kinds):
        return value
    if value.startswith(("[", "{")):
        try:
            return json.loads(value)
        except json.JSONDecodeError as error:
            raise RecipeError(f"recipe {recipe.name}: {key}={value!r} is no JSON ({error}).") from None
    return [part.strip() for part in value.split(",") if part.strip()]
