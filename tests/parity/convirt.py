"""ConVIRT: the weighted contrast with its gradients, two training steps on the tiny model, and precision of retrieval."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from hilum.checkpoints import read_container
from hilum.evaluation.retrieval import precision_at
from hilum.methods.contrast import two_way_nce
from hilum.methods.convirt import ConVIRT, ConVIRTMethod
from hilum.models.gloria_similarity import global_similarity
from hilum.models.image_text import ImageTextEncoder
from hilum.models.released.convirt import import_convirt
from hilum.models.text_towers import build_text_tower
from hilum.training.loop import make_optimizer
from tests.parity import GOLDEN, Check, golden
from tests.parity.released_texts import bert_heads, with_vocabulary

Arrays = Mapping[str, np.ndarray]
FILE = GOLDEN / "convirt" / "best_model.pt"

# Our name of a part, theirs.
NAMES = {
    "image_tower.": "image_encoder.",
    "text_tower.net.": "text_encoder.bert_model.",
    "image_projection.": "image_proj.",
    "text_projection.": "text_proj.",
}


def checks() -> Iterator[Check]:
    """Ours beside theirs."""
    arrays = golden("convirt")
    yield from _loss(arrays)
    yield from _training(arrays)
    yield from _retrieval(arrays)


def _loss(arrays: Arrays) -> Iterator[Check]:
    taus = sorted({found[1] for name in arrays if (found := re.match(r"fx_tau([\d.]+)_", name))})
    for tau in taus:
        of = {name.removeprefix(f"fx_tau{tau}_"): a for name, a in arrays.items() if name.startswith(f"fx_tau{tau}_")}
        for weight in sorted(float(name.removeprefix("lambda")) for name in of if re.fullmatch(r"lambda[\d.]+", name)):
            images, texts = (torch.from_numpy(arrays[f"fx_{side}"]).requires_grad_() for side in ("image", "text"))
            found = two_way_nce(images, texts, float(tau), weight)
            what = f"tau {tau}, lambda {weight:g}"
            yield Check("convirt", f"{what}: loss", found["loss"], of[f"lambda{weight:g}"], 1e-6)
            yield Check("convirt", f"{what}: image to text", found["image_to_text"], of["i2t"], 1e-6)
            yield Check("convirt", f"{what}: text to image", found["text_to_image"], of["t2i"], 1e-6)
            if f"lambda{weight:g}_grad_image" not in of:
                continue
            found["loss"].backward()
            for side, rows in (("image", images), ("text", texts)):
                theirs = of[f"lambda{weight:g}_grad_{side}"]
                yield Check("convirt", f"{what}: gradient of {side}s", rows.grad, theirs, 1e-4, relative=True)


def _training(arrays: Arrays) -> Iterator[Check]:
    method = tiny_method(arrays)
    images, ids = torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["text_ids"])
    method.eval()
    for name in sorted(name for name in arrays if name.startswith("eval_loss_lambda")):
        rows = _rows(method, images, ids)
        found = two_way_nce(
            rows["images"], rows["texts"], method.recipe.tau, float(name.removeprefix("eval_loss_lambda"))
        )
        yield Check(
            "convirt", f"loss of the tiny model, {name.removeprefix('eval_loss_')}", found["loss"], arrays[name]
        )
    trained = {_theirs(n): p.requires_grad for n, p in method.encoder.named_parameters() if ".pooler." not in n}
    for which, wanted in (("trainable", True), ("frozen", False)):
        ours = sorted(name for name, is_trained in trained.items() if is_trained is wanted)
        theirs = sorted(str(n) for n in arrays[f"{which}_keys"] if ".pooler." not in str(n))
        yield Check("convirt", f"{which} weights", ours, theirs, 0)
    yield from _steps(method.train(), arrays, images, ids)


def _steps(method: ConVIRTMethod, arrays: Arrays, images: Tensor, ids: Tensor) -> Iterator[Check]:
    optimizer = make_optimizer(method, method.recipe)
    weights = [p for p in method.parameters() if p.requires_grad]
    losses, norms = [], []
    for step in range(2):
        optimizer.zero_grad()
        loss = method.losses(_rows(method, images, ids))["loss"]
        loss.backward()
        losses.append(loss.detach())
        assert method.recipe.clip_norm is not None
        norms.append(torch.nn.utils.clip_grad_norm_(weights, method.recipe.clip_norm))
        optimizer.step()
        if step > 0:
            continue
        for ours, theirs in (
            ("image_projection.2.weight", "image_proj_2_weight"),
            ("text_projection.2.weight", "text_proj_2_weight"),
            ("image_tower.bn1.running_mean", "bn1_running_mean"),
        ):
            after = method.encoder.tensors()[ours].detach().clone()
            yield Check("convirt", f"{ours} after a step", after, arrays[f"train_{theirs}_after"], 1e-6)
    yield Check("convirt", "training loss", losses[0], arrays["train_loss"])
    yield Check("convirt", "gradient norm", norms[0], arrays["train_grad_norm_preclip"], 1e-4, relative=True)
    yield Check("convirt", "training loss after a step", losses[1], arrays["train_loss_step2"])


def tiny_method(arrays: Arrays) -> ConVIRTMethod:
    """The method around the container's towers, with the container's options and without dropout."""
    options = read_container(FILE).plain("config")
    recipe = ConVIRT(
        tower="resnet-tiny",
        pooling=options["pool"],
        frozen_layers=options["freeze_text_first_n_layers"],
        tau=options["t1"],
        image_weight=options["lambda"],
        embed_dim=options["proj_dim"],
        learning_rate=options["lr"],
        text_rate=options["bert_lr"] / options["lr"],
        weight_decay=options["weight_decay"],
    )
    model = with_vocabulary(arrays, import_convirt, FILE, heads=bert_heads(FILE, "config"))
    assert isinstance(model.encoder, ImageTextEncoder)
    tower = model.encoder.text_tower
    model.encoder.text_tower = build_text_tower(tower.description.model_copy(update={"dropout": 0.0}))
    model.encoder.text_tower.load_weights(tower.weights())
    method = ConVIRTMethod(recipe)
    method.adopt(model.encoder.requires_grad_(True), model.tokenizer)
    return method


def _rows(method: ConVIRTMethod, images: Tensor, ids: Tensor) -> dict[str, Tensor]:
    return {"images": method.encoder.encode_images(images), "texts": method.encoder.encode_texts(ids)}


def _theirs(name: str) -> str:
    ours = next(prefix for prefix in NAMES if name.startswith(prefix))
    return NAMES[ours] + name.removeprefix(ours)


def _retrieval(arrays: Arrays) -> Iterator[Check]:
    scores = global_similarity(*(torch.from_numpy(arrays[f"rt_{side}"]) for side in ("query", "cand"))).numpy()
    relevant = arrays["rt_query_label"][:, None] == arrays["rt_cand_label"][None]
    yield Check("convirt", "retrieval: cosines", scores, arrays["rt_scores"], 1e-6)
    yield Check("convirt", "retrieval: order", np.argsort(-scores, axis=1, kind="stable"), arrays["rt_order"], 0)
    for name in sorted(name for name in arrays if name.startswith("rt_precision_at_")):
        at = int(name.removeprefix("rt_precision_at_"))
        yield Check("convirt", f"retrieval: precision at {at}", precision_at(scores, relevant, at), arrays[name], 1e-12)
