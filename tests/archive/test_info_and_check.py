"""`hilum info` and `hilum check` as typed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from hilum.archive import Archive, summarize
from hilum.cli import main

Rows = Callable[..., pa.Table]


def typed(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0)


@pytest.fixture
def known(archive: Archive, image_rows: Rows) -> Archive:
    views = ["pa"] * 3 + ["lateral"] * 2 + ["unknown"]
    ages = [0.4, 17.9, 18, 45, 93, None]
    archive.add_images(
        image_rows(0, 6, view=views, age_years=ages, sex=["F", "F", "M", "F", "M", None], source=["x"] * 6)
    )
    archive.set_splits({"p0": "train", "p1": "val"})
    studies = {"study_id": ["s0", "s1", "s2"], "report": ["a", "b", None], "impression": ["a", " ", None]}
    archive.add_studies(pa.table(studies))
    said = {"study_id": ["s0", "s1", "s0"], "finding": ["Edema", "Edema", "Fracture"]}
    archive.add_labels(pa.table(said | {"value": ["positive", "negative", "uncertain"], "said_by": ["rules@1"] * 3}))
    archive.add_embeddings("abc", ["i0", "i1"], np.ones((2, 5)))
    archive.add_rejects(pa.table({"path": ["f", "g", "h"], "reason": ["truncated", "truncated", "empty"]}))
    return archive


def test_the_summary_counts_everything(known: Archive) -> None:
    summary = summarize(known)
    assert (summary["images"], summary["patients"], summary["studies"]) == (6, 3, 3)
    assert summary["by"]["view"] == {"pa": 3, "lateral": 2, "unknown": 1}
    assert summary["by"]["sex"] == {"F": 3, "M": 2, "not given": 1}
    assert summary["by"]["age"] == {"0-17": 2, "18-29": 1, "40-49": 1, "80+": 1, "not given": 1}
    assert summary["by"]["split"] == {"train": 2, "val": 2, "not given": 2}
    assert summary["by"]["source"] == {"x": 6}
    assert summary["reports"]["report"] == 2
    assert summary["reports"]["impression"] == 1
    assert summary["labels"] == [
        {"said_by": "rules@1", "finding": "Edema", "positive": 1, "negative": 1},
        {"said_by": "rules@1", "finding": "Fracture", "uncertain": 1},
    ]
    assert summary["embeddings"] == [{"fingerprint": "abc", "n": 2, "dimension": 5}]
    assert summary["rejects"] == {"truncated": 2, "empty": 1}
    assert summary["manifest"]["longer_side_px"] == 384
    assert summary["size_bytes"] > 1000


def test_info_prints_what_the_summary_holds(known: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("info", str(known.path), "--json") == 0
    assert json.loads(capsys.readouterr().out) == summarize(known)
    assert typed("info", str(known.path)) == 0
    shown = capsys.readouterr().out
    for word in ("6 images, 3 studies, 3 patients", "lateral", "80+", "Fracture", "abc", "truncated", "impression"):
        assert word in shown


def test_info_of_an_empty_archive_works(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("info", str(archive.path)) == 0
    assert "0 images" in capsys.readouterr().out


def test_check_exits_0_when_clean_and_1_when_not(known: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("check", str(known.path)) == 1
    shown = capsys.readouterr().out
    assert "image_without_study: 3 images" in shown
    assert "what to do:" in shown
    assert typed("check", str(known.path), "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert not report["clean"]
    assert {problem["kind"] for problem in report["problems"]} >= {"image_without_study", "study_without_report"}
    Archive.create(known.path.parent / "empty")
    assert typed("check", str(known.path.parent / "empty")) == 0
    assert "no problem found" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["info", "check"])
def test_a_missing_archive_is_an_error_with_a_next_step(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(verb, "/nowhere/at/all") == 1
    assert "no such archive. Make one with: hilum ingest" in capsys.readouterr().err


def test_the_commands_load_nothing_heavy() -> None:
    heavy = ("lance", "pyarrow", "numpy", "torch", "rich.table")
    script = f"import sys, hilum.cli.info, hilum.cli.check; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"
