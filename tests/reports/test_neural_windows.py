"""Long reports are read whole, in windows, and combined by a stated rule."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.reports.neural.labeler import combine_windows, length_batches, pad_batch
from hilum.reports.neural.tokens import ReportTokenizer, clean, window_spans

TEXTS = [
    "The heart is normal in size.",
    "No effusion or pneumothorax.",
    "Small left effusion.",
    "The lungs are clear.",
] * 5


@pytest.fixture(scope="module")
def tokenizer() -> ReportTokenizer:
    return ReportTokenizer.trained_on(TEXTS, 200)


@given(
    length=st.integers(0, 1500),
    sentences=st.lists(st.integers(1, 1499), max_size=40),
    room=st.integers(20, 510),
    overlap=st.integers(0, 19),
)
def test_windows_hold_every_token_and_whole_sentences(
    length: int, sentences: list[int], room: int, overlap: int
) -> None:
    starts = sorted({place for place in sentences if place < length})
    spans = window_spans(length, starts, room, overlap)
    assert set().union(*(range(start, end) for start, end in spans)) == set(range(length))
    assert all(end - start <= room for start, end in spans)
    assert all(left[0] < right[0] <= left[1] for left, right in pairwise(spans))
    edges = [0, *starts, length]
    if max(right - left for left, right in pairwise(edges)) <= room:
        assert all(start in edges and end in edges for start, end in spans)


def test_no_window_starts_behind_the_no_of_a_sentence(tokenizer: ReportTokenizer) -> None:
    report = tokenizer.reports(["No effusion or pneumothorax. " * 30], 32, 10)[0]
    assert len(report.windows) > 4
    no, stop = (tokenizer.tokenizer.token_to_id(token) for token in ("no", "."))
    assert all((window[1], window[-2]) == (no, stop) for window in report.windows)


def test_a_long_report_is_windowed_or_cut_and_the_cut_is_counted(tokenizer: ReportTokenizer) -> None:
    text = " ".join(TEXTS)
    whole = tokenizer.reports([text], 512, 64)[0]
    parts = tokenizer.reports([text], 32, 8)[0]
    cut = tokenizer.reports([text], 32, 8, cut=True)[0]
    assert len(whole.windows) == 1
    assert len(parts.windows) > 1
    assert 20 < max(map(len, parts.windows)) <= 32
    assert parts.cut_tokens == 0
    assert (len(cut.windows), len(cut.windows[0]), cut.cut_tokens) == (1, 32, whole.tokens - 30)


def test_an_empty_report_is_two_special_tokens(tokenizer: ReportTokenizer) -> None:
    assert tokenizer.reports(["", " \n "], 512, 64)[1].windows == ((tokenizer.first, tokenizer.last),)


def test_a_vocabulary_trained_twice_on_the_same_reports_is_the_same(tokenizer: ReportTokenizer) -> None:
    assert ReportTokenizer.trained_on(TEXTS, 200).tokenizer.to_str() == tokenizer.tokenizer.to_str()
    assert tokenizer.tokenizer.encode("EFFUSION", add_special_tokens=False).tokens == ["effusion"]


def test_line_ends_and_blanks_do_not_change_the_tokens() -> None:
    assert clean("\tNo effusion.\r\n\r\n  Heart normal.") == "No effusion. Heart normal."


def test_windows_are_combined_positive_first_and_no_finding_needs_all() -> None:
    findings = ("Edema", "No Finding")
    blank, positive, negative, uncertain = np.eye(4) * 0.7 + 0.05
    quite_negative = np.array([0.0, 0.0, 1.0, 0.0])
    said, unsaid = [0.1, 0.9, 0, 0], [0.6, 0.4, 0, 0]
    scores = np.array(
        [
            [blank, said],  # report 0: blank, negative twice -> negative, by the surer window
            [negative, said],
            [quite_negative, said],
            [uncertain, said],  # report 1: uncertain beats negative; No Finding is not in every window
            [negative, unsaid],
            [positive, said],  # report 2: one window
            [uncertain, said],  # report 3: positive beats uncertain
            [positive, said],
        ]
    )
    codes, kept = combine_windows(scores, np.array([0, 0, 0, 1, 1, 2, 3, 3]), findings)
    assert codes.tolist() == [[2, 1], [3, 0], [1, 1], [1, 1]]
    np.testing.assert_allclose(kept[0, 0], quite_negative)
    np.testing.assert_allclose(kept[1, 1], unsaid)


@given(lengths=st.lists(st.integers(2, 512), max_size=60), budget=st.integers(2, 4096))
def test_batches_hold_every_window_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(length_batches(lengths, budget))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or max(lengths[row] for row in batch) * len(batch) <= budget for batch in batches)


def test_padding_is_masked() -> None:
    ids, mask = pad_batch([(5, 6, 7), (5, 7)], pad=9)
    assert ids.tolist() == [[5, 6, 7], [5, 7, 9]]
    assert mask.tolist() == [[1, 1, 1], [1, 1, 0]]


def test_a_cased_or_strange_vocabulary_says_what_it_lacks(tmp_path: Path) -> None:
    from hilum.errors import CheckpointError, ModelError

    (tmp_path / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(CheckpointError, match=r"no line '\[UNK\]'"):
        ReportTokenizer.from_vocabulary(tmp_path / "vocab.txt")
    (tmp_path / "vocab.txt").write_text("[UNK]\nb\n")
    with pytest.raises(ModelError, match=r"no \[CLS\] or <s>"):
        ReportTokenizer.from_vocabulary(tmp_path / "vocab.txt")
