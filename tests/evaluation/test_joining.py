"""Tables are joined by id and finding whatever their order; what does not match is told, what is wrong is refused."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hilum.errors import EvaluationError, HilumError, TableError, UsageError
from hilum.evaluation.joining import join

TRUTH = {"image_id": ["a", "b", "c", "d"], "Edema": [0, 1, 0, 1], "Pleural Effusion": [1, 1, 0, 0]}
SCORES = {"image_id": ["d", "c", "b", "a"], "effusion": [0.1, 0.2, 0.3, 0.4], "EDEMA": [0.5, 0.6, 0.7, 0.8]}


def joined(truth: Any = TRUTH, scores: Any = SCORES, readers: Any = None, **more: Any) -> Any:
    return join(truth, {"model": scores}, readers or {}, **more)


def test_rows_and_columns_may_come_in_any_order_and_spelling() -> None:
    sample = joined().test
    assert sample.ids == ["a", "b", "c", "d"]
    assert sample.findings == ("Edema", "Pleural Effusion")
    assert sample.models["model"].tolist() == [[0.8, 0.4], [0.7, 0.3], [0.6, 0.2], [0.5, 0.1]]
    assert sample.truth.tolist() == [[0, 1], [1, 1], [0, 0], [1, 0]]


def test_what_does_not_match_is_counted_and_guessed_at() -> None:
    truth = {**TRUTH, "Pneumonia": [0, 0, 1, 1]}
    scores = {**SCORES, "image_id": ["d", "c", "b", "z"], "Pnuemonia": [0.1] * 4, "Mass": [0.2] * 4}
    said = [str(one) for one in joined(truth, scores).unmatched]
    assert any("2 columns without truth: Pnuemonia, Mass" in one and "Did you mean 'Pneumonia'" in one for one in said)
    assert any("1 columns without scores: Pneumonia" in one for one in said)
    assert any("1 ids without truth: z" in one for one in said)
    assert any("1 ids without scores: a" in one for one in said)


def test_a_typo_in_the_only_finding_is_guessed_in_the_error() -> None:
    with pytest.raises(EvaluationError, match="Did you mean 'Edema' by 'Edma'"):
        joined({"id": ["a"], "Edema": [1]}, {"id": ["a"], "Edma": [0.5]})


def test_no_common_id_shows_an_example_of_each() -> None:
    with pytest.raises(EvaluationError, match=r"such as 'x1'.*such as 'a', 'b'.*--id"):
        joined(scores={**SCORES, "image_id": ["x1", "x2", "x3", "x4"]})


def test_no_common_id_column_names_the_columns() -> None:
    with pytest.raises(EvaluationError, match=r"share no id column.*--id"):
        joined({"Study": ["a"], "Edema": [1]}, {"image_id": ["a"], "Edema": [0.5]})


def test_a_named_id_column_that_is_missing_is_guessed_at() -> None:
    with pytest.raises(TableError, match=r"no column 'image_di'. Did you mean 'image_id'"):
        joined(id_column="image_di")


def test_ids_are_compared_as_text_so_leading_zeros_count(tmp_path: Path) -> None:
    truth, scores = tmp_path / "t.csv", tmp_path / "s.parquet"
    truth.write_text("image_id,Edema\n007,1\n7,0\n")
    pq.write_table(pa.table({"image_id": ["7", "007"], "Edema": [0.2, 0.9]}), scores)
    sample = joined(truth, scores).test
    assert dict(zip(sample.ids, sample.models["model"][:, 0], strict=True)) == {"007": 0.9, "7": 0.2}


def test_whole_numbers_and_their_text_are_one_id() -> None:
    assert joined({"id": [1, 2], "Edema": [0, 1]}, {"id": ["2", "1"], "Edema": [0.1, 0.9]}).test.ids == ["1", "2"]


@pytest.mark.parametrize("which", ["truth", "scores"])
@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "b", "b", "d"], "row 3: the id 'b' in 'image_id' is already in row 2"),
        (["a", None, "c", "d"], "row 2: the id in 'image_id' is blank or NaN"),
    ],
)
def test_doubled_and_missing_ids_are_refused_with_their_row(which: str, ids: list[str], message: str) -> None:
    tables = {"truth": TRUTH, "scores": SCORES}
    tables[which] = {**tables[which], "image_id": ids}
    with pytest.raises(TableError, match=message):
        joined(**tables)


def test_nan_as_id_in_a_file_is_a_missing_id(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("image_id,Edema\na,0.5\nNaN,0.4\n")
    with pytest.raises(TableError, match=r"s\.csv, row 2: the id in 'image_id' is blank or NaN"):
        joined(scores=path)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("1.2", r"s\.csv, row 2: the score of 'Edema' is '1.2'; expected a number from 0 to 1.*exp"),
        ("-0.1", r"row 2: the score of 'Edema' is '-0.1'"),
        ("NaN", r"row 2: the score of 'Edema' is blank or NaN.*Give every image a score"),
        ("", r"row 2: the score of 'Edema' is blank or NaN"),
        ("inf", r"row 2: the score of 'Edema' is 'inf'"),
        ("high", r"row 2: the score of 'Edema' is 'high'"),
    ],
)
def test_scores_outside_zero_to_one_are_refused_with_row_and_column(tmp_path: Path, cell: str, message: str) -> None:
    path = tmp_path / "s.csv"
    path.write_text(f"image_id,Edema\na,0.5\nb,{cell}\nc,1\nd,0\n")
    with pytest.raises(EvaluationError, match=message):
        joined(scores=path)


def test_a_nan_score_in_memory_is_refused_too() -> None:
    with pytest.raises(EvaluationError, match="blank or NaN"):
        joined(scores={**SCORES, "EDEMA": [0.1, float("nan"), 0.3, 0.4]})


def test_a_truth_that_is_not_a_statement_is_refused_with_its_cell() -> None:
    with pytest.raises(EvaluationError, match=r"row 2: 'Edema' is '0.7'; expected 1 .*--scores"):
        joined({**TRUTH, "Edema": ["1", "0.7", "0", "0"]})


def test_readers_must_say_zero_or_one() -> None:
    with pytest.raises(EvaluationError, match=r"row 1: 'Edema' is '0.3'"):
        joined(readers={"r": {"image_id": ["a", "b"], "Edema": [0.3, 1.0]}})


@pytest.mark.parametrize(
    ("uncertain", "blank", "expected"),
    [
        ("ignore", "ignore", [1, -1, -1, 0]),
        ("positive", "ignore", [1, 1, -1, 0]),
        ("negative", "negative", [1, 0, 0, 0]),
    ],
)
def test_uncertain_and_blank_truths_count_as_told(uncertain: str, blank: str, expected: list[int]) -> None:
    sample = joined({**TRUTH, "Edema": ["1.0", "-1.0", "", "0"]}, uncertain=uncertain, blank=blank).test
    assert sample.truth[:, 0].tolist() == expected
    assert sample.skipped["Edema"] == (int(uncertain == "ignore"), int(blank == "ignore"))


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(UsageError, match="uncertain is 'maybe'"):
        joined(uncertain="maybe")


def test_words_for_a_statement_are_understood() -> None:
    truth = {**TRUTH, "Edema": ["positive", "negative", "uncertain", "not_mentioned"]}
    assert joined(truth, blank="negative").test.truth[:, 0].tolist() == [1, 0, -1, 0]


def test_two_columns_of_one_finding_are_refused() -> None:
    with pytest.raises(TableError, match=r"'effusion' and 'Pleural Effusion' are both"):
        joined(scores={**SCORES, "Pleural Effusion": [0.1] * 4})


def test_columns_about_the_patient_are_no_findings() -> None:
    truth = {**TRUTH, "age": [70, 60, 50, 40], "view": ["pa"] * 4, "site note": ["x"] * 4}
    scores = {**SCORES, "age": [70, 60, 50, 40], "site note": ["y"] * 4}
    assert joined(truth, scores).test.findings == ("Edema", "Pleural Effusion")


def test_a_model_without_a_finding_has_no_scores_there() -> None:
    both = join(TRUTH, {"all": SCORES, "some": {"image_id": ["a", "b"], "Edema": [0.1, 0.9]}}, {})
    assert np.isnan(both.test.models["some"][:, 1]).all()
    assert np.isnan(both.test.models["some"][2:, 0]).all()
    assert any("1 findings missing: Pleural Effusion" in str(one) for one in both.unmatched)


def test_validation_images_never_enter_the_test() -> None:
    both = joined(validation_scores={"model": {"image_id": ["a", "b"], "Edema": [0.1, 0.9], "effusion": [0, 1]}})
    assert both.test.ids == ["c", "d"]
    assert both.validation.ids == ["a", "b"]
    assert any("2 ids left out because thresholds were chosen on them" in str(one) for one in both.unmatched)


def test_testing_only_on_validation_images_is_refused() -> None:
    with pytest.raises(EvaluationError, match="never tested on the images it was chosen on"):
        joined(validation_scores={"model": SCORES})


def test_validation_without_truth_says_how_to_give_it() -> None:
    elsewhere = {"image_id": ["v1", "v2"], "Edema": [0.1, 0.9]}
    with pytest.raises(EvaluationError, match=r"none of the 2 validation ids.*second --truth FILE"):
        joined(validation_scores={"model": elsewhere})
    truth = {"image_id": ["v1", "v2"], "Edema": [0, 1]}
    assert joined(validation_scores={"model": elsewhere}, validation_truth=truth).validation.ids == ["v1", "v2"]
    assert joined([TRUTH, truth], validation_scores={"model": elsewhere}).validation.ids == ["v1", "v2"]


def test_an_image_has_one_truth() -> None:
    with pytest.raises(TableError, match="'d' is also in"):
        joined([TRUTH, {"image_id": ["e", "d"], "Edema": [0, 1]}])


def test_patients_come_from_the_truth_or_another_table() -> None:
    assert joined({**TRUTH, "who": [1, 1, 2, 2]}, patient_column="who").test.patients == ["1", "1", "2", "2"]
    assert joined(scores={**SCORES, "who": [4, 3, 2, 1]}, patient_column="who").test.patients == ["1", "2", "3", "4"]


def test_a_missing_patient_is_refused() -> None:
    with pytest.raises(TableError, match="'who' is blank for 1 images, such as id 'c'"):
        joined({**TRUTH, "who": [1, 1, None, 2]}, patient_column="who")
    with pytest.raises(TableError, match="no column 'whom'"):
        joined({**TRUTH, "who": [1, 1, 2, 2]}, patient_column="whom")


def test_a_patient_on_both_sides_is_noticed() -> None:
    scores = {"image_id": ["a", "b"], "Edema": [0.1, 0.9], "effusion": [0, 1]}
    together = {**TRUTH, "who": ["p", "q", "q", "r"]}
    assert joined(together, patient_column="who", validation_scores={"model": scores}).shared_patients == 1


def test_a_patient_column_nobody_named_is_noticed() -> None:
    assert joined({**TRUTH, "PatientID": ["p", "p", "q", "r"]}).patients_unused == ("PatientID", 3)
    assert joined({**TRUTH, "patient_id": ["p", "o", "q", "r"]}).patients_unused is None
    assert joined({**TRUTH, "patient_id": ["p", "p", "q", "r"]}, patient_column="patient_id").patients_unused is None


CELLS = st.one_of(
    st.sampled_from(["", "0", "1", "-1", "0.5", "nan", "1e999", "a", "'", '"', ",", ";", "\n"]), st.text(max_size=4)
)


@given(st.lists(st.lists(CELLS, min_size=2, max_size=3), min_size=1, max_size=6))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_cells_give_a_sample_or_a_named_error(tmp_path: Path, rows: list[list[str]]) -> None:
    path = tmp_path / "any.csv"
    path.write_text("image_id,Edema\n" + "\n".join(",".join(row) for row in rows), encoding="utf-8")
    for truth, scores in ((path, SCORES), (TRUTH, path)):
        with suppress(HilumError):  # any other error fails the test
            assert joined(truth, scores).test.ids


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_foreign_files_are_read(tmp_path: Path, delimiter: str, encoding: str) -> None:
    path = tmp_path / "truth.csv"
    rows = [["image_id", "Edema", "remark"], ["a", "1", "Köhler"], ["b", "0", "é"]]
    path.write_bytes("\n".join(delimiter.join(row) for row in rows).encode(encoding))
    assert joined(path).test.truth[:, 0].tolist() == [1, 0]


def test_a_decimal_comma_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("image_id;Edema\na;0,25\nb;0,5\n")
    assert joined(scores=path).test.models["model"][:, 0].tolist() == [0.25, 0.5]


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="is a folder"):
        joined(tmp_path)
    with pytest.raises(TableError, match="cannot be read"):
        joined(tmp_path / "none.csv")
    empty = tmp_path / "empty.csv"
    empty.write_text("image_id,Edema\n")
    with pytest.raises(TableError, match="no rows"):
        joined(scores=empty)
    with pytest.raises(UsageError, match="expected a path"):
        joined(42)
