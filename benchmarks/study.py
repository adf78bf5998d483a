"""How long a study of eight models on four small datasets takes by probe, when the features are kept already.

    python benchmarks/study.py [--images 3000] [--width 2048] [--workers 2]

The archives hold one-pixel images and made-up features: what is measured is reading, fitting (C from eight, on validation),
scoring, 1000 shared resamples, tables and figures. Bar: three minutes on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from hilum.archive import Archive
from hilum.models import ImageArchitecture, ImageEncoder, Model, Squash, tower_named
from hilum.studies import run_study
from hilum.tasks.feature_cache import key_of

FINDINGS = {"one": 1, "five": 5, "eight": 8, "fourteen": 14}
MODELS = 8


def make_models(folder: Path) -> list[Model]:
    """Eight tiny untrained models, which differ in their weights alone."""
    made = []
    for number in range(MODELS):
        torch.manual_seed(number)
        encoder = ImageEncoder(ImageArchitecture(tower=tower_named("resnet-tiny")))
        name = "imagenet" if number == 0 else f"model{number}"
        model = Model(encoder, Squash(canvas_px=32), None, {"name": name}, device="cpu")
        model.save(folder / name)
        made.append(model)
    return made


def make_archive(path: Path, models: list[Model], images: int, width: int, findings: int, seed: int) -> None:
    """Images with labels, and features of every model, the later models' with more signal."""
    rng = np.random.default_rng(seed)
    archive = Archive.create(path)
    ids = [f"i{n}" for n in range(images)]
    splits = [("train", "train", "train", "val", "test")[n % 5] for n in range(images)]
    sizes = {"height": [1] * images, "width": [1] * images, "pixels": [bytes([n % 256]) for n in range(images)]}
    archive.add_images(pa.table({"image_id": ids, "study_id": ids, "patient_id": ids, **sizes, "split": splits}))
    truth = rng.random((images, findings)) < np.linspace(0.1, 0.4, findings)
    rows = [
        {
            "study_id": one,
            "image_id": one,
            "finding": f"finding {c}",
            "value": "positive" if truth[n, c] else "negative",
        }
        for n, one in enumerate(ids)
        for c in range(findings)
    ]
    archive.add_labels(pa.Table.from_pylist([{**row, "said_by": "dataset:made"} for row in rows]))
    for number, model in enumerate(models):
        hidden = rng.normal(size=(images, 64)) * np.exp(-np.linspace(0, 3, 64))
        hidden[:, :findings] += 0.2 * (number + 1) * truth
        x = np.maximum(0, hidden @ rng.normal(size=(64, width)) + 0.3 * rng.normal(size=(images, width)))
        archive.add_embeddings(key_of(model), ids, x.astype(np.float32))


def main() -> None:
    """Make the data, run the study, print how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        models = make_models(folder)
        lines = ['name = "benchmark"', 'adaptations = ["probe"]']
        for model in models:
            lines += ["[[models]]", f'name = "{model.name}"', f'folder = "{model.name}"']
        for seed, (name, findings) in enumerate(FINDINGS.items()):
            make_archive(folder / name, models, options.images, options.width, findings, seed)
            lines += ["[[datasets]]", f'name = "{name}"', f'archive = "{name}"']
        (folder / "study.toml").write_text("\n".join(lines) + "\n")
        started = time.perf_counter()
        report = run_study(folder / "study.toml", folder / "out", workers=options.workers)
        seconds = time.perf_counter() - started
        print(
            f"{MODELS} models x {len(FINDINGS)} datasets of {options.images} images x {options.width} features, {options.workers} "
            f"workers: {report.done} cells, {len(report.rows)} numbers and {len(report.pictures)} figures in {seconds:.0f} s"
        )


if __name__ == "__main__":
    main()
