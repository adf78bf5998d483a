"""The neural labeler on the Open-I reports: from scratch on rule labels, then expert labels in five folds.

    python benchmarks/neural_labeler.py FOLDER --work WORK [--stage-two-only] [--set key=value ...]

FOLDER holds reports.csv (uid, findings, impression) and expert_labels.csv. A fifth of the reports is never trained on;
expert-labeled reports are in no rule-labeled set. One thread; results on stdout as JSON.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch

from hilum.findings import CHEXPERT_NAMES
from hilum.reports.agreement import AgreementRow, compare_labels
from hilum.reports.grid import LabelGrid
from hilum.reports.neural.corpus import read_corpus, silver_from_rules
from hilum.reports.neural.labeler import NeuralLabeler, load_labeler
from hilum.reports.neural.network import HEADS
from hilum.reports.neural.recipe import LabelerRecipe
from hilum.reports.neural.training import train_labeler

FOLDS = 5


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--stage-two-only", action="store_true")
    parser.add_argument("--stage-one-only", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = LabelerRecipe.resolve(options.settings, tiny=True)
    options.work.mkdir(parents=True, exist_ok=True)

    gold = {row["uid"]: row for row in rows_of(options.folder / "expert_labels.csv")}
    reports = [r for r in rows_of(options.folder / "reports.csv") if (r["findings"] + r["impression"]).strip()]
    plain = [row for row in reports if row["uid"] not in gold]
    unseen = [row for row in plain if share_of(row["uid"], "unseen") < 0.2]
    seen = [row for row in plain if share_of(row["uid"], "unseen") >= 0.2]
    results: dict[str, object] = {
        "reports trained on": len(seen),
        "unseen reports": len(unseen),
        "expert reports": len(gold),
    }
    train_table, model = options.work / "train.csv", options.work / "stage-one"
    write(train_table, seen)
    if not options.stage_two_only:
        start = time.perf_counter()
        train_labeler(train_table, model, recipe=recipe, id_column="uid", progress=show)
        results["stage one, minutes"] = (time.perf_counter() - start) / 60
    labeler = load_labeler(model)
    write(options.work / "unseen.csv", unseen)
    results |= against_rules(labeler, options.work / "unseen.csv")
    if not options.stage_one_only:
        results |= folds(
            labeler, model, seen, [row for row in reports if row["uid"] in gold], gold, options.work, recipe
        )
    print(json.dumps(results, indent=2))


def against_rules(labeler: NeuralLabeler, unseen: Path) -> dict[str, object]:
    """Agreement with the rules on reports never trained on, and speed on one thread."""
    corpus, rules = read_corpus(unseen, id_column="uid"), silver_from_rules()
    labeler.predict(corpus.texts[:64])
    start = time.perf_counter()
    predicted = labeler.predict(corpus.texts).codes
    seconds = time.perf_counter() - start
    truth = LabelGrid("rules", corpus.ids, HEADS, rules(corpus.texts))
    result = compare_labels(truth, [LabelGrid("stage one", corpus.ids, HEADS, predicted)], gold_kind="four-state")
    wanted = [("micro", "accuracy"), ("macro", "weighted_f1"), ("micro", "uncertain_f1"), ("macro", "uncertain_f1")]
    measured = {f"{finding} {metric}": shown(result.row("stage one", finding, metric)) for finding, metric in wanted}
    each = {finding: shown(result.row("stage one", finding, "accuracy")) for finding in CHEXPERT_NAMES}
    return {
        "against the rules, unseen": measured,
        "cells that agree": each,
        "reports a second": len(corpus.ids) / seconds,
    }


def folds(
    stage_one: NeuralLabeler,
    model: Path,
    seen: list[dict[str, str]],
    experts: list[dict[str, str]],
    gold: dict[str, dict[str, str]],
    work: Path,
    recipe: LabelerRecipe,
) -> dict[str, object]:
    """Expert labels: each fold is labeled by a labeler finetuned on the other four."""
    order = sorted(experts, key=lambda row: share_of(row["uid"], "fold"))
    predicted: dict[str, np.ndarray] = {}
    start = time.perf_counter()
    for fold in range(FOLDS):
        mine = order[fold::FOLDS]
        others = [row for row in order if row not in mine]
        place = work / f"fold-{fold}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        write(place / "reports.csv", seen + others)
        write(place / "gold.csv", [gold[row["uid"]] for row in others])
        tuned = train_labeler(
            place / "reports.csv",
            place / "model",
            gold=place / "gold.csv",
            silver_stage=False,
            augment=["paraphrase"],
            encoder=model,
            recipe=recipe,
            id_column="uid",
            progress=show,
        )
        texts = [f"{row['findings']} {row['impression']}".strip() for row in mine]
        predicted |= dict(zip([row["uid"] for row in mine], tuned.predict(texts).codes, strict=True))
    minutes = (time.perf_counter() - start) / 60
    ids = tuple(row["uid"] for row in order)
    texts = [f"{row['findings']} {row['impression']}".strip() for row in order]
    write(work / "gold.csv", [gold[uid] for uid in ids])
    grids = [
        LabelGrid("rules", ids, HEADS, silver_from_rules()(texts)),
        LabelGrid("stage one", ids, HEADS, stage_one.predict(texts).codes),
        LabelGrid("stage two", ids, HEADS, np.stack([predicted[uid] for uid in ids])),
    ]
    result = compare_labels(work / "gold.csv", grids, gold_kind="four-state", id_column="uid")
    wanted = [("micro", "accuracy"), ("macro", "weighted_f1"), ("micro", "uncertain_f1"), ("macro", "uncertain_f1")]
    names = [*(grid.name for grid in grids), "stage two - stage one", "stage two - rules"]
    measured = {
        name: {f"{finding} {metric}": shown(result.row(name, finding, metric)) for finding, metric in wanted}
        for name in names
    }
    return {"stage two, minutes for all folds": minutes, "expert labels, held-out folds": measured}


def shown(row: AgreementRow) -> str:
    """A number with its interval and, for a difference, its p-value."""
    if row.value is None or row.low is None or row.high is None:
        return "undefined" if row.value is None else f"{row.value:.4f}"
    p = "" if row.p_value is None else f", p = {row.p_value:.3f}"
    return f"{row.value:.4f} ({row.low:.4f} to {row.high:.4f}{p})"


def show(stage: str, step: int, steps: int, numbers: dict[str, float]) -> None:
    """Progress on stderr: the held-out looks."""
    if len(numbers) > 1 or step == steps:
        told = " ".join(f"{name} {value:.4f}" for name, value in numbers.items())
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {stage} {step}/{steps} {told}\n")


def share_of(uid: str, purpose: str) -> float:
    """A number in [0, 1) that only the identifier decides."""
    return int(hashlib.sha256(f"{purpose}:{uid}".encode()).hexdigest()[:8], 16) / 2**32


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """Rows as a CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
