"""`hilum compose` as it is typed: a draft with its sources, drafts measured, and every wrong call named."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from tests.conftest import make_small_archive
from tests.tasks.conftest import tiny_model

from hilum.archive import Archive
from hilum.models import import_checkpoint
from hilum.reports.neural.chexbert_import import import_chexbert
from hilum.tasks.composing import NOTICE

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP with random weights."""
    out = tmp_path_factory.mktemp("clip") / "model"
    import_checkpoint("chexzero", [golden / "chexzero" / "checkpoint_a.pt"], out, antialias=True)
    return out


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_archive(tmp_path_factory.mktemp("disks") / "archive")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 70), dtype=np.uint8)).save(tmp_path / "new.png")
    return tmp_path / "new.png"


def test_a_draft_for_a_file_says_what_it_is_and_where_each_sentence_is_from(
    model: Path, archive: Path, picture: Path, call: Call
) -> None:
    code, out, err = call("compose", model, archive, picture, "--sentences", "6")
    assert code == 0, err
    draft, notice = out.split("\n\n")[:2]
    assert "effusion" in draft or "pneumothorax" in draft
    assert NOTICE in notice
    assert "from:\n" in out
    assert "left out:\n" in out
    assert out.count("study s") == 6
    assert 'contradicts "' in out


def test_as_json_an_image_of_the_archive_is_not_given_its_own_report(model: Path, archive: Path, call: Call) -> None:
    code, out, err = call("compose", model, archive, "i0", "--whole", "--sentences", "4", "--json", "--split", "all")
    assert code == 0, err
    told = json.loads(out)
    assert told["notice"] == NOTICE
    assert len(told["sentences"]) == 4
    assert "s0" not in {one["study_id"] for one in told["sentences"]}


def test_a_table_of_reports_and_the_original_way(
    model: Path, archive: Path, picture: Path, tmp_path: Path, call: Call
) -> None:
    table = tmp_path / "reports.csv"
    table.write_text("study_id,report\nA,No acute process.\nB,Mild edema. No acute process.\n")
    code, out, err = call(
        "compose", model, archive, picture, "--corpus", table, "--way", "cxr-repair", "--json", "--sentences", "9"
    )
    assert code == 0, err
    told = json.loads(out)
    assert sorted(told["text"].split(". ")) == sorted(["No acute process", "Mild edema", ""]), "both, each with a blank"
    assert list(tmp_path.glob("*.safetensors")) == [], "vectors are kept in the archive that was named"


def test_drafts_measured_beside_baselines(model: Path, archive: Path, tmp_path: Path, call: Call) -> None:
    out_file = tmp_path / "results.csv"
    words = ("compose", model, archive, "--evaluate", "test", "--replicates", "20")
    code, out, err = call(*words, "-o", out_file)
    assert code == 0, err
    for shown in ("a random report", "the most frequent report", "label F1, macro", "BLEU-4", NOTICE, str(out_file)):
        assert shown in out
    rows = list(csv.DictReader(out_file.open()))
    assert {"n": rows[0]["n"], "replicates": rows[0]["replicates"]} == {"n": "16", "replicates": "20"}
    assert any(row["model"] == "selected sentences - a random report" for row in rows)
    code, out, _ = call(*words, "--json")
    told = json.loads(out)
    assert told["remarks"][0] == NOTICE
    assert len(told["results"]) == len(rows)


def test_a_neural_labeler_reads_drafts_and_gives_its_own_similarity(
    model: Path, archive: Path, golden: Path, tmp_path: Path, call: Call
) -> None:
    words = [f"[unused{i}]" for i in range(1000)]
    for number, token in {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 200: "effusion", 201: "no"}.items():
        words[number] = token
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    chexbert = golden / "chexbert" / "chexbert_tiny.pt"
    import_chexbert(chexbert, tmp_path / "vocab.txt", tmp_path / "labeler", attention_heads=4)
    code, out, err = call(
        "compose", model, archive, "--evaluate", "test", "--replicates", "5", "--labeler", tmp_path / "labeler"
    )
    assert code == 0, err
    assert "similarity, labeler" in out
    code, _, err = call("compose", model, archive, "--evaluate", "test", "--labeler", model)
    assert (code, "labeler" in err) == (1, True), err


def test_wrong_calls_are_named(model: Path, archive: Path, picture: Path, call: Call) -> None:
    for words, said in (
        ((), "name an image, or a split to measure drafts on"),
        ((picture, "--evaluate", "test"), "name an image, or a split"),
        ((picture, "-o", "x.csv"), "--out and --labeler go with --evaluate"),
        (("--evaluate", "test", "--whole"), "leave out --whole and --way"),
        ((picture, "--way", "best"), "way is 'best'; expected one of selected, cxr-repair"),
        ((picture, "--sentences", "0"), "--sentences"),
        (("nowhere.png",), "nowhere.png: no such file, and no image of"),
    ):
        code, _, err = call("compose", model, archive, *words)
        assert code == 2, err
        assert said in " ".join(err.split()), err


def test_what_cannot_be_drafted_from_is_named(
    model: Path, archive: Path, picture: Path, tmp_path: Path, call: Call
) -> None:
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.4")
    (tmp_path / "numbers.csv").write_text("a,b\n1,2\n")
    (tmp_path / "header.csv").write_text("report\n")
    silent = Archive.create(tmp_path / "silent")
    silent.add_studies(pa.table({"study_id": ["s"], "patient_id": ["p"]}))
    images = tiny_model().save(tmp_path / "images")
    for words, expected, said in (
        ((model, archive, tmp_path / "report.pdf"), 1, "It looks like a PDF document"),
        ((model, archive, picture, "--corpus", tmp_path / "numbers.csv"), 2, "which column holds the reports"),
        ((model, archive, picture, "--corpus", tmp_path / "report.pdf"), 1, "is a PDF document; expected a CSV"),
        ((model, archive, picture, "--corpus", tmp_path / "header.csv"), 1, "there is not one report in it"),
        ((model, archive, "--evaluate", "test", "-o", tmp_path), 2, "is a folder; expected the name of a CSV"),
        ((model, archive, picture, "--corpus", tmp_path / "absent.csv"), 1, "absent.csv cannot be read"),
        (
            (model, archive, picture, "--split", "tset"),
            1,
            "no study of the split 'tset' to draft from. The archive's splits: test, train, val",
        ),
        ((model, archive, picture, "--text", "conclusion"), 1, "unknown text policy 'conclusion'"),
        ((model, tmp_path / "silent", picture, "--split", "all"), 1, "A draft is made of reports: ingest some"),
        ((model, archive, "--evaluate", "tset"), 1, "(splits: test, train, val)"),
        ((images, archive, picture), 1, "images has no text tower: it encodes images alone"),
        ((archive, model, picture), 1, "Models come first, the archive last"),
        ((tmp_path / "none", archive, picture), 1, "expected a model folder, there is none"),
    ):
        code, _, err = call("compose", *words)
        assert (code, said in err) == (expected, True), err
