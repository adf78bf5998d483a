"""The rule labeler on real reports with human labels: it must stay above the figures in docs/labeling.md."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from hilum.reports import RuleLabeler

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "labeling.py"
    spec = importlib.util.spec_from_file_location("labeling_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def openi(real_data: Path) -> Path:
    folder = real_data / "openi_reports"
    if not folder.is_dir():
        pytest.skip(f"no Open-I reports at {folder}")
    return folder


@pytest.fixture(scope="module")
def reports(openi: Path) -> dict[str, str]:
    with (openi / "reports.csv").open(newline="", encoding="utf-8") as file:
        return {row["uid"]: f"{row['findings']} {row['impression']}".strip() for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def said(reports: dict[str, str]) -> dict[str, dict[str, int | None]]:
    labeler = RuleLabeler()
    return {uid: dict(zip(labeler.observations, labeler.codes(text)[0], strict=True)) for uid, text in reports.items()}


def test_labels_agree_with_the_human_coders(benchmark: ModuleType, openi: Path, said: dict) -> None:
    scores = benchmark.mesh_f1(benchmark.rows(openi / "mesh_gold.csv"), said, (1,))
    assert benchmark.mean(scores.values()) >= 0.84
    assert scores["Pneumothorax"] >= 0.9
    assert scores["Cardiomegaly"] >= 0.95


def test_labels_agree_with_a_careful_reader(benchmark: ModuleType, openi: Path, said: dict) -> None:
    weighted, uncertain, accuracy = benchmark.expert_scores(benchmark.rows(openi / "expert_labels.csv"), said)
    assert weighted >= 0.96
    assert uncertain >= 0.88
    assert accuracy >= 0.985


def test_every_real_report_with_words_is_read(reports: dict[str, str]) -> None:
    labeler = RuleLabeler()
    assert {labeler.codes(text)[1] for text in reports.values()} == {"", "empty"}


def test_evidence_of_real_reports_points_at_whole_words(reports: dict[str, str]) -> None:
    labeler = RuleLabeler()
    for text in list(reports.values())[:500]:
        for item in labeler.label(text).evidence:
            start, end = item.mention
            assert not (text[start - 1 : start].isalnum() and text[start].isalnum())
            assert not (text[end - 1].isalnum() and text[end : end + 1].isalnum())
