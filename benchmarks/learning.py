"""Do the tiny methods learn? Each is pretrained on the same number of images and probed on held-out patients.

    python benchmarks/learning.py WORK [--data phantom|pediatric|nih|covid] [--folder FOLDER] [--methods a,b] [--images 40000]

For each method: a linear probe (all training labels, its strength chosen on `val`) on its features, on those of the same
tower with random weights, and the paired difference with a bootstrap interval over test images. Beside them the tower trained
from scratch with all training labels and with 1 % of them. Everything is kept in WORK; run again to go on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from hilum.archive import Archive
from hilum.evaluation.resampling import Resampler, interval
from hilum.imaging.augment import light
from hilum.methods import METHODS
from hilum.methods.method import Method, Share
from hilum.models import Model
from hilum.sources import ingest
from hilum.tables import read_table
from hilum.tasks.fitting import fit_probe
from hilum.tasks.ranking import aurocs
from hilum.training import pretrain

# Images of an example that pass the tower that is trained.
PER_EXAMPLE = {"refers": 3, "cxr-clip": 2}
# On sets without reports a method that needs them has nothing to learn from.
IMAGES_ONLY = ("moco-cxr", "medaug", "s2mts2")
FRONTAL = "view != 'lateral'"
LEAST_POSITIVES = 10
SEED = 0
SUPERVISED_STEPS, SUPERVISED_BATCH = 400, 64


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--data", default="phantom", choices=("phantom", "pediatric", "nih", "covid", "medmnist"))
    parser.add_argument("--folder", type=Path, help="of the dataset (medmnist: the file); not needed for phantom")
    parser.add_argument("--patients", type=int, default=1200, help="phantom patients")
    parser.add_argument(
        "--world", type=int, default=1, help="seed of the phantom patients; recipes were tried out on 0"
    )
    parser.add_argument("--methods", help="names with commas; default all that can learn from the data")
    parser.add_argument("--images", type=int, default=40_000, help="images each method is shown")
    parser.add_argument("--set", action="append", default=[], help="recipe settings for every method")
    parser.add_argument("--no-supervised", action="store_true", help="leave the towers trained with labels out")
    given = parser.parse_args()
    archive = prepare(given)
    truth = Truth(archive, given.work / "phantoms" / "truth" / "truth.csv" if given.data == "phantom" else None)
    all_methods = [n for n, e in METHODS.items() if e.method is not None]
    usable = [n for n in all_methods if given.data in ("phantom", "covid") or n in IMAGES_ONLY]
    methods = given.methods.split(",") if given.methods else usable
    if not truth.findings:
        parser.error(
            f"no finding has {LEAST_POSITIVES} positive and {LEAST_POSITIVES} negative images in train and test"
        )
    print(
        f"{given.data}: {platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    )
    print(
        f"train {len(truth.rows['train'])}, test {len(truth.rows['test'])} images; findings: {', '.join(truth.findings)}\n"
    )
    rows = [measure(name, archive, truth, given) for name in methods]
    print_table(rows)


def prepare(given: argparse.Namespace) -> Archive:
    """The archive of the data, made where it is missing."""
    place = given.work / f"archive-{given.data}"
    if given.data == "phantom":
        from hilum.cli import build_app

        folder = given.work / "phantoms"
        if not (folder / "truth" / "truth.csv").exists():
            asked = ["phantom", str(folder), "--patients", str(given.patients), "--seed", str(given.world)]
            build_app()(args=asked, standalone_mode=False)
        ingest("phantom", folder, place, seed=SEED)
    elif not (place / "archive.json").exists():
        # The test images of MedMNIST's official split may be absent: all are split anew.
        ingest(given.data, given.folder, place, seed=SEED, split="hashed" if given.data == "medmnist" else None)
    return Archive.open(place)


class Truth:
    """Labels of the archive's frontal images by split: rows, ids and values (N, C) with NaN where nothing is stated."""

    def __init__(self, archive: Archive, table: Path | None) -> None:
        images = archive.images(["row", "image_id", "study_id", "patient_id", "split"], where=FRONTAL).to_pylist()
        if table is not None:
            known = {row["image_id"]: row for row in read_table(table).to_pylist()}
            names = [
                n
                for n in next(iter(known.values()))
                if n not in ("image_id", "study_id", "patient_id", "view", "split")
            ]
            said = {i: {n: row[n] for n in names if isinstance(row[n], int | float)} for i, row in known.items()}
        else:
            said = {}
            for row in archive.labels(where="said_by LIKE 'dataset:%'").to_pylist():
                value = {"positive": 1.0, "negative": 0.0}.get(row["value"])
                if value is not None:
                    said.setdefault(row["image_id"] or row["study_id"], {})[row["finding"]] = value
        labeled = [image for image in images if image["image_id"] in said or image["study_id"] in said]
        named = sorted({n for image in labeled for n in said.get(image["image_id"], said.get(image["study_id"], {}))})
        self.rows, self.values, self.patients = {}, {}, {}
        for split in ("train", "val", "test"):
            chosen = [image for image in labeled if image["split"] == split]
            self.rows[split] = np.array([image["row"] for image in chosen], np.int64)
            self.patients[split] = np.unique([image["patient_id"] for image in chosen], return_inverse=True)[1]
            self.values[split] = np.array(
                [[said.get(i["image_id"], said.get(i["study_id"], {})).get(n, np.nan) for n in named] for i in chosen],
                np.float64,
            ).reshape(len(chosen), len(named))
        enough = [
            c
            for c in range(len(named))
            if all((self.values[s][:, c] == v).sum() >= LEAST_POSITIVES for s in ("train", "test") for v in (0, 1))
        ]
        self.findings = [named[c] for c in enough]
        self.values = {split: values[:, enough] for split, values in self.values.items()}


def measure(name: str, archive: Archive, truth: Truth, given: argparse.Namespace) -> dict[str, object]:
    """One method's row; its scores are kept."""
    out = given.work / given.data / name
    kept = out / "learning.json"
    if kept.exists():
        return json.loads(kept.read_text())
    entry = METHODS[name]
    assert entry.method is not None
    recipe = entry.recipe.resolve(given.set, tiny=True)
    torch.manual_seed(SEED)
    learner = entry.method(recipe)
    share = Share(archive, (recipe.text_policy or None) if learner.needs_reports else None)
    learner.prepare([share])
    random = Model(**parts_of(learner.model({})))
    random_scores = probed(random, archive, truth)
    shown = len(learner.collect(share, "train")) * PER_EXAMPLE.get(name, 1)
    epochs = given.images / shown
    started = time.perf_counter()
    pretrain(name, archive, out / "model", tiny=True, settings=[*given.set, f"epochs={epochs}"], seed=SEED)
    minutes = (time.perf_counter() - started) / 60
    scores = probed(Model.load(out / "model"), archive, truth)
    row: dict[str, object] = {"method": name, "minutes": minutes, "images": given.images}
    row |= compare(scores, random_scores, truth)
    if not given.no_supervised:
        torch.manual_seed(SEED)
        fresh = entry.method(recipe)
        fresh.prepare([share])
        row |= from_scratch(fresh, archive, truth, given.work / given.data)
    kept.write_text(json.dumps(row, indent=2))
    print_table([row])
    return row


def parts_of(model: Model) -> dict[str, object]:
    """What a model is made of, with its weights as they are now."""
    return {"encoder": model.encoder, "preprocess": model.preprocess, "tokenizer": model.tokenizer}


def features(model: Model, archive: Archive, rows: np.ndarray) -> np.ndarray:
    """What a probe sees of these images."""
    return model.features(archive.pixels(rows))


def probed(model: Model, archive: Archive, truth: Truth) -> np.ndarray:
    """Test scores of a linear probe: (N, C)."""
    seen = {split: features(model, archive, truth.rows[split]) for split in ("train", "val", "test")}
    validation = (seen["val"], truth.values["val"]) if len(truth.rows["val"]) else None
    fit = fit_probe(seen["train"], truth.values["train"], names=truth.findings, validation=validation)
    place = {finding: i for i, finding in enumerate(fit.head.names)}
    logits = seen["test"].astype(np.float64) @ np.asarray(fit.head.weights, np.float64).T + fit.head.offsets
    return np.stack([logits[:, place[f]] if f in place else np.zeros(len(logits)) for f in truth.findings], axis=1)


def from_scratch(method: Method, archive: Archive, truth: Truth, folder: Path) -> dict[str, object]:
    """The tower trained with all labels and with 1 %; done once for methods that share a tower."""
    described = method.model({}).encoder.architecture.model_dump(mode="json")
    tower = next(described[key] for key in ("image_tower", "tower", "vision") if key in described)
    kept = folder / f"scratch-{hashlib.sha256(json.dumps(tower, sort_keys=True).encode()).hexdigest()[:8]}.json"
    if not kept.exists():
        start = {name: tensor.clone() for name, tensor in method.state_dict().items()}
        row = {}
        for fraction in (1.0, 0.01):
            method.load_state_dict(start)
            told = supervised(method, archive, truth, fraction)
            row[f"from scratch, {fraction:.0%} of labels"] = summary(told, truth)
        kept.write_text(json.dumps(row))
    return json.loads(kept.read_text())


def supervised(method: Method, archive: Archive, truth: Truth, fraction: float) -> np.ndarray:
    """Test scores of the method's image tower trained from scratch with labels: (N, C)."""
    model = method.model({})
    rng = np.random.default_rng(SEED)
    picks = rng.permutation(len(truth.rows["train"]))[: max(8, round(fraction * len(truth.rows["train"])))]
    squares = model.preprocess.squares(archive.pixels(truth.rows["train"][picks]))
    values = torch.from_numpy(truth.values["train"][picks]).float()
    width = model.features(archive.pixels(truth.rows["train"][:1])).shape[1]
    encoder, head = model.encoder.train().requires_grad_(True), torch.nn.Linear(width, len(truth.findings))
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=SUPERVISED_STEPS)
    generator = torch.Generator().manual_seed(SEED)
    for _ in range(SUPERVISED_STEPS):
        batch = torch.from_numpy(rng.integers(0, len(picks), min(SUPERVISED_BATCH, 2 * len(picks))))
        images = model.preprocess.tensor(light(torch.from_numpy(squares[batch]), generator))
        logits, told = head(encoder.image_features(images)), values[batch]
        known = ~torch.isnan(told)
        loss = F.binary_cross_entropy_with_logits(logits[known], told[known])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    encoder.eval()
    with torch.inference_mode():
        return head(torch.from_numpy(features(model, archive, truth.rows["test"]))).numpy().astype(np.float64)


def compare(scores: np.ndarray, random: np.ndarray, truth: Truth) -> dict[str, object]:
    """Mean AUROCs with intervals, and their paired difference over the same resamples of patients."""
    told = truth.values["test"]
    units = Resampler(len(told), 1000, SEED, truth.patients["test"])
    ours, theirs = [], []
    for replicate in range(1000):
        drawn = drawn_images(units, replicate, truth.patients["test"])
        ours.append(np.nanmean(aurocs(told[drawn], scores[drawn])))
        theirs.append(np.nanmean(aurocs(told[drawn], random[drawn])))
    difference = np.array(ours) - np.array(theirs)
    return {
        "probe": [float(np.nanmean(aurocs(told, scores))), *ends(np.array(ours))],
        "random": [float(np.nanmean(aurocs(told, random))), *ends(np.array(theirs))],
        "difference": [float(np.nanmean(aurocs(told, scores)) - np.nanmean(aurocs(told, random))), *ends(difference)],
    }


def summary(scores: np.ndarray, truth: Truth) -> list[float]:
    """A mean AUROC with its interval."""
    told = truth.values["test"]
    units = Resampler(len(told), 1000, SEED, truth.patients["test"])
    drawn = [drawn_images(units, replicate, truth.patients["test"]) for replicate in range(1000)]
    values = np.array([np.nanmean(aurocs(told[d], scores[d])) for d in drawn])
    return [float(np.nanmean(aurocs(told, scores))), *ends(values)]


def drawn_images(units: Resampler, replicate: int, patients: np.ndarray) -> np.ndarray:
    """The images of a resample of patients."""
    order = np.argsort(patients, kind="stable")
    starts = np.searchsorted(patients[order], np.arange(units.n_units + 1))
    return np.concatenate([order[starts[p] : starts[p + 1]] for p in units.indices(replicate)])


def ends(values: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of bootstrap replicates."""
    found = interval(values)
    return float(found.low), float(found.high)


def print_table(rows: list[dict[str, object]]) -> None:
    """The rows as Markdown."""
    scratch = [f"from scratch, {share:.0%} of labels" for share in (1.0, 0.01)]
    print(f"| method | minutes | probe | random weights | difference | {' | '.join(scratch)} |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        cells = [shown(row.get(key)) for key in ("probe", "random", "difference", *scratch)]
        print(f"| {row['method']} | {row['minutes']:.1f} | {' | '.join(cells)} |", flush=True)
    print()


def shown(value: object) -> str:
    """A mean with its interval."""
    if not isinstance(value, list):
        return "-"
    mean, low, high = value
    return f"{mean:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
