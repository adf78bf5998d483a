"""A small study on disk: truth, two models' scores, two readers' calls, and validation scores of other patients."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

FINDINGS = ("Atelectasis", "Cardiomegaly", "Edema", "Pleural Effusion", "Pleural Other")
N_TEST, N_VALID = 80, 60

Writer = Callable[[str, Sequence[str], Iterable[Sequence[object]]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """write(name, header, rows): a CSV in the test's folder."""

    def write_csv(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
        path = tmp_path / name
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
        return path

    return write_csv


class Study:
    """Arrays of the study, and the files that hold them; Pleural Other has no positive."""

    def __init__(self, write: Writer) -> None:
        generator = np.random.default_rng(11)
        n = N_TEST + N_VALID
        self.truth = (generator.random((n, len(FINDINGS))) < [0.4, 0.2, 0.3, 0.5, 0.0]).astype(int)
        self.scores = {
            name: np.round(1 / (1 + np.exp(-generator.normal(strength * self.truth - 0.5))), 2)
            for name, strength in (("good", 1.8), ("poor", 0.6))
        }
        self.calls = {
            name: np.where(generator.random(self.truth.shape) < share, self.truth, 1 - self.truth)
            for name, share in (("reader_a", 0.85), ("reader_b", 0.7))
        }
        self.ids = [f"{row:04d}" for row in range(n)]
        self.patients = [f"p{row // 2}" for row in range(n)]
        test, valid = range(N_TEST), range(N_TEST, n)
        self.truth_file = write(
            "truth.csv",
            ["image_id", "patient_id", *FINDINGS],
            [[self.ids[row], self.patients[row], *self.truth[row]] for row in range(n)],
        )
        columns = [3, 0, 4, 1, 2]  # another order, other spellings
        header = ["image_id", *(FINDINGS[c].lower().replace(" ", "_") for c in columns)]
        shuffled = generator.permutation(N_TEST)
        self.score_files = {
            name: write(f"{name}.csv", header, [[self.ids[row], *values[row, columns]] for row in shuffled])
            for name, values in self.scores.items()
        }
        self.validation_files = {
            name: write(f"{name}_valid.csv", header, [[self.ids[row], *values[row, columns]] for row in valid])
            for name, values in self.scores.items()
        }
        self.reader_files = {
            name: write(f"{name}.csv", ["image_id", *FINDINGS], [[self.ids[row], *values[row]] for row in test])
            for name, values in self.calls.items()
        }


@pytest.fixture
def study(write: Writer) -> Study:
    """The study, written anew for each test."""
    return Study(write)
