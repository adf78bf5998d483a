"""Labeling runs: inputs of every kind, outputs, workers, taking up a stopped run, and bad input."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hilum.reports.labeling as labeling
from hilum.cli import main
from hilum.errors import HilumError, TableError, UsageError
from hilum.findings import CHEXPERT_NAMES
from hilum.reports import RuleLabeler, label
from hilum.reports.inputs import Chunk, ReportInput, join_texts, open_input

REPORTS = [
    ("s1", "Small left effusion. No pneumothorax.", "Effusion."),
    ("007", "Heart size is normal.", ""),
    ("s3", "", "Possible pneumonia."),
]


def write_csv(path: Path, rows: list[list[str]], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "reports.csv", [["study_id", "findings", "impression"], *map(list, REPORTS)])


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out, said.err


# -- inputs ----------------------------------------------------------------------------------------------------------


def test_a_table_is_labeled_row_by_row(table: Path, tmp_path: Path) -> None:
    summary = label(table, tmp_path / "labels.csv")
    rows = read(tmp_path / "labels.csv")
    assert list(rows[0]) == ["study_id", *CHEXPERT_NAMES]
    assert [row["study_id"] for row in rows] == ["s1", "007", "s3"]
    assert rows[0]["Pleural Effusion"] == "1"
    assert rows[0]["Pneumothorax"] == "0"
    assert rows[1]["Cardiomegaly"] == "0"
    assert rows[2]["Pneumonia"] == "-1"
    assert rows[2]["Edema"] == ""
    assert summary.reports == 3
    assert summary.counts["Pleural Effusion"]["positive"] == 1


@pytest.mark.parametrize("kind", ["tsv", "semicolon", "latin1", "utf16", "bom", "gz", "parquet", "crlf"])
def test_every_kind_of_table_gives_the_same_labels(kind: str, table: Path, tmp_path: Path) -> None:
    label(table, tmp_path / "expected.csv")
    rows = [["study_id", "findings", "impression"], *map(list, REPORTS)]
    path = tmp_path / f"other.{kind}"
    if kind == "parquet":
        columns = dict(zip(rows[0], map(list, zip(*REPORTS, strict=True)), strict=True))
        pq.write_table(pa.table(columns), path)
    elif kind == "gz":
        path.write_bytes(gzip.compress(table.read_bytes()))
    elif kind == "latin1":
        rows[1][1] = "Café au lait. " + rows[1][1]
        write_csv(path, rows, encoding="latin-1")
    elif kind in ("utf16", "bom"):
        write_csv(path, rows, encoding={"utf16": "utf-16", "bom": "utf-8-sig"}[kind])
    else:
        write_csv(path, rows, {"tsv": "\t", "semicolon": ";", "crlf": ","}[kind])
    label(path, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == (tmp_path / "expected.csv").read_text()


def test_text_columns_are_joined_in_the_order_given(table: Path, tmp_path: Path) -> None:
    chunk = next(open_input(table, ["impression", "findings"]).chunks())
    assert chunk.texts[0] == "Effusion. Small left effusion. No pneumothorax."
    assert chunk.texts[2] == "Possible pneumonia."


def test_joined_texts_never_run_into_each_other() -> None:
    assert join_texts(["No effusion", "Pneumothorax."]) == "No effusion\n\nPneumothorax."
    assert RuleLabeler().label(join_texts(["No effusion", "Pneumothorax."])).codes()["Pneumothorax"] == 1


def test_a_folder_of_text_files_is_labeled(tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "p10"
    folder.mkdir(parents=True)
    (folder / "s1.txt").write_text("FINDINGS: No edema.")
    (folder / "s2.TXT").write_bytes(b"Small effusion. Caf\xe9.")
    label(tmp_path / "reports", tmp_path / "labels.csv")
    rows = read(tmp_path / "labels.csv")
    assert [row["file"] for row in rows] == ["p10/s1", "p10/s2"]
    assert rows[0]["Edema"] == "0"
    assert rows[1]["Pleural Effusion"] == "1"


def test_a_table_without_header_or_ids_is_numbered(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "plain.csv", [["There is a small effusion."], ["No edema is seen."]])
    label(path, tmp_path / "labels.csv")
    assert [(row["row"], row["Pleural Effusion"], row["Edema"]) for row in read(tmp_path / "labels.csv")] == [
        ("1", "1", ""),
        ("2", "", "0"),
    ]


def test_an_archive_takes_the_labels_itself(tmp_path: Path) -> None:
    from hilum.archive import Archive

    archive = Archive.create(tmp_path / "a.hilum", text_policy="impression")
    archive.add_studies(
        pa.table(
            {
                "study_id": ["s1", "s2"],
                "patient_id": ["p1", "p2"],
                "source": ["t", "t"],
                "report": ["x", "y"],
                "findings": ["Small effusion.", "No edema."],
                "impression": ["No pneumothorax.", None],
            }
        )
    )
    for _ in range(2):  # twice changes nothing
        summary = label(tmp_path / "a.hilum")
        labels = Archive.open(tmp_path / "a.hilum").labels().to_pylist()
        said = {(row["study_id"], row["finding"]): row["value"] for row in labels}
        assert len(labels) == len(said) == 28
        assert said["s1", "Pneumothorax"] == "negative"
        assert said["s1", "Pleural Effusion"] == "not_mentioned"  # the policy takes the impression only
        assert {row["said_by"] for row in labels} == {summary.said_by}
        assert all(row["image_id"] is None for row in labels)
        assert summary.out is None
    assert summary.said_by.startswith("rules@")


# -- outputs ---------------------------------------------------------------------------------------------------------


def test_evidence_names_words_rules_and_ids(table: Path, tmp_path: Path) -> None:
    label(table, tmp_path / "labels.csv", evidence=tmp_path / "evidence.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "evidence.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == ["s1", "007", "s3"]
    pneumothorax = next(item for item in lines[0]["evidence"] if item["observation"] == "Pneumothorax")
    assert pneumothorax["cue_text"] == "No"
    assert pneumothorax["rule"] == "negation.no"
    assert pneumothorax["sentence_text"] == "No pneumothorax."
    assert pneumothorax["wins"] is True
    assert lines[0]["labels"]["Pneumothorax"] == 0


def test_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hilum.reports.inputs.CHUNK", 40)
    rows = [[f"s{i}", REPORTS[i % 3][1] + " " + REPORTS[i % 3][2]] for i in range(500)]
    path = write_csv(tmp_path / "many.csv", [["id", "report"], *rows])
    for workers in (1, 2):
        label(path, tmp_path / f"{workers}.csv", workers=workers, evidence=tmp_path / f"{workers}.jsonl")
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "2.jsonl").read_bytes()


def test_options_turn_the_written_labels(table: Path, tmp_path: Path) -> None:
    label(table, tmp_path / "labels.csv", uncertain="u-ones", propagate_parents=True)
    third = read(tmp_path / "labels.csv")[2]
    assert third["Pneumonia"] == third["Consolidation"] == third["Lung Opacity"] == "1"


def test_compat_writes_the_columns_of_the_original(table: Path, tmp_path: Path) -> None:
    label(table, tmp_path / "labels.csv", compat="chexpert")
    header = list(read(tmp_path / "labels.csv")[0])
    assert header.index("Lung Lesion") + 1 == header.index("Lung Opacity")


def test_a_vocabulary_adds_a_column(table: Path, tmp_path: Path) -> None:
    mine = tmp_path / "my.toml"
    mine.write_text('[[finding]]\nname = "Left Sided"\nphrases = ["left effusion"]\n')
    label(table, tmp_path / "labels.csv", vocabulary=mine)
    assert read(tmp_path / "labels.csv")[0]["Left Sided"] == "1"


def test_the_review_page_marks_words_and_escapes_text(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "r.csv", [["id", "report"], ["<s>1", "No edema <script>alert(1)</script> & more. Small effusion."]]
    )
    label(path, tmp_path / "labels.csv", html=tmp_path / "review.html")
    page = (tmp_path / "review.html").read_text()
    assert "<script>" not in page
    assert "&lt;s&gt;1" in page
    assert '<u>No</u> <mark class="neg"' in page
    assert 'title="Pleural Effusion: positive (assertion.plain)">effusion</mark>' in page


def test_the_review_page_shows_disagreements_side_by_side(table: Path, tmp_path: Path) -> None:
    label(table, tmp_path / "labels.csv")
    rows = read(tmp_path / "labels.csv")
    rows[0]["Pneumothorax"], rows[0]["Fracture"] = "1", "0"
    rows[2]["Edema"] = "-1"
    header = list(rows[0])
    other = write_csv(tmp_path / "other.csv", [header, *[[row[name] for name in header] for row in rows]])
    label(table, tmp_path / "labels.csv", html=tmp_path / "review.html", against=other)
    page = (tmp_path / "review.html").read_text()
    assert "3 reports compared; 2 differ, in 3 of 42 cells" in page
    assert page.index("<h2>s1</h2>") < page.index("<h2>s3</h2>")
    assert "<h2>007</h2>" not in page
    assert page.count('class="differs"') == 3


# -- stopped runs ----------------------------------------------------------------------------------------------------


class Stopped(Exception):
    pass


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    original = ReportInput.chunks
    monkeypatch.setattr(ReportInput, "chunks", lambda self, size=3: original(self, 3))


@pytest.mark.usefixtures("small_chunks")
def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [[f"s{i}", "" if i % 5 == 0 else "Small effusion."] for i in range(20)]
    path = write_csv(tmp_path / "r.csv", [["id", "report"], *rows])
    label(path, tmp_path / "whole.csv", evidence=tmp_path / "whole.jsonl")
    calls = 0
    original = labeling.label_chunk

    def dies(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise Stopped
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(labeling, "label_chunk", dies)
    with pytest.raises(Stopped):
        label(path, tmp_path / "out.csv", evidence=tmp_path / "out.jsonl")
    assert not (tmp_path / "out.csv").exists()
    with (tmp_path / "out.csv.part").open("a") as torn:
        torn.write("s9,1,,")  # a line cut off by the kill
    summary = label(path, tmp_path / "out.csv", evidence=tmp_path / "out.jsonl")
    assert summary.resumed_at == 9
    assert summary.reports == 20
    assert summary.notes == {"empty": 4}
    assert summary.counts["Pleural Effusion"]["positive"] == 16
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert (tmp_path / "out.notes.csv").read_bytes() == (tmp_path / "whole.notes.csv").read_bytes()
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.usefixtures("small_chunks")
def test_another_input_or_setting_starts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_csv(tmp_path / "r.csv", [["id", "report"], *[[f"s{i}", "Possible effusion."] for i in range(9)]])

    def stops() -> Iterator[Chunk]:
        yield from ()

    original = labeling.label_chunk
    monkeypatch.setattr(labeling, "label_chunk", lambda *a: (_ for _ in ()).throw(Stopped))
    with pytest.raises(Stopped):
        label(path, tmp_path / "out.csv")
    monkeypatch.setattr(labeling, "label_chunk", original)
    summary = label(path, tmp_path / "out.csv", uncertain="u-ones")
    assert summary.resumed_at == 0
    assert {row["Pleural Effusion"] for row in read(tmp_path / "out.csv")} == {"1"}


def test_running_twice_gives_the_same_table(table: Path, tmp_path: Path) -> None:
    label(table, tmp_path / "labels.csv")
    first = (tmp_path / "labels.csv").read_bytes()
    label(table, tmp_path / "labels.csv")
    assert (tmp_path / "labels.csv").read_bytes() == first


# -- bad input -------------------------------------------------------------------------------------------------------


def test_rows_without_usable_text_stay_blank_and_are_counted(tmp_path: Path) -> None:
    rows = [
        ["s1", ""],
        ["s2", "nan"],
        ["s3", "XXXX."],
        ["s4", "No hay derrame pleural ni consolidación en los pulmones."],
        ["s5", "Clear lungs."],
    ]
    path = write_csv(tmp_path / "r.csv", [["id", "report"], *rows])
    summary = label(path, tmp_path / "labels.csv")
    said = read(tmp_path / "labels.csv")
    assert [row["id"] for row in said] == ["s1", "s2", "s3", "s4", "s5"]
    assert [row["No Finding"] for row in said] == ["", "", "", "", "1"]
    assert summary.notes == {"empty": 3, "not English": 1}
    notes = read(tmp_path / "labels.notes.csv")
    assert [(row["id"], row["note"]) for row in notes][-1] == ("s4", "not English")


def test_nan_rows_of_parquet_stay_blank(tmp_path: Path) -> None:
    pq.write_table(pa.table({"study_id": [1.0, 2.0], "report": [None, "No edema."]}), tmp_path / "r.parquet")
    label(tmp_path / "r.parquet", tmp_path / "labels.csv")
    assert [(row["study_id"], row["Edema"]) for row in read(tmp_path / "labels.csv")] == [("1", ""), ("2", "0")]


def test_repeated_ids_are_counted_and_kept(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "r.csv", [["id", "report"], ["a", "No edema."], ["a", "Edema."]])
    summary = label(path, tmp_path / "labels.csv")
    assert summary.duplicate_ids == 1
    assert [row["Edema"] for row in read(tmp_path / "labels.csv")] == ["0", "1"]


@pytest.mark.parametrize(
    ("content", "options", "error", "message"),
    [
        (b"", {}, TableError, "is empty"),
        (b"id,report\n", {"text_columns": ["reprot"]}, TableError, "Did you mean 'report'"),
        (b"id,report\n", {"id_column": "uid"}, TableError, "no column 'uid'"),
        (b"a,b,c\n1,2,3\n", {}, UsageError, "--text-column"),
        (b"id,report\n1,one, two\n", {}, TableError, "row 1: 3 cells"),
        (b"\x00\x01\x02binary\x00", {}, TableError, "binary"),
        (b"PK\x03\x04zip", {}, TableError, "Excel"),
        (b"<!doctype html><html>", {}, TableError, "HTML"),
        (b"PAR1broken", {}, TableError, "damaged Parquet"),
    ],
)
def test_a_bad_table_is_a_named_error(
    tmp_path: Path, content: bytes, options: dict[str, object], error: type[HilumError], message: str
) -> None:
    (tmp_path / "r.csv").write_bytes(content)
    with pytest.raises(error, match=message):
        label(tmp_path / "r.csv", tmp_path / "labels.csv", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "labels.csv").exists()


def test_a_missing_input_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="cannot be read"):
        label(tmp_path / "none.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TableError, match=r"no \.txt files"):
        label(tmp_path / "empty")


def test_against_a_table_of_other_reports_is_a_named_error(table: Path, tmp_path: Path) -> None:
    other = write_csv(tmp_path / "other.csv", [["id", "Edema"], ["zz", "1"]])
    with pytest.raises(TableError, match="none of its 1 ids"):
        label(table, tmp_path / "labels.csv", html=tmp_path / "r.html", against=other)
    with pytest.raises(UsageError, match="--html"):
        label(table, tmp_path / "labels.csv", against=other)


# -- the command -----------------------------------------------------------------------------------------------------


def test_the_command_labels_and_says_what_it_did(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "labels.csv"
    code, said, _ = run(
        capsys, "label", table, "--text-column", "findings", "--text-column", "impression", "--out", out
    )
    assert code == 0
    assert "3 reports labeled by rules@" in said
    assert len(read(out)) == 3


def test_the_command_exits_3_where_a_report_is_not_english(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_csv(tmp_path / "r.csv", [["id", "report"], ["a", "Kein Pleuraerguss und keine Infiltrate der Lunge."]])
    code, said, _ = run(capsys, "label", path, "-o", tmp_path / "labels.csv")
    assert code == 3
    assert "1 reports left blank: not English" in said


def test_the_command_explains_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "label")[0] == 2
    code, _, said = run(capsys, "label", tmp_path / "none.csv")
    assert code == 1
    assert "cannot be read" in said


def test_the_self_test_passes_here(capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = run(capsys, "label", "--self-test")
    assert code == 0
    assert "known misses" in said


def test_the_self_test_fails_loudly(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hilum.reports.self_test.KNOWN_MISSES", frozenset())
    code, said, complaint = run(capsys, "label", "--self-test")
    assert code == 1
    assert "WRONG" in said
    assert "self-test failed" in complaint


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_a_killed_run_leaves_no_workers_and_goes_on(tmp_path: Path) -> None:
    rows = [[f"s{i}", f"Small effusion {i}. No pneumothorax {i}. Heart size is normal {i}."] for i in range(60_000)]
    path = write_csv(tmp_path / "r.csv", [["id", "report"], *rows])
    command = [sys.executable, "-m", "hilum", "label", str(path), "-o", str(tmp_path / "out.csv"), "--workers", "2"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    state = tmp_path / "out.csv.part.json"
    for _ in range(600):
        if state.exists() and json.loads(state.read_text())["done"] > 0:
            break
        time.sleep(0.05)
    workers = [int(child) for child in Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()]
    running.kill()
    running.wait()
    for _ in range(100):
        if not any(map(alive, workers)):
            break
        time.sleep(0.1)
    assert workers
    assert not any(map(alive, workers))
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "by an earlier run that was stopped" in said
    assert [row["id"] for row in read(tmp_path / "out.csv")] == [row[0] for row in rows]
