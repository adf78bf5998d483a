"""CXR-CLIP: losses, gradients, schedule and texts from labels."""

from __future__ import annotations

import json
import random
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hilum.findings import canonical
from hilum.methods.cxr_clip_loss import study_contrast
from hilum.methods.label_texts import STATES, PromptBank, Stated, text_of_labels
from hilum.methods.schedule import Place, cosine_squared
from hilum.models.image_text import ImageTextEncoder
from hilum.models.released.cxr_clip import import_cxr_clip
from tests.parity import GOLDEN, Check, golden

ROWS = ("image_embeddings", "image_view_embeddings", "text_embeddings", "text_embeddings2")
WEIGHTS = {"paper": (1.0, 0.5), "clip_only": (0.0, 0.0), "plus_i2i": (1.0, 0.0), "plus_t2t": (0.0, 1.0)}


def checks() -> Iterator[Check]:
    """Every array of the original's training."""
    arrays = golden("cxr_clip")
    yield from _losses(arrays)
    yield from _schedules(arrays)
    yield from _texts(arrays)
    for tower in ("resnet", "swin"):
        yield from _whole_step(arrays, tower)


def _losses(arrays: Mapping[str, np.ndarray]) -> Iterator[Check]:
    given = [torch.from_numpy(arrays[f"loss_in_{name}"]) for name in ROWS]
    for start, scale in (("init", 1 / 0.07), ("ls5", 5.0)):
        factor = torch.tensor(scale, requires_grad=True)
        rows = [row.clone().requires_grad_() for row in given]
        for name, (image_weight, text_weight) in WEIGHTS.items():
            loss = study_contrast(*rows, factor, image_weight=image_weight, text_weight=text_weight)["loss"]
            yield Check("cxr-clip", f"loss {name}, {start}", loss, arrays[f"loss_{start}_{name}"])
            if name == "paper":
                found = torch.autograd.grad(loss, [*rows, factor])
                for row, gradient in zip((*ROWS, "logit_scale"), found, strict=True):
                    expected = arrays[f"loss_{start}_paper_grad_{row}"]
                    yield Check("cxr-clip", f"gradient on {row}, {start}", gradient, expected, 1e-4, relative=True)
        for name, smoothing in (("smooth_train", 0.1), ("smooth_eval", 0.0)):
            loss = study_contrast(*rows, factor, smoothing=smoothing)["loss"]
            yield Check("cxr-clip", f"loss {name}, {start}", loss, arrays[f"loss_{start}_{name}"])


def _schedules(arrays: Mapping[str, np.ndarray]) -> Iterator[Check]:
    for name in sorted(n for n in arrays if n.startswith("sched_")):
        steps, warm = re.fullmatch(r"sched_T(\d+)_W(.+)", name).groups()  # type: ignore[union-attr]
        total = int(steps)
        first = int(np.ceil(float(warm.removeprefix("frac")) * total)) if warm.startswith("frac") else int(warm)
        ours = [cosine_squared(Place(step, total), first) for step in range(total)]
        yield Check("cxr-clip", f"learning rate, {steps} steps, warm-up {warm}", ours, arrays[name])


def _texts(arrays: Mapping[str, np.ndarray]) -> Iterator[Check]:
    content = json.loads(arrays["bank_json"].item())
    sentences = {canonical(name): {s: tuple(said.get(s, ())) for s in STATES} for name, said in content.items()}
    bank, ours, theirs = PromptBank("golden", sentences), [], []
    for case in json.loads(arrays["prompt_cases_json"].item()):
        labels, draws = case["labels"], random.Random(case["py_random_seed"])
        named = labels if case["name"] == "chexpert" else [labels]
        stated = Stated(*(tuple(canonical(name) for name in part) for part in named))
        ours.append(text_of_labels(stated, bank, None if case["deterministic"] else draws))
        theirs.append(case["out"])
    yield Check("cxr-clip", f"texts from labels ({len(ours)} cases)", ours, theirs, 0)


def _whole_step(arrays: Mapping[str, np.ndarray], tower: str) -> Iterator[Check]:
    encoder = _encoder(arrays, tower)
    images, views = (torch.from_numpy(arrays[f"{tower}_{name}"]) for name in ("images", "image_views"))
    texts = [_padded(arrays[f"input_ids{i}"], arrays[f"attention_mask{i}"]) for i in (1, 2)]
    rows = [F.normalize(encoder.encode_images(x), dim=-1) for x in (images, views)]
    rows += [F.normalize(encoder.encode_texts(ids), dim=-1) for ids in texts]
    assert encoder.logit_scale is not None
    loss = study_contrast(*rows, encoder.logit_scale.exp())["loss"]
    loss.backward()
    yield Check("cxr-clip", f"loss of the whole model, {tower}", loss, arrays[f"{tower}_loss_total"])
    norms = {
        str(key): value for key, value in zip(arrays[f"{tower}_grad_keys"], arrays[f"{tower}_grad_norms"], strict=True)
    }
    found = dict(encoder.named_parameters())
    ours = [float(_gradient(found, name).norm()) for name in norms]
    yield Check("cxr-clip", f"gradient norm of each tensor, {tower}", ours, list(norms.values()), 1e-4, relative=True)
    total = torch.sqrt(sum(p.grad.square().sum() for p in encoder.parameters() if p.grad is not None))
    yield Check(
        "cxr-clip", f"gradient norm of all, {tower}", total, arrays[f"{tower}_grad_total_norm"], 1e-4, relative=True
    )


def _encoder(arrays: Mapping[str, np.ndarray], tower: str) -> ImageTextEncoder:
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Path(folder) / "vocab.txt"
        vocabulary.write_text("\n".join(arrays["bert_vocab"].tolist()) + "\n", encoding="utf-8")
        file = GOLDEN / "cxr_clip" / f"{tower}_model-best.pt"
        config = torch.load(file, weights_only=True)["config"]
        heads = _find(config["_tiny"], "num_attention_heads")
        encoder = import_cxr_clip(
            file, vocabulary, heads=heads, image_size_px=arrays[f"{tower}_images"].shape[-1]
        ).encoder
    assert isinstance(encoder, ImageTextEncoder)
    return encoder.eval().requires_grad_(True)


def _find(config: object, key: str) -> int | None:
    if isinstance(config, dict):
        if key in config:
            return int(config[key])
        return next((found for value in config.values() if (found := _find(value, key)) is not None), None)
    return None


def _padded(ids: np.ndarray, mask: np.ndarray) -> Tensor:
    return torch.from_numpy(np.where(mask == 1, ids, 0))


def _gradient(parameters: Mapping[str, Tensor], name: str) -> Tensor:
    """Our gradient of the tensor that the original calls `name`; its query, key and value are thirds of one of ours."""
    third = re.search(r"attention\.self\.(query|key|value)\.", name) if ".image_encoder." in name else None
    part = ("query", "key", "value").index(third[1]) if third else 0
    for old, new in _RENAMED:
        name = re.sub(old, new, name)
    gradient = parameters[name].grad
    assert gradient is not None, name
    return gradient.chunk(3)[part] if third else gradient


_RENAMED = (
    (r"^image_encoder\.resnet\.", "image_tower."),
    (r"^image_encoder\.image_encoder\.", "image_tower.net."),
    (r"^text_encoder\.text_encoder\.", "text_tower.net."),
    (r"^(image|text)_projection\.projection\.", r"\1_projection."),
    (r"(image_tower.*)embeddings\.patch_embeddings\.projection", r"\1patch_embed.proj"),
    (r"(image_tower.*)embeddings\.norm", r"\1patch_embed.norm"),
    (r"encoder\.layers\.(\d+)\.downsample", lambda m: f"layers.{int(m[1]) + 1}.downsample"),
    (r"(image_tower.*)encoder\.layers", r"\1layers"),
    (r"layernorm_before", "norm1"),
    (r"layernorm_after", "norm2"),
    (r"(image_tower.*)attention\.self\.(query|key|value)", r"\1attn.qkv"),
    (r"(image_tower.*)attention\.self\.relative", r"\1attn.relative"),
    (r"(image_tower.*)attention\.output\.dense", r"\1attn.proj"),
    (r"(image_tower.*)intermediate\.dense", r"\1mlp.fc1"),
    (r"(image_tower.*)output\.dense", r"\1mlp.fc2"),
    (r"(image_tower\.net\.)layernorm", r"\1norm"),
)
