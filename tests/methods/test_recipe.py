"""Settings of a recipe are read from text, refused with a suggestion, and changed by variants."""

from __future__ import annotations

import json

import pytest

from hilum.errors import RecipeError
from hilum.methods import METHODS
from hilum.methods.cxr_clip import CXRCLIP

RECIPES = [entry.recipe for entry in METHODS.values()]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_variant_of_every_method_resolves_with_and_without_tiny(recipe: type) -> None:
    for variant in (None, *recipe.variants):
        whole = recipe.resolve(variant=variant)
        changed = {key: getattr(whole, key) for key in recipe.variants.get(variant, {})}
        assert json.dumps(changed, default=list) == json.dumps(recipe.variants.get(variant, {}), default=list)
        small = recipe.resolve(variant=variant, tiny=True)
        assert recipe.model_validate(small.model_dump(mode="json")) == small


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_setting_says_what_it_means(recipe: type) -> None:
    silent = [name for name, _, meaning in recipe().describe() if not meaning]
    assert silent == []
    assert recipe.paper


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_no_tiny_recipe_asks_for_a_download(recipe: type) -> None:
    small = recipe.resolve(tiny=True)
    assert getattr(small, "init", "random") == "random"
    assert getattr(small, "text_model", "bert-tiny").startswith("bert-")


def test_settings_win_over_tiny_and_tiny_over_a_variant() -> None:
    recipe = CXRCLIP.resolve(["tower=resnet18"], tiny=True, variant="swin-t")
    assert recipe.tower == "resnet18"
    assert CXRCLIP.resolve(tiny=True, variant="swin-t").tower == CXRCLIP.tiny["tower"]
    assert CXRCLIP.resolve(tiny=True, variant="clip").text_weight == 0.0


def test_an_unknown_variant_is_refused_with_those_there_are() -> None:
    with pytest.raises(RecipeError, match=r"recipe cxr-clip has no variant 'c14'\. There are: m, m\+c, m\+c\+c14"):
        CXRCLIP.resolve(variant="c14")
    with pytest.raises(RecipeError, match=r"has no variant 'x'\. There are: none"):
        METHODS["imagenet"].recipe.resolve(variant="x")


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        ("texts=sections,prompts:3", "texts", ("sections", "prompts:3")),
        ('texts=["impression", "both"]', "texts", ("impression", "both")),
        ("texts=", "texts", ()),
        ("weights=1, 0.5", "weights", (1.0, 0.5)),
        ("betas=0.5,0.9", "betas", (0.5, 0.9)),
        ("clip_norm=none", "clip_norm", None),
        ("chunk=32", "chunk", 32),
        (" epochs = 2.5 ", "epochs", 2.5),
        ("decay_all=false", "decay_all", False),
    ],
)
def test_a_value_is_read_as_its_setting_s_type(setting: str, name: str, value: object) -> None:
    assert getattr(CXRCLIP.resolve([setting]), name) == value


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("weight=1", r"has no setting 'weight'\. Did you mean 'weights'"),
        ("texts=[1", "is no JSON"),
        ("weights=a,b", "weights.0: Input should be a valid number"),
        ("schedule=cosinus", "schedule: Input should be 'constant', 'cosine'"),
        ("label_smoothing=1", "label_smoothing: Input should be less than 1"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(setting: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        CXRCLIP.resolve([setting])
