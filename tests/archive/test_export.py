"""Labels leave the archive as a table that an evaluation can read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from hilum.archive import Archive, export_labels
from hilum.errors import ArchiveError, UsageError

Rows = Callable[..., pa.Table]


def say(archive: Archive, *statements: tuple[str | None, str | None, str, str], by: str = "dataset:a") -> None:
    names = ("study_id", "image_id", "finding", "value")
    archive.add_labels(
        pa.Table.from_pylist([dict(zip(names, said, strict=True)) | {"said_by": by} for said in statements])
    )


@pytest.fixture
def labeled(archive: Archive) -> Archive:
    """Two images of one study and one of another."""
    ids = [("i0", "s0"), ("i1", "s0"), ("i2", "s1")]
    rows = [
        {"image_id": i, "study_id": s, "patient_id": f"p{s}", "height": 1, "width": 1, "pixels": b"x", "split": split}
        for (i, s), split in zip(ids, ("train", "test", "test"), strict=True)
    ]
    archive.add_images(pa.Table.from_pylist(rows))
    return archive


def test_a_statement_about_a_study_holds_for_its_images_and_one_about_an_image_comes_first(labeled: Archive) -> None:
    say(
        labeled,
        ("s0", None, "Edema", "positive"),
        ("s0", "i1", "Edema", "uncertain"),
        ("s1", None, "Edema", "negative"),
    )
    table = export_labels(labeled)
    assert table.column_names == ["image_id", "study_id", "patient_id", "split", "Edema"]
    assert dict(zip(table["image_id"].to_pylist(), table["Edema"].to_pylist(), strict=True)) == {
        "i0": 1,
        "i1": -1,
        "i2": 0,
    }


def test_not_mentioned_and_unsaid_are_blank(labeled: Archive) -> None:
    say(
        labeled,
        ("s0", None, "Edema", "not_mentioned"),
        ("s1", None, "zebra", "positive"),
        ("s1", None, "Mass", "positive"),
    )
    table = export_labels(labeled, where="image_id = 'i0'")
    assert table.column_names[4:] == ["Edema", "Mass", "zebra"], "the vocabulary's order, then the others"
    assert [table[name][0].as_py() for name in table.column_names[4:]] == [None, None, None]


def test_one_speaker_is_exported_and_several_are_asked_about(labeled: Archive) -> None:
    with pytest.raises(ArchiveError, match="holds no labels"):
        export_labels(labeled)
    say(labeled, ("s0", None, "Edema", "positive"))
    say(labeled, ("s0", None, "Edema", "negative"), by="rules@1")
    with pytest.raises(UsageError, match=r"labels of several: dataset:a, rules@1\. Name one with --said-by"):
        export_labels(labeled)
    with pytest.raises(UsageError, match="Did you mean 'rules@1'"):
        export_labels(labeled, "rules")
    assert export_labels(labeled, "rules@1")["Edema"].to_pylist() == [0, 0, None]
    with pytest.raises(UsageError, match="no image fits"):
        export_labels(labeled, "rules@1", "split = 'val'")


def test_the_command_writes_what_evaluate_reads(
    labeled: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from hilum.cli import main
    from hilum.tables import read_table

    say(labeled, ("s0", None, "Pleural Effusion", "positive"), ("s1", None, "Pleural Effusion", "negative"))
    words = ["labels", "export", str(labeled.path), "--where", "split = 'test'"]
    with pytest.raises(SystemExit) as stopped:
        main([*words, "-o", str(tmp_path / "truth.csv")])
    assert not stopped.value.code
    table = read_table(tmp_path / "truth.csv", id_column="image_id")
    assert table.select(["image_id", "Pleural Effusion"]).to_pylist() == [
        {"image_id": "i1", "Pleural Effusion": 1},
        {"image_id": "i2", "Pleural Effusion": 0},
    ]
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(words)
    assert capsys.readouterr().out == (tmp_path / "truth.csv").read_text()
