"""Tables as they come from hospitals and spreadsheets are read, or refused with a reason."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hilum.errors import TableError
from hilum.tables import as_text, read_table


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    path = write(tmp_path / "t.csv", delimiter.join(["id", "view"]) + "\n" + delimiter.join(["a", "pa"]) + "\n")
    assert read_table(path).to_pylist() == [{"id": "a", "view": "pa"}]


def test_the_needed_columns_decide_an_ambiguous_delimiter(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "id;size (a,b,c,d)\nx;1\n")
    assert read_table(path, columns_needed=["id"]).column_names == ["id", "size (a,b,c,d)"]


def test_byte_order_mark_latin1_and_crlf_do_not_enter_names_or_values(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert read_table(write(tmp_path / "bom.csv", b"\xef\xbb\xbfid,x\r\n1,2\r\n")).column_names == ["id", "x"]
    with caplog.at_level(logging.WARNING):
        table = read_table(write(tmp_path / "latin.csv", "id,text\n1,épanchement\n".encode("latin-1")))
    assert table["text"].to_pylist() == ["épanchement"]
    assert "Latin-1" in caplog.text
    assert read_table(write(tmp_path / "u16.csv", "id,x\n1,2\n".encode("utf-16"))).column_names == ["id", "x"]


def test_identifiers_are_never_changed_by_reading_them(tmp_path: Path) -> None:
    rows = "pad,long,whole,real,score\n007,12345678901234567890,5,1.5,1\n010,2,6,,0.25\n"
    table = read_table(write(tmp_path / "t.csv", rows))
    assert table["pad"].to_pylist() == ["007", "010"]
    assert table["long"].to_pylist() == ["12345678901234567890", "2"]
    assert table["whole"].to_pylist() == [5, 6]
    assert table["real"].to_pylist() == [1.5, None]
    assert table["score"].to_pylist() == [1.0, 0.25]
    assert read_table(tmp_path / "t.csv", id_column="whole")["whole"].to_pylist() == ["5", "6"]
    assert read_table(tmp_path / "t.csv", numbers=False)["real"].to_pylist() == ["1.5", None]


def test_line_ends_inside_quotes_stay_inside_the_cell(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", 'id,report\n1,"FINDINGS: clear.\n\nIMPRESSION: ""normal"", again"\n2,x\n')
    assert read_table(path)["report"].to_pylist() == ['FINDINGS: clear.\n\nIMPRESSION: "normal", again', "x"]


def test_gzip_and_parquet_are_known_by_content(tmp_path: Path) -> None:
    assert read_table(write(tmp_path / "t.csv", gzip.compress(b"id,x\na,1\n")))["x"].to_pylist() == [1]
    pq.write_table(pa.table({"id": [1.0, 2.0, None], "x": ["a", "b", "c"]}), tmp_path / "t.data")
    assert as_text(read_table(tmp_path / "t.data")["id"]).to_pylist() == ["1", "2", None]


def test_a_trailing_empty_column_is_dropped_and_names_are_stripped(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "t.csv", "id, EncodedPixels,\n1,-1,\n"))
    assert table.column_names == ["id", "EncodedPixels"]


def test_decimal_commas_of_a_semicolon_table_are_numbers(tmp_path: Path) -> None:
    assert read_table(write(tmp_path / "t.csv", "id;p\na;0,5\nb;1,0\n"))["p"].to_pylist() == [0.5, 1.0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,Cardiomegaly\n1,0\n", "Did you mean 'Cardiomegaly'"),
        ("path,view\n1,0\n", "Its columns: path, view"),
        ("id#cardiomegalie\n1#0\n", "read as one cell"),
        ("", "is empty"),
        ("<html><body>log in</body></html>", "HTML"),
        (b"PK\x03\x04rest", "Excel"),
        (b"\x01\x00\x00\x02", "binary"),
        (b"\x1f\x8bnot gzip", "damaged gzip"),
        (b"PAR1 and nothing else", "damaged Parquet"),
        ("cardiomegalY,b\n1,2,3\n", "same columns in every row"),
    ],
)
def test_what_is_not_the_table_is_refused_with_a_reason(tmp_path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(TableError, match=said):
        read_table(write(tmp_path / "t.csv", content), columns_needed=["cardiomegalY"])


def test_a_folder_or_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="is a folder"):
        read_table(tmp_path)
    with pytest.raises(TableError, match="cannot be read"):
        read_table(tmp_path / "absent.csv")


def test_blank_and_doubled_ids_are_refused_with_their_row(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"row 2: 'id' is blank"):
        read_table(write(tmp_path / "a.csv", "id,x\na,1\n,2\nNaN,3\n"), id_column="id")
    with pytest.raises(TableError, match=r"row 3: 'id' 'a' is already in row 1"):
        read_table(write(tmp_path / "b.csv", "id,x\na,1\nb,2\na,3\n"), id_column="id")


def test_a_quoted_header_cell_over_two_columns_is_taken_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", 'id,"Image[Width,Height]"\na,10,20\n')
    assert read_table(path).to_pylist() == [{"id": "a", "Image[Width": 10, "Height]": 20}]
    path = write(tmp_path / "q.csv", 'id,"Image[Width,Height]"\na,"10,20"\n')
    assert read_table(path, numbers=False).to_pylist() == [{"id": "a", "Image[Width,Height]": "10,20"}]
