"""How good the encoder is so far: loss on the split 'val', and zero-shot AUROC where its labels are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from hilum.archive import Archive
from hilum.methods.method import Method
from hilum.models.preprocess import Preprocessing
from hilum.models.zero_shot import finding_vectors, load_prompts, pair_scores
from hilum.training.mixture import Mixture


@dataclass
class Truth:
    """Known labels of validation images.

    Attributes:
        archive: where the images are.
        rows: (N,) their positions.
        findings: C names.
        values: (N, C) with 1, 0 and NaN.
        said_by: who said them.
    """

    archive: Archive
    rows: np.ndarray
    findings: list[str]
    values: np.ndarray
    said_by: str
    _squares: np.ndarray | None = field(default=None, repr=False)

    def squares(self, preprocess: Preprocessing) -> np.ndarray:
        """The images as the model sees them, made once: (N, canvas, canvas) uint8."""
        if self._squares is None:
            self._squares = preprocess.squares(self.archive.pixels(self.rows))
        return self._squares


def validation_truth(archive: Archive, image_ids: Sequence[str]) -> Truth | None:
    """Positive and negative labels given by a dataset for validation images; None when there are too few.

    Labels that this system derived from reports are left aside: choosing by them would reward repeating the labeler.
    A finding needs five positives and five negatives.
    """
    labels = archive.labels(["study_id", "image_id", "finding", "value", "said_by"], where="said_by LIKE 'dataset:%'")
    if not labels.num_rows:
        return None
    images = archive.images(["row", "image_id", "study_id"], where="split = 'val'").to_pylist()
    place = {image_id: i for i, image_id in enumerate(dict.fromkeys(image_ids))}
    known = {row["image_id"]: row for row in images if row["image_id"] in place}
    of_study: dict[str, list[int]] = {}
    for image_id, i in place.items():
        of_study.setdefault(known[image_id]["study_id"], []).append(i)
    said = labels.to_pylist()
    findings = sorted({row["finding"] for row in said})
    values = np.full((len(place), len(findings)), np.nan)
    code = {"positive": 1.0, "negative": 0.0}
    for row in said:
        where = [place[row["image_id"]]] if row["image_id"] in place else []
        if row["image_id"] is None:
            where = of_study.get(row["study_id"], [])
        if row["value"] in code and where:
            values[where, findings.index(row["finding"])] = code[row["value"]]
    enough = [c for c in range(len(findings)) if min((values[:, c] == v).sum() for v in (0, 1)) >= 5]
    if not enough:
        return None
    by = ", ".join(sorted({row["said_by"] for row in said}))
    rows = np.array([known[image_id]["row"] for image_id in place], np.int64)
    return Truth(archive, rows, [findings[c] for c in enough], values[:, enough], by)


@torch.inference_mode()
def validate(
    method: Method, examples: Mixture, truth: Truth | None, device: torch.device, batch_size: int
) -> dict[str, float]:
    """Measure the method as it is, in evaluation mode.

    Returns:
        `val_loss` (mean over whole batches in a fixed order) and, with `truth`, `val_auroc` (mean over findings).
    """
    was_training = method.training
    method.eval()
    losses = []
    size = min(batch_size, len(examples))
    order = np.random.default_rng(0).permutation(len(examples))  # fixed, and neighbors of one study apart
    for start in range(0, len(examples) - size + 1, size):
        batch = examples.read(method, order[start : start + size], None).to(device)
        losses.append(float(method(batch)[0]["loss"]))
    measured = {"val_loss": float(np.mean(losses))}
    if truth is not None:
        measured["val_auroc"] = _zero_shot_auroc(method, truth, device)
    method.train(was_training)
    return measured


def _zero_shot_auroc(method: Method, truth: Truth, device: torch.device) -> float:
    from sklearn.metrics import roc_auc_score

    model = method.model({}, device)
    squares = truth.squares(model.preprocess)
    images = np.concatenate([model.embed_squares(squares[i : i + 64]) for i in range(0, len(squares), 64)])
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    scores = pair_scores(images, *finding_vectors(model, truth.findings, load_prompts()))
    known = ~np.isnan(truth.values)
    return float(
        np.mean(
            [roc_auc_score(truth.values[k, c], scores[k, c]) for c in range(scores.shape[1]) for k in [known[:, c]]]
        )
    )
