"""MedAug: every image's possible partners, and one step with each kind of hard negatives."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hilum.checkpoints import read_checkpoint
from hilum.methods import hard_negatives as hard
from hilum.methods.hard_negatives import Facts, Mixing
from hilum.methods.medaug import MedAug, MedAugMethod, PairViews
from hilum.methods.moco import first_is_right
from hilum.methods.patient_pairs import FRONTAL, LATERAL, PatientPairs, Policy
from tests.parity import GOLDEN, Check, golden
from tests.parity.moco_cxr import take, tower_of, views_of

METHOD = "medaug"
FILTERS = {
    "same_study": "same_study",
    "diff_study": "different_study",
    "same_laterality": "same_laterality",
    "diff_laterality": "different_laterality",
    "same_disease": "same_disease",
}
ABSENT = -1e30  # how the arrays write -inf


def checks() -> Iterator[Check]:
    """Pairs, then negatives."""
    arrays = golden("medaug")
    with (GOLDEN / "medaug" / "metadata.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    yield Check(METHOD, "images", len(table), arrays["n_images"], 0)
    for name in map(str, arrays["policy_names"]):
        yield from pairs(arrays, name, table)
    for tag in sorted(key.removesuffix("_cfg") for key in arrays if key.endswith("_cfg")):
        yield from step(arrays, tag)


def pairs(arrays: Mapping[str, np.ndarray], name: str, table: list[dict[str, str]]) -> Iterator[Check]:
    """Exact sets of partners under one policy."""
    policy = Policy(**{FILTERS[part]: True for part in name.split("+")[1:]})
    patient, study, disease, view = ([row[c] for row in table] for c in ("patient", "study", "disease", "laterality"))
    laterality = np.array([FRONTAL if v.startswith("f") else LATERAL for v in view])
    found = PatientPairs(patient, study, laterality, policy, disease=disease)
    admissible = np.zeros((len(table), len(table)), bool)
    first = np.arange(len(table))
    for image in range(len(table)):
        candidates = found.candidates(image)
        admissible[image, candidates if len(candidates) else image] = True
        first[image] = candidates[0] if len(candidates) else image
    yield Check(METHOD, f"{name}: partners", np.packbits(admissible, axis=1), arrays[f"adm_{name}"], 0)
    yield Check(METHOD, f"{name}: paired with itself", found.counts == 0, arrays[f"fallback_{name}"], 0)
    yield Check(METHOD, f"{name}: how many", found.counts, arrays[f"count_{name}"], 0)
    released = MedAugMethod(tiny(compat="medaug", queue=8, batch_size=8))
    ids, studies, views = released.numbers(patient, 5), released.numbers(study, 1), laterality
    facts = np.stack([ids[first], ids, studies[first], studies, views[first], views], axis=1)
    yield Check(METHOD, f"{name}: metadata of the first", facts, arrays[f"meta_first_{name}"], 0)


def step(arrays: Mapping[str, np.ndarray], tag: str) -> Iterator[Check]:
    """One call of the original's contrastive module."""
    batch_size, slots, dim, tau, momentum, append, synthesize, target, lateral_only = arrays[f"{tag}_cfg"]
    kind = "lateral-only" if lateral_only else "reweight" if target > 0 else "synthesize" if synthesize else "append"
    settings = {"append_share": float(append)} if append > 0 else {}
    settings |= {"hard_share": float(target)} if target > 0 else {}
    tensors = read_checkpoint(GOLDEN / "medaug" / f"{tag}_ckpt.pth.tar")["state_dict"]
    recipe = tiny(
        compat="medaug",
        hard_negatives=kind,
        batch_size=int(batch_size),
        queue=int(slots),
        dim=int(dim),
        tau=float(tau),
        key_momentum=float(momentum),
        **settings,
    )
    method = MedAugMethod(recipe, tower_of(tensors))
    take(method, tensors)
    for ours, theirs in zip(MedAugMethod.facts, ("id", "study", "lat"), strict=True):
        method.queue.get_buffer(ours).copy_(tensors[f"module.queue_{theirs}"])
    full = not bool((method.queue.get_buffer("laterality") < 0).any())
    method.queue.filled.fill_(int(slots) if full else 0)
    method.train()
    batch = pair_views(arrays, tag)

    def check(quantity: str, ours: Any, theirs: str, tolerance: float = 1e-5) -> Check:
        return Check(METHOD, f"{tag}: {quantity}", ours, arrays[f"{tag}_{theirs}"], tolerance)

    method.before_step(0, 1)
    rows = method.encode(batch)
    yield check("query", rows["query"], "q_raw")
    yield check("key", rows["key"], "k_raw")
    queries, known = Facts(*rows["facts"].unbind(1)), method.slots
    is_easy, positive = hard.easy(queries, known), hard.positives(queries, known, recipe.policy)
    yield check("easy negatives", is_easy, "mask_easy", 0)
    yield check("positives in the queue", positive, "mask_pos", 0)
    logits, weights = logits_of(method, rows, arrays, tag, full)
    yield check("logits", logits.masked_fill(logits.isinf(), ABSENT), "logits")
    yield check("labels", np.zeros(int(batch_size)), "labels")
    if kind == "lateral-only":
        yield check("left out", logits.isinf(), "logits_is_neginf", 0)
    if weights is not None:
        yield check("weights", weights, "weight")
        yield check("loss without weights", first_is_right(logits), "loss_unweighted")
    yield check("loss", first_is_right(logits, weights), "loss")
    if not full or kind in ("lateral-only", "reweight"):  # nothing is drawn: the method's own loss is the original's
        yield check("loss of the method", method.losses(rows)["loss"], "loss")
    method.after_losses(batch, {name: row.detach() for name, row in rows.items()})
    yield check("queue after", method.queue.keys, "queue_after")
    yield check("queue pointer after", method.queue.pointer, "queue_ptr_after", 0)
    for ours, theirs in zip(MedAugMethod.facts, ("id", "study", "lat"), strict=True):
        yield check(f"queue {ours} after", method.queue.get_buffer(ours), f"queue_{theirs}_after", 0)


def logits_of(
    method: MedAugMethod, rows: dict[str, Tensor], arrays: Mapping[str, np.ndarray], tag: str, full: bool
) -> tuple[Tensor, Tensor | None]:
    """Logits with the original's draws, and the factors on their terms where it has any."""
    logits, queries, slots = method.logits(rows), Facts(*rows["facts"].unbind(1)), method.slots
    kind = method.recipe.hard_negatives
    if kind == "lateral-only":
        left_out = hard.easy(queries, slots) | hard.positives(queries, slots, method.recipe.policy)
        return hard.without(logits, left_out), None
    if not full:
        return logits, None
    if kind == "reweight":
        return logits, hard.reweighted(queries, slots, method.recipe.hard_share)
    indices = {
        view: arrays[f"{tag}_appended_queue_idx_{name}"] for view, name in ((FRONTAL, "front"), (LATERAL, "lat"))
    }
    sampled = torch.from_numpy(np.stack([indices[FRONTAL], indices[LATERAL]]))
    columns = [logits, hard.appended(logits, sampled, queries)]
    if kind == "synthesize":
        drawn = (arrays[f"{tag}_syn_{name}"].reshape(-1) for name in ("frac", "index1", "index2"))
        mixing = Mixing(*(torch.from_numpy(values) for values in drawn))
        columns.append(hard.synthesized(logits, method.queue.keys, sampled, mixing, queries))
    return torch.cat(columns, dim=1), None


def pair_views(arrays: Mapping[str, np.ndarray], tag: str) -> PairViews:
    """Images and metadata as a batch; of each pair of metadata the key's is first."""
    plain = views_of(arrays[f"{tag}_im_q"], arrays[f"{tag}_im_k"])
    meta = np.stack([arrays[f"{tag}_meta_{name}"] for name in ("id", "study", "lat")], axis=2)  # (2, N, 3)
    key, query = (torch.from_numpy(part.astype(np.int64)) for part in meta)
    return PairViews(plain.pixels, plain.sizes, plain.views, plain.pixels, plain.sizes, query, key)


def tiny(**settings: Any) -> MedAug:
    """A recipe with random weights and these settings."""
    return MedAug(**{"init": "random", "tower": "resnet-tiny", **settings})
