"""`hilum search`, `hilum index` and `hilum retrieval` as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import make_small_archive
from tests.tasks.conftest import tiny_model

from hilum.archive import Archive
from hilum.models import Model, import_checkpoint

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP with random weights."""
    out = tmp_path_factory.mktemp("clip") / "model"
    import_checkpoint("chexzero", [golden / "chexzero" / "checkpoint_a.pt"], out, antialias=True)
    return out


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 labeled disks that nobody has embedded before the first search."""
    return make_small_archive(tmp_path_factory.mktemp("disks") / "archive", count=40, labels=True)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 70), dtype=np.uint8)).save(tmp_path / "new.png")
    return tmp_path / "new.png"


def test_a_text_is_searched_after_embedding_what_is_new(model: Path, archive: Path, call: Call) -> None:
    code, out, err = call(
        "search", model, archive, "left effusion", "-k", "3", "--where", "label('effusion') = 'positive'"
    )
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].split() == ["#", "score", "view", "sex", "age", "image", "report"]
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3"]
    assert all("effusion. No pneumothorax." in line for line in lines[1:])
    assert "3 of 40 images; scores are cosines" in err
    assert "Research use only" in err
    assert Archive.open(archive).embedding_shapes()[Model.load(model).fingerprint][0] == 40


def test_json_and_a_sheet_are_written(model: Path, archive: Path, picture: Path, tmp_path: Path, call: Call) -> None:
    sheet = tmp_path / "deep" / "found.png"
    code, out, err = call("search", model, archive, "--like", picture, "-k", "4", "--json", "--sheet", sheet)
    assert code == 0, err
    found = json.loads(out)
    assert found["query"]["like"] == str(picture)
    assert (found["among"], found["exact"], len(found["hits"])) == (40, True, 4)
    assert set(found["hits"][0]) >= {"image_id", "study_id", "row", "score", "view", "split", "found_by", "text"}
    with Image.open(sheet) as image:
        assert image.size[0] > 5 * 256


def test_an_image_of_the_archive_may_be_named(model: Path, archive: Path, call: Call) -> None:
    code, out, err = call("search", model, archive, "--like", "i5", "--json", "-k", "40")
    assert code == 0, err
    hits = json.loads(out)["hits"]
    assert len(hits) == 39
    assert "i5" not in {hit["image_id"] for hit in hits}
    code, out, err = call("search", model, archive, "--report", "i5", "-k", "2")
    assert code == 0, err
    assert out.splitlines()[0].split() == ["#", "score", "copies", "study", "report"]
    assert "A retrieval, not a reading" in err


def test_words_are_searched_alone_and_with_a_text(model: Path, archive: Path, call: Call) -> None:
    code, out, err = call("search", model, archive, "--words", '"left effusion"', "--json", "-k", "40")
    assert code == 0, err
    assert {hit["image_id"] for hit in json.loads(out)["hits"]} == {f"i{n}" for n in range(3, 40, 4)}
    code, out, err = call("search", model, archive, "left effusion", "--words", "left")
    assert code == 0, err
    assert "text+words" in out
    assert "1 / (60 + rank)" in err
    code, out, err = call("search", model, archive, "--words", "zebra")
    assert (code, out) == (0, "")
    assert "nothing fits" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "what to look for?"),
        (("edema", "--like", "i5"), "cannot be asked together"),
        (("--like", "i5", "--words", "left"), "--words goes with a text"),
        (("--report", "i5", "--sheet", "x.png"), "--sheet shows images"),
        (("--like", "nowhere.dcm"), "no such file, and no image"),
        (("edema", "--where", "viw = 'pa'"), "Did you mean 'view'"),
        (("edema", "--where", "view = 'pa'; DROP"), "cannot be read"),
        (("edema", "-k", "0"), "Invalid value"),
    ],
)
def test_a_wrong_call_is_told(model: Path, archive: Path, call: Call, words: tuple[str, ...], said: str) -> None:
    code, out, err = call("search", model, archive, *words)
    assert (code, out) == (2, "")
    assert said in err


def test_archive_and_model_in_the_wrong_order_are_told(model: Path, archive: Path, call: Call) -> None:
    code, _, err = call("search", archive, model, "edema")
    assert code == 1
    assert "Models come first" in err


def test_a_model_of_images_alone_finds_images_and_is_told_apart(archive: Path, tmp_path: Path, call: Call) -> None:
    folder = tiny_model(name="alone").save(tmp_path / "alone")
    for words in (("edema",), ("--report", "i5")):
        code, _, err = call("search", folder, archive, *words)
        assert code == 1
        assert "has no text tower" in err
    fingerprint = Model.load(folder).fingerprint
    assert fingerprint not in Archive.open(archive).embedding_shapes()  # told before anything was embedded
    code, out, err = call("search", folder, archive, "--like", "i5", "-k", "2")
    assert code == 0, err
    assert len(out.splitlines()) == 3


def test_index_tells_what_it_made(model: Path, archive: Path, call: Call) -> None:
    code, out, err = call("index", model, archive)
    assert code == 0, err
    assert "vector index: none; below 100,000 vectors all are compared" in out
    assert "index of words: 40 reports" in out
    assert "report texts: 4 different ones" in out


def test_retrieval_is_measured_and_the_gallery_is_told(model: Path, archive: Path, tmp_path: Path, call: Call) -> None:
    out_file = tmp_path / "r.csv"
    code, out, err = call(
        "retrieval", model, archive, "-c", "effusion", "-c", "pneumothorax", "--replicates", "20", "-o", out_file
    )
    assert code == 0, err
    assert "own report and own image" in out
    assert "image to image, same class" in out
    assert "40 images of 40 patients; 40 with a report text, 4 different ones (36 repeated texts merged)." in out
    assert out_file.read_text().startswith("model,dataset,finding,metric,value,low,high,n,")
    code, out, err = call("retrieval", model, archive, "--json", "--replicates", "20")
    assert {row["finding"] for row in json.loads(out)} == {"report"}
    code, _, err = call("retrieval", model)
    assert code == 2
    assert "hilum retrieval MODEL" in err
