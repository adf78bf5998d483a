"""REFERS: view fusion, both losses, the report generator, rates, Lookahead, parameter groups and captions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from hilum.checkpoints import read_checkpoint
from hilum.methods.lookahead import Lookahead
from hilum.methods.refers import Refers, rate_of, released_spares
from hilum.methods.refers_captions import mirrored, normalized
from hilum.methods.refers_fusion import ViewFusion
from hilum.methods.refers_generator import ReportGenerator
from hilum.methods.refers_loss import backwards, caption_cost, contrast_terms, mean_cost, report_contrast
from hilum.methods.schedule import Place, cosine_squared, linear
from tests.parity import GOLDEN, Check, golden

Arrays = Mapping[str, np.ndarray]
IGNORED = 0
HEAD_WIDTH = 8  # of the arrays' decoders; no tensor says it


def checks() -> Iterator[Check]:
    """Ours beside theirs."""
    arrays = golden("refers")
    tensors = {name: torch.from_numpy(np.atleast_1d(a)) for name, a in arrays.items() if a.dtype.kind in "fi"}
    forward, both = (_weights(f"pretrain_{name}_checkpoint_100.pth") for name in ("fwd", "bi"))
    with torch.no_grad():
        yield from _fusion(tensors, forward)
        yield from _head(tensors, forward)
        yield from _objective(tensors, "fwd", forward)
        yield from _objective(tensors, "bi", both)
    yield from _contrast(tensors)
    yield from _rates(arrays)
    yield from _groups(arrays)
    yield from _lookahead(tensors)
    yield from _captions(arrays)


def _weights(file: str) -> dict[str, Tensor]:
    return read_checkpoint(GOLDEN / "refers" / file)["model"]


def _fusion(arrays: dict[str, Tensor], weights: dict[str, Tensor]) -> Iterator[Check]:
    fusion = _fusion_of(weights)
    patches = torch.stack([arrays[f"fus_x{i}"] for i in (1, 2, 3)], dim=1)
    theirs = torch.stack([arrays[f"fus_w{i}"].squeeze(-1) for i in (1, 2, 3)], dim=1)
    yield Check("refers", "view fusion: weights", fusion.weights(patches), theirs)
    yield Check("refers", "view fusion: weighed tokens", fusion(patches), arrays["fus_weighted_concat"])


def _fusion_of(weights: dict[str, Tensor]) -> ViewFusion:
    fusion = ViewFusion(weights["fusion.fc1.weight"].shape[1] // 3, 3)
    fusion.gate.weight.data = torch.cat([weights[f"fusion.fc{i}.weight"] for i in (1, 2, 3)])
    fusion.gate.bias.data = torch.cat([weights[f"fusion.fc{i}.bias"] for i in (1, 2, 3)])
    return fusion


def _generator_of(weights: dict[str, Tensor], prefix: str = "textual.") -> ReportGenerator:
    own = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
    vocabulary, width = own["embedding.words.weight"].shape
    layers = 1 + max(int(name.split(".")[2]) for name in own if name.startswith("transformer.layers."))
    generator = ReportGenerator(
        visual_width=own["visual_projection.weight"].shape[1],
        vocabulary=vocabulary,
        width=width,
        layers=layers,
        heads=width // HEAD_WIDTH,
        feed_forward=own["transformer.layers.0.linear1.weight"].shape[0],
        positions=own["embedding.positions.weight"].shape[0],
    ).eval()
    renamed = (
        ("visual_projection.", "projection."),
        ("transformer.layers.", "decoder."),
        ("embedding.layer_norm.", "embedding.norm."),
    )
    for theirs, ours in renamed:
        own = {name.replace(theirs, ours): tensor for name, tensor in own.items()}
    generator.load_state_dict(own, strict=True)
    return generator


def _head(arrays: dict[str, Tensor], weights: dict[str, Tensor]) -> Iterator[Check]:
    generator, tokens, lengths = _generator_of(weights), arrays["obj_tokens"], arrays["obj_lengths"]
    states = generator.states(arrays["head_visual"], tokens, lengths)
    yield Check("refers", "generator: states", states, arrays["head_features"])
    yield Check("refers", "generator: logits", generator.output(states), arrays["head_logits"])
    ours = mean_cost(*caption_cost(arrays["gen_logits"], tokens, IGNORED))
    yield Check("refers", "generation loss", ours, arrays["gen_loss"][0])


def _objective(arrays: dict[str, Tensor], which: str, weights: dict[str, Tensor]) -> Iterator[Check]:
    views = torch.stack([arrays[f"obj_visual{i}"] for i in (1, 2, 3)], dim=1)  # (N, V, 1 + P, W)
    classes, tokens, lengths = views[:, :, 0], arrays["obj_tokens"], arrays["obj_lengths"]
    contrast = report_contrast(classes.flatten(1), arrays["obj_text_feature"], 0.1, 0.75, one_way=True)
    fused = _fusion_of(weights)(views[:, :, 1:] + classes.unsqueeze(2))
    logits = _generator_of(weights)(fused, tokens, lengths)
    total = contrast + mean_cost(*caption_cost(logits, tokens, IGNORED))
    what = f"objective, {'forward' if which == 'fwd' else 'both directions'}"
    yield Check("refers", f"{what}: contrast", contrast, arrays[f"obj_{which}_contrastive"][0])
    yield Check("refers", f"{what}: caption", total - contrast, arrays[f"obj_{which}_caption_fwd"][0])
    yield Check("refers", f"{what}: predicted words", logits.argmax(-1), arrays[f"obj_{which}_pred"], 0)
    if which == "bi":
        reverse = backwards(tokens, lengths)
        yield Check("refers", f"{what}: reversed words", reverse, arrays["obj_tokens_reversed"], 0)
        logits = _generator_of(weights, "backward_textual.")(fused, reverse, lengths)
        caption = mean_cost(*caption_cost(logits, reverse, IGNORED))
        yield Check("refers", f"{what}: caption from its end", caption, arrays["obj_bi_caption_bwd"][0])
        total = total + caption
    yield Check("refers", f"{what}: total", total, arrays[f"obj_{which}_total"][0])


def _contrast(arrays: dict[str, Tensor]) -> Iterator[Check]:
    for case in sorted({name.partition("_")[0] for name in arrays if name.startswith("con")}):
        images, texts = (arrays[f"{case}_{of}"].clone().requires_grad_() for of in ("img", "txt"))
        loss = report_contrast(images, texts, 0.1, 0.75, one_way=True)
        loss.backward()
        what = f"contrast of {len(images)} studies"
        yield Check("refers", f"{what}: loss", loss, arrays[f"{case}_loss"][0])
        yield Check("refers", f"{what}: gradient by images", images.grad, arrays[f"{case}_grad_img"], 1e-4, True)
        yield Check("refers", f"{what}: gradient by texts", texts.grad, arrays[f"{case}_grad_txt"], 1e-4, True)
        for ours, of in zip(contrast_terms(images, texts, 0.1), ("img2txt", "txt2img"), strict=True):
            yield Check("refers", f"{what}: terms {of}", ours, arrays[f"{case}_{of}_terms"])


def _rates(arrays: Arrays) -> Iterator[Check]:
    tables = (("lr_cosine", cosine_squared), ("lr_linear", linear), ("ft_lr_cosine", cosine_squared))
    for name, rule in tables:
        steps, factors = arrays[name].T
        warm, total = int(steps[factors.argmax()]), int(steps[1 + factors[1:].argmin()])
        ours = [rule(Place(int(step), total), warm) for step in steps]
        yield Check("refers", f"learning rate: {name}, {total} steps", ours, factors)


def _groups(arrays: Arrays) -> Iterator[Check]:
    recipe = Refers()
    names = [str(name).replace("contrastive_bert.", "report_encoder.") for name in arrays["pg_names"]]
    rates = [recipe.learning_rate * rate_of(name, recipe) for name in names]
    decays = [0.0 if released_spares(name) else recipe.weight_decay for name in names]
    ours = np.stack([rates, decays], axis=1)
    yield Check("refers", "rate and weight decay by name", ours, arrays["pg_lr_wd"], 1e-12)


def _lookahead(arrays: dict[str, Tensor]) -> Iterator[Check]:
    weight, target = torch.nn.Parameter(arrays["look_w0"].clone()), arrays["look_target"]
    optimizer = Lookahead(torch.optim.SGD([weight], lr=0.1, momentum=0.9, weight_decay=1e-4), k=5, alpha=0.5)
    path = []
    for _ in arrays["look_traj"]:
        optimizer.zero_grad()
        (weight - target).square().sum().backward()
        torch.nn.utils.clip_grad_norm_([weight], 10)
        optimizer.step()
        path.append(weight.detach().clone())
    yield Check("refers", "Lookahead: weights after each step", torch.stack(path), arrays["look_traj"])


def _captions(arrays: Arrays) -> Iterator[Check]:
    texts = [str(text) for text in arrays["cap_in"]]
    flipped = [mirrored(text, compat=True) for text in texts]
    yield Check("refers", "captions: normalized", [normalized(t) for t in texts], arrays["cap_normalised"], 0)
    yield Check("refers", "captions: mirrored", flipped, arrays["cap_flipped"], 0)
    yield Check(
        "refers", "captions: mirrored, normalized", [normalized(t) for t in flipped], arrays["cap_flip_then_norm"], 0
    )
