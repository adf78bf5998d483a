"""Shenzhen and Montgomery: the class is the digit before the ending, and sex and age stand in a text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.sources.entered import enter, write_picture

from hilum.errors import SourceError
from hilum.sources import ingest
from hilum.sources.shenzhen import read_clinical


def shenzhen(root: Path) -> Path:
    home = root / "ChinaSet_AllFiles"
    texts = {"CHNCXR_0001_0": "male 45yrs\nnormal", "CHNCXR_0327_1": "Female  28yrs\nbilateral PTB\n"}
    for seed, (name, text) in enumerate(texts.items()):
        write_picture(home / "CXR_png" / f"{name}.png", seed)
        (home / "ClinicalReadings").mkdir(exist_ok=True)
        (home / "ClinicalReadings" / f"{name}.txt").write_text(text)
    color = np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(color).save(home / "CXR_png" / "CHNCXR_0328_1.png")
    (home / "CXR_png" / "Thumbs.db").write_bytes(b"x")
    return root


def montgomery(root: Path) -> Path:
    home = root / "NLM-MontgomeryCXRSet" / "MontgomerySet"
    write_picture(home / "CXR_png" / "MCUCXR_0001_0.png", 1, depth=16)
    write_picture(home / "ManualMask" / "leftMask" / "MCUCXR_0001_0.png", 2)
    (home / "ClinicalReadings").mkdir()
    text = "Patient's Sex: F\nPatient's Age: 027Y\nnormal\n"
    (home / "ClinicalReadings" / "MCUCXR_0001_0.txt").write_text(text)
    return root


def test_shenzhen_enters_with_sex_age_reading_and_class(tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "shenzhen", shenzhen(tmp_path / "s"))
    assert [found.said[f"shenzhen-CHNCXR_{n}", "Tuberculosis"] for n in ("0001_0", "0327_1", "0328_1")] == [
        "negative",
        "positive",
        "positive",
    ]
    assert found.column("sex") == {
        "shenzhen-CHNCXR_0001_0": "M",
        "shenzhen-CHNCXR_0327_1": "F",
        "shenzhen-CHNCXR_0328_1": None,
    }
    assert found.images["shenzhen-CHNCXR_0327_1"]["age_years"] == 28.0
    assert set(found.column("view").values()) == {"pa"}
    assert found.reports() == {"shenzhen-0001": "normal", "shenzhen-0327": "bilateral PTB", "shenzhen-0328": None}
    assert found.summary.notes == ["1 of 3 images have no clinical reading beside them"]


def test_montgomery_joins_it_in_one_archive(tmp_path: Path) -> None:
    enter(tmp_path / "a", "shenzhen", shenzhen(tmp_path / "s"))
    found = enter(tmp_path / "a", "montgomery", montgomery(tmp_path / "m"))
    assert found.summary.added == 1
    image = found.images["montgomery-MCUCXR_0001_0"]
    assert (image["sex"], image["age_years"], image["patient_id"]) == ("F", 27.0, "montgomery-0001")
    assert found.reports()["montgomery-0001"] == "normal"
    assert found.said == {("montgomery-MCUCXR_0001_0", "Tuberculosis"): "negative"}
    assert len(found.images) == 4


@pytest.mark.parametrize(
    ("text", "sex", "age", "words"),
    [
        (b"male 45yrs\nnormal", "M", 45.0, "normal"),
        (b"Female, 18 months\nMale-looking ribs", "F", 1.5, "Male-looking ribs"),
        (b"Patient's Sex: M\r\nPatient's Age: 060Y\r\nPatient has cavitary lesion\r\n", "M", 60.0, "Patient has cavitary lesion"),
        (b"male 33 yrs\nPTB in the right upper field, 2 nodules\n", "M", 33.0, "PTB in the right upper field, 2 nodules"),
        (b"male 33yrs\ncaf\xe9\n", "M", 33.0, "café"),
        (b"", None, None, None),
    ],
)  # fmt: skip
def test_readings_are_cut_from_sex_and_age(
    tmp_path: Path, text: bytes, sex: str | None, age: float | None, words: str | None
) -> None:
    (tmp_path / "x.txt").write_bytes(text)
    assert read_clinical(tmp_path / "x.txt") == (sex, age, words)


def test_another_name_is_rejected_and_another_folder_refused(tmp_path: Path) -> None:
    root = shenzhen(tmp_path / "s")
    write_picture(root / "ChinaSet_AllFiles" / "CXR_png" / "MCUCXR_0001_0.png")
    assert enter(tmp_path / "a", "shenzhen", root).summary.rejected == {"no_class": 1}
    with pytest.raises(SourceError, match="lacks CXR_png; it holds: ChinaSet_AllFiles"):
        ingest("montgomery", root, tmp_path / "b")
