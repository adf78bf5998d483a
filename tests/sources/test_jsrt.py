"""JSRT: raw big-endian files and ragged clinical texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.sources.entered import enter

from hilum.errors import SourceError, TableError
from hilum.sources import ingest

NODULES = (
    "JPCLN001.IMG\t5\t15\t53\tMale\t1634\t692\tmalignant\tl.upper lobe\tlung cancer\n"
    "JPCLN002.IMG\t1\t20\t?\tFemale\t1600\t800\tbenign\tr.upper lobe\n"
    "JPCLN003.IMG\t3\t12\t70\tFemale\t1600\t800\tmalignant\tr.S1\tad\xe9nocarcinome\t\t\n"
)
NONE = "JPCNN001.IMG  36  Female  non-nodule\r\nJPCNN002.IMG ? Male non-nodule\r\n"


def raw(path: Path, dark_side: str) -> None:
    """One half dark film (high values), the other bright."""
    values = np.full((2048, 2048), 300, ">u2")
    values[:, : 1024 if dark_side == "left" else 2048] = 3800
    values[0, 0] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(values.tobytes())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "jsrt"
    raw(root / "Nodule154images" / "JPCLN001.IMG", "left")
    raw(root / "NonNodule93images" / "JPCNN001.IMG", "left")
    (root / "Clinical_Information").mkdir()
    (root / "Clinical_Information" / "CLNDAT_EN.txt").write_bytes(NODULES.encode("latin-1"))
    (root / "Clinical_Information" / "CNNDAT_EN.TXT").write_text(NONE)
    return root


def test_subtlety_is_one_of_six_classes(root: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "jsrt", root)
    assert found.has("JPCLN001") == {"Nodule Subtlety 5", "Nodule", "Malignant Nodule"}
    assert found.has("JPCNN001") == {"Nodule Subtlety 0"}
    assert len(found.has("JPCNN001", "negative")) == 7
    assert found.column("age_years") == {"JPCLN001": 53.0, "JPCNN001": 36.0}
    assert found.column("sex") == {"JPCLN001": "M", "JPCNN001": "F"}
    assert found.summary.notes == ["3 of 5 images in CLNDAT_EN.TXT and CNNDAT_EN.TXT are not in the folder"]


def test_dark_film_is_shown_dark_and_its_spacing_kept(root: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "jsrt", root)
    row = found.images["JPCLN001"]
    pixels = found.archive.pixels([row["row"]])[0]
    assert pixels.shape == (384, 384)
    assert pixels[200, 50] < 30 < 220 < pixels[200, 350]
    assert row["pixel_spacing_mm"] == pytest.approx(0.175 * 2048 / 384)


def test_ragged_lines_and_unknown_ages_are_read(tmp_path: Path) -> None:
    from hilum.sources.jsrt import read_no_nodules, read_nodules

    (tmp_path / "a.txt").write_bytes(NODULES.encode("latin-1"))
    nodules = read_nodules(tmp_path / "a.txt")
    assert (nodules["JPCLN002"].age_years, nodules["JPCLN002"].sex) == (None, "F")
    assert dict(nodules["JPCLN003"].labels)["Nodule Subtlety 3"].value == "positive"
    (tmp_path / "b.txt").write_text(NONE)
    assert list(read_no_nodules(tmp_path / "b.txt")) == ["JPCNN001", "JPCNN002"]


def test_another_order_of_fields_stops_and_missing_parts_are_named(root: Path, tmp_path: Path) -> None:
    text = root / "Clinical_Information" / "CLNDAT_EN.txt"
    text.write_text("JPCLN001.IMG\t53\tMale\t5\t15\tl.upper lobe\tmalignant\n")
    with pytest.raises(TableError, match="line 1: subtlety '53'"):
        ingest("jsrt", root, tmp_path / "a")
    text.unlink()
    with pytest.raises(SourceError, match=r"lacks CLNDAT_EN\.TXT"):
        ingest("jsrt", root, tmp_path / "a")
