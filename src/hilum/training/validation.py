"""How good the encoder is so far: loss on the split 'val', and zero-shot AUROC where its labels are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from hilum.archive import Archive
from hilum.methods.chexzero import CheXzeroMethod, Pairs
from hilum.models.zero_shot import finding_vectors, load_prompts, pair_scores


@dataclass(frozen=True)
class Truth:
    """Known labels of the validation images: `values` (N, C) with 1, 0 and NaN, `findings` C names, and who said them."""

    findings: list[str]
    values: np.ndarray
    said_by: str


def validation_truth(archive: Archive, pairs: Pairs) -> Truth | None:
    """Positive and negative labels given by a dataset for the validation images; None when there are too few.

    Labels that this system derived from reports are left aside: choosing by them would reward repeating the labeler.
    A finding needs five positives and five negatives.
    """
    labels = archive.labels(["study_id", "image_id", "finding", "value", "said_by"], where="said_by LIKE 'dataset:%'")
    if not labels.num_rows:
        return None
    images = archive.images(["image_id", "study_id"], where="split = 'val'").to_pylist()
    study_of = {row["image_id"]: row["study_id"] for row in images}
    place = {image_id: i for i, image_id in enumerate(pairs.image_ids)}
    of_study: dict[str, list[int]] = {}
    for image_id, i in place.items():
        of_study.setdefault(study_of[image_id], []).append(i)
    rows = labels.to_pylist()
    findings = sorted({row["finding"] for row in rows})
    values = np.full((len(place), len(findings)), np.nan)
    code = {"positive": 1.0, "negative": 0.0}
    for row in rows:
        where = [place[row["image_id"]]] if row["image_id"] in place else []
        if row["image_id"] is None:
            where = of_study.get(row["study_id"], [])
        if row["value"] in code and where:
            values[where, findings.index(row["finding"])] = code[row["value"]]
    enough = [c for c in range(len(findings)) if min((values[:, c] == v).sum() for v in (0, 1)) >= 5]
    if not enough:
        return None
    return Truth([findings[c] for c in enough], values[:, enough], ", ".join(sorted({row["said_by"] for row in rows})))


@torch.inference_mode()
def validate(
    method: CheXzeroMethod, pairs: Pairs, truth: Truth | None, device: torch.device, batch_size: int
) -> dict[str, float]:
    """Measure the method as it is, in evaluation mode.

    Returns:
        `val_loss` (mean over whole batches in a fixed order) and, with `truth`, `val_auroc` (mean over findings).
    """
    was_training = method.training
    method.eval()
    losses = []
    size = min(batch_size, len(pairs))
    order = np.random.default_rng(0).permutation(len(pairs))  # fixed, and neighbors of one study apart
    for start in range(0, len(pairs) - size + 1, size):
        batch = method.read(pairs, order[start : start + size], None).to(device)
        losses.append(float(method(batch)["loss"]))
    measured = {"val_loss": float(np.mean(losses))}
    if truth is not None:
        measured["val_auroc"] = _zero_shot_auroc(method, pairs, truth, device)
    method.train(was_training)
    return measured


def _zero_shot_auroc(method: CheXzeroMethod, pairs: Pairs, truth: Truth, device: torch.device) -> float:
    from sklearn.metrics import roc_auc_score

    model = method.model({}, device)
    vectors = []
    for start in range(0, len(pairs), 64):
        picks = np.arange(start, min(start + 64, len(pairs)))
        vectors.append(model.embed_squares(pairs.squares.read(picks)))
    images = np.concatenate(vectors)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    scores = pair_scores(images, *finding_vectors(model, truth.findings, load_prompts()))
    known = ~np.isnan(truth.values)
    return float(
        np.mean(
            [roc_auc_score(truth.values[k, c], scores[k, c]) for c in range(scores.shape[1]) for k in [known[:, c]]]
        )
    )
