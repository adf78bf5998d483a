"""GLoRIA: both contrasts with their gradients, attention maps, the tiny model's losses and gradients, sentences."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hilum.checkpoints import read_container
from hilum.methods.gloria import GLoRIA, GLoRIAMethod
from hilum.methods.gloria_loss import global_contrast, local_contrast
from hilum.models.gloria import GloriaEncoder
from hilum.models.gloria_similarity import word_region_attention
from hilum.models.gloria_text import training_sentences
from hilum.models.released.gloria import import_gloria
from tests.parity import GOLDEN, Check, golden
from tests.parity.released_texts import bert_heads, with_vocabulary

Arrays = Mapping[str, np.ndarray]
FILE = GOLDEN / "gloria" / "chexpert_tiny.pt"

# Our name of a part, theirs.
NAMES = {
    "image_tower.": "img_encoder.model.",
    "text_tower.net.": "text_encoder.model.",
    "global_projection.": "img_encoder.global_embedder.",
    "local_projection.": "img_encoder.local_embedder.",
}


def checks() -> Iterator[Check]:
    """Ours beside theirs."""
    arrays = golden("gloria")
    yield from _local(arrays)
    yield from _global(arrays)
    yield from _model(arrays)
    yield from _sentences(arrays)


def _local(arrays: Arrays) -> Iterator[Check]:
    lengths = torch.from_numpy(arrays["ll_cap_lens"])
    cases: dict[str, dict[str, Any]] = {"ll_default": {}, "ll_mean": {"aggregation": "mean"}}
    for name in arrays:
        if temperatures := re.fullmatch(r"ll_t([\d.]+)_([\d.]+)_([\d.]+)", name):
            cases[name] = dict(zip(("attention", "match", "sharpness"), map(float, temperatures.groups()), strict=True))
    for name, settings in cases.items():
        regions, words = (torch.from_numpy(arrays[f"ll_{side}"]).requires_grad_() for side in ("img", "words"))
        found = local_contrast(regions, words, lengths, **settings)
        yield Check("gloria", f"local loss, {name.removeprefix('ll_')}", torch.stack(found), arrays[name])
        if name == "ll_default":
            (found.to_text + found.to_image).backward()
            yield Check("gloria", "local loss: gradient of regions", regions.grad, arrays["ll_grad_img"], 1e-4, True)
            yield Check("gloria", "local loss: gradient of words", words.grad, arrays["ll_grad_words"], 1e-4, True)
    maps = own_attention(*(torch.from_numpy(arrays[f"ll_{side}"]) for side in ("img", "words")), lengths)
    for number, ours in enumerate(maps):
        yield Check("gloria", f"attention map {number}", ours, arrays[f"ll_attn_{number}"], 1e-6)


def _global(arrays: Arrays) -> Iterator[Check]:
    cases = {"gl_default": 10.0} | {n: float(n.removeprefix("gl_temp3_")) for n in arrays if n.startswith("gl_temp3_")}
    for name, sharpness in cases.items():
        images, texts = (torch.from_numpy(arrays[f"gl_{side}"]).requires_grad_() for side in ("img", "txt"))
        found = global_contrast(images, texts, sharpness)
        yield Check("gloria", f"global loss, {name.removeprefix('gl_')}", torch.stack(found), arrays[name])
        if name == "gl_default":
            (found.to_text + found.to_image).backward()
            yield Check("gloria", "global loss: gradient of images", images.grad, arrays["gl_grad_img"], 1e-4, True)
            yield Check("gloria", "global loss: gradient of sentences", texts.grad, arrays["gl_grad_txt"], 1e-4, True)


def _model(arrays: Arrays) -> Iterator[Check]:
    method = tiny_method(arrays)
    encoder = method.encoder
    regions, images = encoder.both_features(torch.from_numpy(arrays["images"]))
    words = encoder.word_features(torch.from_numpy(arrays["caption_ids"]))
    lengths = words.counts + 1
    rows = {"images": images, "texts": encoder.sentences(words)}
    losses = method.losses(rows | {"regions": regions, "words": words.features, "lengths": lengths})
    for kind in ("local", "global"):
        for number, way in enumerate(("to_text", "to_image")):
            theirs = arrays[f"{kind}_loss_{number}"]
            yield Check("gloria", f"tiny model: {kind} loss, {way.replace('_', ' ')}", losses[f"{kind}_{way}"], theirs)
    yield Check("gloria", "tiny model: loss", losses["loss"], arrays["loss_total"], relative=True)
    for number, ours in enumerate(own_attention(regions.detach(), words.features.detach(), lengths)):
        yield Check("gloria", f"tiny model: attention map {number}", ours, arrays[f"attn_map_{number}"], 1e-6)
    losses["loss"].backward()
    yield from _gradients(method, arrays)


def _gradients(method: GLoRIAMethod, arrays: Arrays) -> Iterator[Check]:
    ours = {_theirs(n): p.grad.norm() for n, p in method.encoder.named_parameters() if p.grad is not None}
    without = [_theirs(n) for n, p in method.encoder.named_parameters() if p.grad is None]
    names = [str(name) for name in arrays["grad_keys"]]
    yield Check("gloria", "weights with a gradient", sorted(ours), sorted(names), 0)
    yield Check("gloria", "weights without a gradient", sorted(without), sorted(map(str, arrays["no_grad_keys"])), 0)
    norms, theirs = torch.stack([ours[name] for name in names]), torch.from_numpy(arrays["grad_norms"])
    yield Check("gloria", "norms of gradients", norms, theirs, 1e-4, relative=True)
    # One by one they are looser: small ones behind ReLUs differ by 1.6e-3 between float32 and float64, theirs as ours.
    clear = theirs > 1e-5 * theirs.max()  # a key's bias has none but rounding
    yield Check("gloria", "norms of gradients, each", (norms / theirs)[clear], torch.ones(int(clear.sum())), 5e-3)
    total = torch.stack(list(ours.values())).norm()
    yield Check("gloria", "norm of all gradients", total, arrays["grad_total_norm"], 1e-4, relative=True)


def _sentences(arrays: Arrays) -> Iterator[Check]:
    reports, theirs = (json.loads(str(arrays[f"split_{side}_json"])) for side in ("in", "out"))
    ours = [training_sentences(report, compat="gloria") for report in reports]
    for number, (sentences, expected) in enumerate(zip(ours, theirs, strict=True)):
        yield Check("gloria", f"sentences of report {number}", sentences, expected or [], 0)
    removed = sorted(set(json.loads(str(arrays["split_removed_json"]))))
    yield Check("gloria", "reports without sentences", sum(not s for s in ours), len(removed), 0)


def tiny_method(arrays: Arrays) -> GLoRIAMethod:
    """The method around the checkpoint's towers, with the checkpoint's options, in evaluation mode as the arrays are."""
    options = read_container(FILE).plain("hyper_parameters")["model"]["gloria"]
    recipe = GLoRIA(
        tower="resnet-tiny",
        attention=options["temp1"],
        match=options["temp2"],
        sharpness=options["temp3"],
        local_weight=options["local_loss_weight"],
        global_weight=options["global_loss_weight"],
    )
    model = with_vocabulary(arrays, import_gloria, FILE, heads=bert_heads(FILE, "hyper_parameters"))
    assert isinstance(model.encoder, GloriaEncoder)
    method = GLoRIAMethod(recipe)
    method.adopt(model.encoder.requires_grad_(True), model.tokenizer)
    return method.eval()


def own_attention(regions: Tensor, words: Tensor, lengths: Tensor) -> Iterator[Tensor]:
    """The attention of each sentence's words on its own image: (length, h, w)."""
    for image, sentence, length in zip(regions, words, lengths.tolist(), strict=True):
        there = torch.ones(1, length, dtype=torch.bool)
        weights = word_region_attention(image[None], sentence[None, :, :length], there).weights
        yield weights[0, 0].unflatten(1, image.shape[1:])


def _theirs(name: str) -> str:
    ours = next(prefix for prefix in NAMES if name.startswith(prefix))
    return NAMES[ours] + name.removeprefix(ours)
