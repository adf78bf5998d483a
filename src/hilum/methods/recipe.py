"""Recipes: a method's settings as typed, frozen data, with the paper's values as defaults."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from hilum.errors import RecipeError


class Recipe(BaseModel):
    """Base of all recipes. Defaults are the paper's; `tiny` is what two CPU cores train in minutes.

    Unknown settings fail, with a suggestion.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    paper: ClassVar[str]
    tiny: ClassVar[dict[str, Any]] = {}

    @classmethod
    def resolve(cls, settings: Iterable[str] = (), tiny: bool = False) -> Self:
        """The recipe with `key=value` settings applied.

        Args:
            settings: texts such as `batch_size=128`; values are read as the field's type.
            tiny: start from the tiny variant.

        Raises:
            RecipeError: a key does not exist (the closest is named), or a value is out of range.
        """
        values: dict[str, Any] = dict(cls.tiny) if tiny else {}
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
            values[key] = None if may_be_none and value.strip().lower() == "none" else value.strip()
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}" for e in error.errors()]
            raise RecipeError(f"recipe {cls.name}: " + "; ".join(lines)) from None

    def describe(self) -> list[tuple[str, Any, str]]:
        """(setting, value, what it means) for every setting, in order."""
        return [(k, getattr(self, k), f.description or "") for k, f in type(self).model_fields.items()]
