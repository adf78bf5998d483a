"""The CheXzero importer, preprocessing, zero-shot vectors and training step against the original code's arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hilum.models import Model, Preprocess, import_checkpoint
from hilum.models.released.chexzero import import_chexzero


@pytest.fixture(scope="module")
def arrays(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "chexzero" / "model.npz") as saved:
        return {name: saved[name] for name in saved.files}


@pytest.fixture(scope="module")
def model(golden: Path) -> Model:
    return import_chexzero(golden / "chexzero" / "checkpoint_a.pt", antialias=True)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_padding_to_the_canvas_equals_the_original_bytes(arrays: dict, index: int) -> None:
    squares = Preprocess().squares([arrays[f"pad_in_{index}"]])
    assert np.array_equal(squares[0], arrays[f"pad_out_{index}"])


@pytest.mark.parametrize(("antialias", "name"), [(True, "preproc_slice"), (False, "noaa_preproc_slice")])
def test_preprocessing_equals_the_original(arrays: dict, antialias: bool, name: str) -> None:
    images = Preprocess(antialias=antialias)(arrays["images_u8"])
    assert images.shape == (4, 3, 224, 224)
    assert np.abs(images[:, 0, ::8, ::8].numpy() - arrays[name]).max() <= 1e-5


@pytest.mark.parametrize(("antialias", "name"), [(True, "image_embed_a"), (False, "noaa_image_embed_a")])
def test_image_embeddings_equal_the_original(golden: Path, arrays: dict, antialias: bool, name: str) -> None:
    model = import_chexzero(golden / "chexzero" / "checkpoint_a.pt", antialias=antialias)
    vectors = model.embed_images(arrays["images_u8"], normalize=False)
    assert vectors.dtype == np.float32
    assert np.abs(vectors - arrays[name]).max() <= 1e-5


def test_prompt_tokens_and_embeddings_equal_the_original(model: Model, arrays: dict) -> None:
    for sign, template in zip(("pos", "neg"), arrays["pair_template"], strict=True):
        texts = [str(template).format(label) for label in arrays["labels"]]
        assert np.array_equal(model.tokenizer(texts, too_long="error"), arrays[f"tokens_{sign}"])
        assert np.abs(model.embed_texts(texts, normalize=False) - arrays[f"text_embed_{sign}_a"]).max() <= 1e-5
        assert np.abs(model.embed_texts(texts).T - arrays[f"zeroshot_weights_{sign}_a"]).max() <= 1e-5


def test_training_loss_and_gradients_equal_the_original(golden: Path, arrays: dict) -> None:
    from hilum.methods.contrast import symmetric_nce

    encoder = import_chexzero(golden / "chexzero" / "checkpoint_a.pt").encoder.train().requires_grad_(True)
    images = Preprocess(antialias=True)(arrays["images_u8"])
    ids = torch.from_numpy(arrays["train_tokens"])
    optimizer = torch.optim.SGD(encoder.parameters(), lr=1e-4, momentum=0.9)
    losses = []
    for step in range(4):
        loss = symmetric_nce(encoder.encode_images(images), encoder.encode_texts(ids), encoder.logit_scale)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            gradients = {name: p.grad.clone() for name, p in encoder.clip.named_parameters()}
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(float(arrays["train_loss"]), abs=1e-5)
    assert np.abs(np.array(losses) - arrays["train_losses_4steps"]).max() <= 1e-5
    total = float(arrays["train_grad_total_norm"])
    norm = torch.sqrt(sum((g**2).sum() for g in gradients.values()))
    assert float(norm) == pytest.approx(total, rel=1e-5)
    for name, expected in zip(arrays["train_grad_keys"], arrays["train_grad_norms"], strict=True):
        assert float(gradients[str(name)].norm()) == pytest.approx(float(expected), abs=1e-4 * total)
    for name, key in (("visual.proj", "train_grad_visual_proj"), ("text_projection", "train_grad_text_projection")):
        assert np.abs(gradients[name].numpy() - arrays[key]).max() <= 1e-4 * total
    assert float(encoder.logit_scale.detach()) == pytest.approx(float(arrays["train_logit_scale_after4"]), abs=1e-6)


def test_an_imported_folder_gives_the_same_vectors_after_saving(golden: Path, arrays: dict, tmp_path: Path) -> None:
    imported = import_checkpoint(
        "chexzero", golden / "chexzero" / "checkpoint_a.pt", tmp_path / "model", antialias=True
    )
    model = Model.load(tmp_path / "model")
    assert np.abs(model.embed_images(arrays["images_u8"], normalize=False) - arrays["image_embed_a"]).max() <= 1e-5
    assert imported[0].tensors == 50
    assert imported[0].fingerprint == model.fingerprint
    assert model.preprocess.antialias
