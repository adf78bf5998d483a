"""`hilum label --with MODEL`: the same files as by rules, with scores and the words that carried each label."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hilum.findings import CHEXPERT_NAMES
from hilum.reports.neural.chexbert_import import import_chexbert


@pytest.fixture(scope="module")
def model(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random CheXbert as a model folder."""
    folder = tmp_path_factory.mktemp("model")
    lines = [f"[unused{i}]" for i in range(1000)]
    for number, token in {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 200: "effusion", 201: "no"}.items():
        lines[number] = token
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n")
    import_chexbert(golden / "chexbert" / "chexbert_tiny.pt", folder / "vocab.txt", folder / "model", attention_heads=4)
    return folder / "model"


def test_label_with_a_model_writes_labels_scores_and_evidence(model: Path, tmp_path: Path) -> None:
    import typer

    from hilum.cli.label import label

    reports = tmp_path / "reports.csv"
    reports.write_text("study_id,report\na,No effusion.\nb,Effusion\nc,XXXX\n")
    app = typer.Typer()
    app.command()(label)
    out, evidence = tmp_path / "labels.csv", tmp_path / "evidence.jsonl"
    shown = CliRunner().invoke(
        app, [str(reports), "--with", str(model), "--out", str(out), "--evidence", str(evidence)]
    )
    assert shown.exit_code in (0, 3), shown.output
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["study_id"] for row in rows] == ["a", "b", "c"]
    assert set(CHEXPERT_NAMES) <= set(rows[0])
    assert all(rows[2][name] == "" for name in CHEXPERT_NAMES)  # nothing but a placeholder
    records = [json.loads(line) for line in evidence.read_text().splitlines()]
    scores = records[0]["scores"]["Edema"]
    assert sum(scores.values()) == pytest.approx(1, abs=1e-3)
    pieces = [piece for record in records for piece in record["evidence"]]
    assert pieces
    assert all(piece["rule"] == "occlusion" and 0 < piece["weight"] <= 1 for piece in pieces)
    assert {piece["mention_text"] for piece in pieces} <= {"No", "effusion", "No effusion", "Effusion"}
