"""What is asked of a model, in which way, and what the map says about itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.tasks.explaining.planted import model_of, pictures

from hilum.errors import HilumError, UsageError
from hilum.models import (
    ClipTokenizer,
    ImageTextArchitecture,
    ImageTextEncoder,
    LongerSidePadCrop,
    Model,
    ShorterSideCrop,
    WordPieceTokenizer,
    text_tower_named,
    tower_named,
)
from hilum.models.gloria import GloriaArchitecture, GloriaEncoder
from hilum.tasks.explaining import Heatmap, explain, explain_with

REPORTS = [
    "Left pleural effusion. No pneumothorax.",
    "Cardiomegaly. The lungs are clear.",
    "Normal chest radiograph",
] * 3
IMAGE = pictures(1, 0)[0][0]


@pytest.fixture(scope="module")
def clip() -> Model:
    model = model_of("clip-vit")
    return Model(model.encoder, model.preprocess, ClipTokenizer(), {"name": "clip"}, device="cpu")


def text_parts() -> tuple[WordPieceTokenizer, dict]:
    tokenizer = WordPieceTokenizer.learned_from(REPORTS, 80, context_length=24, cleaning="words")
    text = text_tower_named("bert-tiny", vocab_size=tokenizer.size, width=32, heads=2, layers=4, positions=24)
    torch.manual_seed(0)
    return tokenizer, {"text_tower": text}


@pytest.fixture(scope="module")
def gloria() -> Model:
    tokenizer, text = text_parts()
    encoder = GloriaEncoder(
        GloriaArchitecture(
            image_tower=tower_named("resnet-tiny"), upsample_px=75, slots=24, last_id=tokenizer.last_id, **text
        )
    )
    encoder.set_vocabulary(tokenizer)
    return Model(encoder, LongerSidePadCrop(canvas_px=64, resize_px=73), tokenizer, {"name": "gloria"}, device="cpu")


def image_text(tower: str) -> Model:
    tokenizer, text = text_parts()
    encoder = ImageTextEncoder(
        ImageTextArchitecture(image_tower=tower_named(tower, 64), embed_dim=32, pooling="cls", **text)
    )
    return Model(encoder, ShorterSideCrop(canvas_px=64), tokenizer, {"name": "image-text"}, device="cpu")


def test_the_map_is_as_large_as_the_image_and_empty_where_it_was_cut(clip: Model) -> None:
    heatmap = explain(clip, IMAGE, "edema")
    assert heatmap.values.shape == IMAGE.shape
    assert heatmap.values.dtype == np.float32
    assert np.isnan(heatmap.values[:8]).all()  # 80 x 64: the shorter side fits, 8 rows are cut at both ends
    assert np.isnan(heatmap.values[-8:]).all()
    assert not np.isnan(heatmap.values[8:-8]).any()
    row, column = heatmap.peak
    assert heatmap.values[row, column] == heatmap.high == np.nanmax(heatmap.values)


def test_a_text_is_asked_for_against_normal_radiographs_unless_told(clip: Model) -> None:
    default, alone = explain(clip, IMAGE, "pleural effusion"), explain(clip, IMAGE, "pleural effusion", against="")
    vector = clip.embed_images(IMAGE)[0]
    (asked,) = clip.embed_texts(["Pleural Effusion"])
    assert default.against == "normal radiographs"
    assert alone.against == ""
    assert alone.score == pytest.approx(float(vector @ asked), abs=1e-5)
    other = explain(clip, IMAGE, "pleural effusion", against="no pleural effusion")
    (opposed,) = clip.embed_texts(["no pleural effusion"])
    assert other.score == pytest.approx(float(vector @ (asked - opposed)), abs=1e-5)
    assert explain(clip, IMAGE, "normal").against == "abnormal radiographs"


def test_image_text_models_explain_by_gradient(clip: Model) -> None:
    for model in (clip, image_text("swin-micro"), image_text("resnet-tiny")):
        heatmap = explain(model, IMAGE, "left effusion")
        assert heatmap.how == "gradient"
        assert heatmap.low == 0
        assert np.nanstd(heatmap.values) > 0


def test_patch_similarity_is_the_cosine_of_each_projected_patch() -> None:
    model = image_text("vit-tiny")
    heatmap = explain(model, IMAGE, "left effusion", how="patches", against="")
    images = model.preprocess(IMAGE)
    with torch.no_grad():
        grid = model.encoder.image_tower.feature_maps(images).local  # type: ignore[union-attr, operator]
        vectors = model.encoder.image_projection(grid.flatten(2).transpose(1, 2))  # type: ignore[operator]
        cosines = F.normalize(vectors, dim=-1)[0] @ torch.from_numpy(model.embed_texts(["left effusion"])[0])
    # 8 x 8 patches of 8 pixels; a patch's center, in the image, which begins 8 rows above the canvas
    assert heatmap.values[8 + 4, 4:64:8] == pytest.approx(cosines[:8].numpy(), abs=0.02)
    assert heatmap.high <= cosines.max() + 1e-5


def test_patches_and_words_need_their_kind_of_model(clip: Model, gloria: Model) -> None:
    explain(clip, IMAGE, "edema", how="patches")
    with pytest.raises(UsageError, match="vision transformer"):
        explain(gloria, IMAGE, "edema", how="patches")
    with pytest.raises(UsageError, match="only GLoRIA"):
        explain(clip, IMAGE, "edema", how="words")


def test_gloria_explains_by_words_and_its_map_is_their_dot_product_with_regions(gloria: Model) -> None:
    heatmap = explain(gloria, IMAGE, "left pleural effusion", against="")
    assert heatmap.how == "words"
    encoder = gloria.encoder
    assert isinstance(encoder, GloriaEncoder)
    with torch.no_grad():
        regions = encoder.local_features(gloria.preprocess(IMAGE))[0]  # (D, h, w)
        words = encoder.word_features(torch.from_numpy(gloria.tokenizer(["left pleural effusion"])))
    by_hand = np.zeros(regions.shape[1:])
    for slot in range(1, 4):
        for row, column in np.ndindex(by_hand.shape):
            by_hand[row, column] += float(words.features[0, :, slot] @ regions[:, row, column]) / 3
    assert heatmap.high <= by_hand.max() + 1e-3
    assert np.nanmin(heatmap.values) >= by_hand.min() - 1e-3
    # The image becomes 73 x 58; the cut begins 4 rows below its first and 3 columns left of it. The tower sees the 64 pixels of
    # the cut as 75, corners aligned, and centers its cell i on pixel 8 i of these.
    row, column = 4, 4
    y = (row * 8 * 63 / 74 + 0.5 + 4) * 80 / 73 - 0.5
    x = (column * 8 * 63 / 74 + 0.5 - 3) * 64 / 58 - 0.5
    assert heatmap.values[round(y), round(x)] == pytest.approx(by_hand[row, column], abs=0.35 * by_hand.std())


def test_attention_of_one_word_is_not_the_same_everywhere(gloria: Model) -> None:
    heatmap = explain(gloria, IMAGE, "cardiomegaly", how="attention")
    assert np.nanstd(heatmap.values) > 0
    assert heatmap.against == ""


def test_wrong_calls_are_told() -> None:
    model = model_of("resnet-tiny")
    with pytest.raises(UsageError, match="expected auto, words"):
        explain(model, IMAGE, "edema", how="saliency")
    with pytest.raises(UsageError, match="phrase is empty"):
        explain(model, IMAGE, "  ")
    with pytest.raises(HilumError, match="no text tower"):
        explain(model, IMAGE, "edema")


def test_several_models_give_the_mean_of_their_maps(clip: Model) -> None:
    one: Heatmap = explain(clip, IMAGE, "edema")
    both = explain_with([(clip, None), (clip, None)], IMAGE, "edema")
    assert np.allclose(both.values, one.values, atol=1e-6, equal_nan=True)
    assert both.note.startswith("Mean of 2 models")
