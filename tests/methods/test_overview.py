"""The table of methods counts what is built: it equals the numbers of the papers and of real towers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hilum.methods import METHODS
from hilum.methods.overview import Size, overview, size_of
from hilum.models.image_encoder import ImageArchitecture, ImageEncoder
from hilum.models.image_towers import tower_named


@pytest.fixture(scope="module")
def sizes() -> dict[str, Size]:
    return {size.method: size for size in overview()}


@pytest.mark.parametrize(
    ("method", "finetuned", "feature_width"),
    [
        ("moco-cxr", 23_508_032, 2048),
        ("medaug", 23_508_032, 2048),
        ("s2mts2", 6_953_856, 1024),
        ("refers", 85_798_656, 768),
        ("gloria", 23_508_032, 2048),
        ("convirt", 23_508_032, 2048),
        ("chexzero", 87_849_216, 512),
        ("cxr-clip", 23_508_032, 2048),
        ("imagenet", 23_508_032, 2048),
    ],
)
def test_what_finetuning_and_a_probe_train(
    sizes: dict[str, Size], method: str, finetuned: int, feature_width: int
) -> None:
    size = sizes[method]
    assert (size.finetuned, size.feature_width, size.probed) == (finetuned, feature_width, feature_width + 1)


@pytest.mark.parametrize(
    ("method", "parameters", "shared_dim"),
    [
        ("moco-cxr", 27_966_656, None),
        ("s2mts2", 9_184_256, None),
        ("convirt", 138_048_064, 512),
        ("gloria", 134_178_368, 768),
        ("chexzero", 151_277_313, 512),
        ("cxr-clip", 133_261_121, 512),
    ],
)
def test_how_large_whole_encoders_are(
    sizes: dict[str, Size], method: str, parameters: int, shared_dim: int | None
) -> None:
    assert (sizes[method].parameters, sizes[method].shared_dim) == (parameters, shared_dim)


def test_a_variant_s_tower_is_counted_too() -> None:
    entry = METHODS["cxr-clip"]
    size = size_of("cxr-clip", entry, entry.recipe.resolve(variant="swin-t"))
    assert (size.backbone, size.parameters, size.feature_width) == ("swin-t", 136_617_083, 768)
    assert size.finetuned == 27_519_354


def test_every_method_is_in_the_table_with_what_it_learns_from(sizes: dict[str, Size]) -> None:
    assert list(sizes) == list(METHODS)
    assert {name for name, size in sizes.items() if size.kind == "images"} == {
        "moco-cxr",
        "medaug",
        "s2mts2",
        "imagenet",
    }
    assert sizes["chexzero"].backbone == "CLIP's vit-b-32"
    assert (sizes["moco-cxr"].input_px, sizes["s2mts2"].input_px) == (320, 256)


def test_a_tiny_tower_is_counted_as_it_is_built() -> None:
    size = next(size for size in overview(tiny=True) if size.method == "imagenet")
    encoder = ImageEncoder(ImageArchitecture(tower=tower_named("resnet-tiny")))
    assert size.parameters == sum(weight.numel() for weight in encoder.parameters())
    assert size.feature_width == encoder.image_features(torch.zeros(2, 3, 64, 64)).shape[1]


def test_the_table_in_the_documentation_is_what_is_counted(sizes: dict[str, Size]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "pretraining.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| ")
    ]
    written = {row[0]: row[1:] for row in rows if row[0] in sizes and len(row) == 8}
    for name, size in sizes.items():
        counts = (f"{n:,}" for n in (size.feature_width, size.probed, size.finetuned))
        shared = str(size.shared_dim or "")
        assert written[name] == [size.backbone, f"{size.input_px} px", *counts, shared, f"{size.parameters:,}"]


def test_counting_changes_neither_the_device_nor_the_random_numbers() -> None:
    before = torch.get_rng_state()
    size_of("gloria", METHODS["gloria"], METHODS["gloria"].recipe())
    assert torch.zeros(1).device == torch.device("cpu")
    assert torch.equal(torch.get_rng_state(), before)
