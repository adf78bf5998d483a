"""CXR-RePaiR's pickled corpus is read as data: by pandas 1 and 2 taken, by pandas 3 refused, and nothing in it is run."""

from __future__ import annotations

import os
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from hilum.errors import CheckpointError
from hilum.tasks.composing import Corpus
from hilum.tasks.composing.released_corpus import is_released_corpus, read_released_corpus

HERE = Path(__file__).parent
TEXTS = ["No acute process.", "Small left effusion.", "Mild edema.", "1. Stable line."]


@pytest.mark.parametrize("version", [1, 2])
def test_a_series_that_pandas_wrote_gives_its_texts(version: int) -> None:
    assert read_released_corpus(HERE / f"corpus_pandas{version}.pt") == TEXTS


def test_a_series_of_arrow_strings_is_refused_with_the_way_to_convert_it() -> None:
    with pytest.raises(CheckpointError, match=r"found 0 list\(s\) of texts.*to_csv\('corpus.csv'"):
        read_released_corpus(HERE / "corpus_pandas3.pt")


def test_it_is_a_corpus_like_any_other(tmp_path: Path) -> None:
    file = shutil.copy(HERE / "corpus_pandas1.pt", tmp_path / "mimic.pt")
    corpus = Corpus.of_table(file)
    assert corpus.texts == ("No acute process.", "Small left effusion.", "Mild edema.", "Stable line.")
    assert set(corpus.study_ids) == {None}


class _Runs:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.mark),))


def written(path: Path, content: Any) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("corpus/data.pkl", pickle.dumps(content, 2))
    return path


def test_what_a_file_asks_to_be_run_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "was-run"
    file = written(tmp_path / "evil.pt", (_Runs(mark), ["a text"]))
    with pytest.raises(CheckpointError, match="expected CXR-RePaiR's corpus"):
        read_released_corpus(file)
    assert not mark.exists()


def test_damaged_files_and_other_checkpoints_are_named(tmp_path: Path) -> None:
    whole = (HERE / "corpus_pandas1.pt").read_bytes()
    for name, content in (("short.pt", whole[:900]), ("empty.pt", b""), ("page.pt", b"<html>sign in</html>")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=name):
            read_released_corpus(tmp_path / name)
    with pytest.raises(CheckpointError, match="expected CXR-RePaiR's corpus"):
        read_released_corpus(written(tmp_path / "state.pt", {"weight": [1.0]}))


def test_tables_are_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "reports.csv").write_text("report\nx\n")
    assert not is_released_corpus(tmp_path / "reports.csv")
    assert not is_released_corpus(tmp_path)
    assert is_released_corpus(HERE / "corpus_pandas1.pt")
