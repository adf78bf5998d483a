"""Agreement with a gold standard: metrics against the published protocol, scikit-learn and slow loops."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score
from typer.testing import CliRunner

from hilum.errors import EvaluationError, TableError, UsageError
from hilum.findings import CHEXPERT_NAMES
from hilum.reports import state_metrics
from hilum.reports.agreement import compare_labels
from hilum.reports.grid import LabelGrid, read_grid

# The order of CheXbert's heads, in which its published metric vectors are.
HEADS = (*CHEXPERT_NAMES[1:], CHEXPERT_NAMES[0])


def random_codes(reports: int, seed: int, agree_with: np.ndarray | None = None, share: float = 0.8) -> np.ndarray:
    chance = np.random.default_rng(seed)
    codes = chance.choice(4, size=(reports, 14), p=[0.5, 0.2, 0.2, 0.1])
    codes[:, CHEXPERT_NAMES.index("No Finding")] %= 2
    return codes if agree_with is None else np.where(chance.random(codes.shape) < share, agree_with, codes)


def grid(name: str, codes: np.ndarray, groups: tuple[str, ...] | None = None) -> LabelGrid:
    return LabelGrid(name, tuple(str(i) for i in range(len(codes))), CHEXPERT_NAMES, codes.astype(np.int8), groups)


def write(
    path: Path, codes: np.ndarray, ids: list[str] | None = None, findings: tuple[str, ...] = CHEXPERT_NAMES
) -> Path:
    cells = {0: "", 1: "1.0", 2: "0.0", 3: "-1.0"}
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["study_id", *findings])
        for row, code in enumerate(codes):
            table.writerow([ids[row] if ids else f"s{row}", *(cells[int(c)] for c in code)])
    return path


ones = np.ones((1, 200), dtype=np.float32)


@pytest.fixture(scope="module")
def published(golden: Path) -> dict[str, np.ndarray]:
    return dict(np.load(golden / "chexbert" / "io.npz"))


def test_metrics_equal_the_published_vectors(published: dict[str, np.ndarray]) -> None:
    counts = state_metrics.confusion(published["metrics_y_true"], published["metrics_y_pred"], ones)[0]
    metrics = state_metrics.four_state(counts, HEADS)
    for ours, theirs in {
        "positive_f1": "positive",
        "negative_f1": "negation",
        "uncertain_f1": "uncertain",
        "mention_f1": "mention",
        "blank_f1": "blank",
        "weighted_f1": "weighted",
        "kappa": "kappa",
    }.items():
        # The original writes 0 where a state cannot be said (No Finding).
        np.testing.assert_allclose(
            np.nan_to_num(metrics[ours]), published[f"metrics_{theirs}"], atol=1e-9, err_msg=ours
        )
    weights = state_metrics.state_weights(counts, HEADS)
    np.testing.assert_allclose(weights, published["metrics_weights_neg_unc_pos"], atol=1e-9)


def test_metrics_equal_scikit_learn() -> None:
    gold = random_codes(300, 0)
    said = random_codes(300, 1, agree_with=gold)
    result = compare_labels(grid("gold", gold), [grid("p", said)], replicates=0)
    for column, finding in enumerate(CHEXPERT_NAMES[1:], start=1):
        for state, metric in [(1, "positive_f1"), (2, "negative_f1"), (3, "uncertain_f1")]:
            expected = f1_score(gold[:, column] == state, said[:, column] == state)
            assert result.row("p", finding, metric).value == pytest.approx(expected, abs=1e-12)
        assert result.row("p", finding, "kappa").value == pytest.approx(
            cohen_kappa_score(gold[:, column], said[:, column])
        )
    assert result.row("p", "micro", "accuracy").value == pytest.approx((gold == said).mean())
    micro = f1_score(np.ravel(gold == 3), np.ravel(said == 3))
    assert result.row("p", "micro", "uncertain_f1").value == pytest.approx(micro)


@pytest.mark.parametrize("uncertain", ["present", "absent"])
@pytest.mark.parametrize("average", ["micro", "macro", "weighted", "samples"])
@pytest.mark.parametrize("which", ["5", "14"])
def test_generation_f1_equals_scikit_learn(uncertain: str, average: str, which: str) -> None:
    gold, said = random_codes(120, 2), random_codes(120, 3)
    result = compare_labels(
        grid("gold", gold), [grid("p", said)], generation=[f"{uncertain}/{which}/{average}"], replicates=0
    )
    names = state_metrics.FIVE if which == "5" else CHEXPERT_NAMES
    columns = [CHEXPERT_NAMES.index(name) for name in names]
    says = [1, 3] if uncertain == "present" else [1]
    truth, predicted = np.isin(gold[:, columns], says), np.isin(said[:, columns], says)
    expected = f1_score(truth, predicted, average=average, zero_division=0)
    assert result.row("p", f"F1-{which}", f"{average}, uncertain={uncertain}").value == pytest.approx(
        expected, abs=1e-9
    )
    exact = (truth == predicted).all(1).mean()
    assert result.row("p", f"F1-{which}", f"exact_match, uncertain={uncertain}").value == pytest.approx(exact)


def test_replicates_equal_a_slow_loop_over_resampled_reports() -> None:
    gold = random_codes(60, 4)
    said = random_codes(60, 5, agree_with=gold)
    result = compare_labels(grid("gold", gold), [grid("p", said)], replicates=50, seed=7)
    chance = np.random.default_rng(7)
    column = CHEXPERT_NAMES.index("Edema")
    values = []
    for _ in range(50):
        rows = chance.integers(0, 60, 60)
        values.append(f1_score(gold[rows, column] == 1, said[rows, column] == 1))
    row = result.row("p", "Edema", "positive_f1")
    assert (row.low, row.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))
    assert (row.n, row.n_positive, row.replicates, row.seed) == (60, int((gold[:, column] == 1).sum()), 50, 7)


def test_differences_are_paired_on_the_same_draws() -> None:
    gold = random_codes(300, 6)
    good, poor = random_codes(300, 7, gold, 0.9), random_codes(300, 8, gold, 0.5)
    result = compare_labels(grid("gold", gold), [grid("poor", poor), grid("good", good)], replicates=300)
    better = result.row("good - poor", "macro", "weighted_f1")
    apart = result.row("good", "macro", "weighted_f1").value - result.row("poor", "macro", "weighted_f1").value
    assert better.value == pytest.approx(apart)
    assert better.low > 0
    assert better.p_value == pytest.approx(2 / 301)
    same = compare_labels(grid("gold", gold), [grid("a", good), grid("b", good)], replicates=50)
    nothing = same.row("b - a", "macro", "weighted_f1")
    assert (nothing.value, nothing.low, nothing.high, nothing.p_value) == (0, 0, 0, 1)


def test_drawing_whole_patients_widens_the_interval() -> None:
    """Ten copies of each report are no ten reports."""
    gold = np.repeat(random_codes(30, 9), 10, axis=0)
    said = np.repeat(random_codes(30, 10, gold[::10], 0.6), 10, axis=0)
    patients = tuple(str(row // 10) for row in range(300))
    alone = compare_labels(grid("gold", gold), [grid("p", said)], replicates=200).row("p", "macro", "weighted_f1")
    together = compare_labels(grid("gold", gold, patients), [grid("p", said)], replicates=200).row(
        "p", "macro", "weighted_f1"
    )
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_binary_gold_shows_uncertain_both_ways_and_leaves_empty_cells_out() -> None:
    gold = LabelGrid("mesh", tuple("abcd"), ("Edema",), np.array([[1], [1], [2], [0]], dtype=np.int8))
    said = LabelGrid("p", tuple("abcd"), ("Edema",), np.array([[1], [3], [0], [1]], dtype=np.int8))
    result = compare_labels(gold, [said], gold_kind="binary", replicates=0)
    assert result.row("p", "Edema", "f1, uncertain=present").value == 1
    assert result.row("p", "Edema", "f1, uncertain=absent").value == pytest.approx(2 / 3)
    assert result.row("p", "Edema", "precision, uncertain=absent").value == 1
    assert result.row("p", "Edema", "recall, uncertain=absent").value == 0.5
    assert result.row("p", "Edema", "recall, uncertain=absent").n == 3


def test_a_gold_that_denies_no_finding_is_read_as_binary_and_says_so() -> None:
    codes = np.where(random_codes(40, 11) == 1, 1, 2)
    result = compare_labels(grid("mesh", codes), [grid("p", codes)], replicates=0)
    assert result.gold_kind == "binary"
    assert "read as binary gold" in result.notes[0]


def test_no_finding_0_in_a_four_state_gold_is_read_as_empty_and_counted() -> None:
    codes = random_codes(20, 12)
    shifted = codes.copy()
    shifted[:, 0] = np.where(codes[:, 0] == 0, 2, codes[:, 0])
    result = compare_labels(grid("gold", shifted), [grid("p", codes)], gold_kind="four-state", replicates=0)
    assert result.row("p", "No Finding", "accuracy").value == 1
    assert f"in {(codes[:, 0] == 0).sum()} reports" in result.notes[0]


def test_an_undefined_metric_is_missing_with_its_reason() -> None:
    gold = LabelGrid("gold", ("a", "b"), ("Edema",), np.array([[1], [3]], dtype=np.int8))
    result = compare_labels(gold, [LabelGrid("p", ("a", "b"), ("Edema",), np.array([[1], [1]], dtype=np.int8))])
    row = result.row("p", "Edema", "negative_f1")
    assert row.value is None
    assert "neither the gold nor the labeler" in row.note
    no_finding = compare_labels(grid("gold", random_codes(9, 0)), [grid("p", random_codes(9, 1))], replicates=0)
    assert no_finding.row("p", "No Finding", "uncertain_f1").value is None


def test_tables_are_joined_by_identifier_and_columns_by_name(tmp_path: Path) -> None:
    codes = random_codes(30, 13)
    gold = write(tmp_path / "gold.csv", codes)
    mixed = np.random.default_rng(0).permutation(30)
    shuffled = tuple(reversed(CHEXPERT_NAMES))
    said = write(tmp_path / "said.csv", codes[mixed][:, ::-1], [f"s{i}" for i in mixed], shuffled)
    result = compare_labels(gold, [said], replicates=0)
    assert result.row("said", "micro", "accuracy").value == 1


def test_reports_that_one_table_lacks_are_left_out_and_counted(tmp_path: Path) -> None:
    codes = random_codes(30, 14)
    result = compare_labels(
        write(tmp_path / "gold.csv", codes), [write(tmp_path / "part.csv", codes[:20])], replicates=0
    )
    assert result.row("part", "Edema", "accuracy").n == 20
    assert "10 of 30 gold reports" in result.notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study_id,Edema\n1,2\n", "row 2: 'Edema' is '2'; expected 1"),
        ("study_id,Edema\n1,1\n1,0\n", "rows 2 and 3: 'study_id' is '1' twice"),
        ("study_id,Weather\n1,1\n", "is one of the 14 observations"),
        ("Reports,Edema\nclear,1\n", "no identifier among its columns"),
        ("study_id,Edema,Pulmonary Edema\n1,1,0\n", "two columns mean 'Edema'"),
        ("study_id,Edema\n,1\n2,0\n", "row 2: 'study_id' is blank"),
    ],
)
def test_a_bad_table_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(TableError, match=message):
        read_grid(path)


def test_tables_without_a_common_report_are_refused(tmp_path: Path) -> None:
    codes = random_codes(3, 15)
    with pytest.raises(EvaluationError, match="no report of gold is in other"):
        compare_labels(write(tmp_path / "gold.csv", codes), [write(tmp_path / "other.csv", codes, ["x", "y", "z"])])


@pytest.mark.parametrize("name", ["micro", "present/7/micro", "maybe/5/micro", "present/5/mean"])
def test_a_generation_f1_must_name_its_choices(name: str) -> None:
    with pytest.raises(UsageError, match="UNCERTAIN/SET/AVERAGE"):
        compare_labels(grid("gold", random_codes(5, 0)), [grid("p", random_codes(5, 1))], generation=[name])


def test_a_thousand_replicates_over_thousands_of_reports_take_seconds() -> None:
    gold = random_codes(4000, 16)
    start = time.perf_counter()
    compare_labels(
        grid("gold", gold), [grid("a", random_codes(4000, 17, gold)), grid("b", random_codes(4000, 18, gold))]
    )
    assert time.perf_counter() - start < 20  # 0.3 s on a quiet core


def test_the_command_writes_a_tidy_table_and_json(tmp_path: Path) -> None:
    from hilum.cli.labels import app

    codes = random_codes(40, 19)
    gold, said = write(tmp_path / "gold.csv", codes), write(tmp_path / "said.csv", random_codes(40, 20, codes))
    other = write(tmp_path / "other.csv", random_codes(40, 21, codes))
    arguments = ["compare", str(gold), str(said), str(other), "--replicates", "20", "--generation", "present/5/micro"]
    shown = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out.csv")])
    assert shown.exit_code == 0, shown.output
    assert "F1-5 micro, uncertain=present" in shown.output
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"model", "dataset", "finding", "metric", "value", "low", "high", "n", "n_positive", "seed", "note"} <= set(
        rows[0]
    )
    assert {row["model"] for row in rows} == {"said", "other", "other - said"}
    printed = CliRunner().invoke(app, [*arguments, "--json"])
    assert len(json.loads(printed.stdout)["rows"]) == len(rows)
