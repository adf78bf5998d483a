"""The generator's pieces: learned the same on every run, or a SentencePiece model's."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from hilum.errors import ModelError
from hilum.methods.report_pieces import ReportPieces

REPORTS = ["Clear lungs.", "No acute cardiopulmonary process.", "Café-au-lait opacity, 3.5 cm, LEFT base."] * 3


def test_a_report_comes_back_in_lower_case_without_accents() -> None:
    pieces = ReportPieces.learned_from(REPORTS, 200)
    rows, lengths = pieces.rows(REPORTS[:3], 100)
    assert pieces.text(rows[2]) == "cafe-au-lait opacity, 3.5 cm, left base."
    assert rows[2, 0] == pieces.start_id
    assert rows[2, lengths[2] - 1] == pieces.end_id
    assert pieces.lengths(REPORTS[:3]).tolist() == lengths.tolist()
    assert (rows[0, lengths[0] :] == 0).all()


def test_pieces_do_not_depend_on_the_order_of_reports() -> None:
    ours = ReportPieces.learned_from(REPORTS, 70)
    assert ReportPieces.learned_from(reversed(REPORTS), 70).to_json() == ours.to_json()
    assert ours.size == 70


def test_an_unknown_sign_is_told_from_padding_and_as_released_is_not() -> None:
    for compat, unknown in ((False, 4), (True, 0)):
        pieces = ReportPieces.learned_from(REPORTS, 90, compat)
        rows, lengths = pieces.rows(["Ω"], 100)
        assert unknown in rows[0, 1 : lengths[0] - 1]
        assert (pieces.start_id, pieces.end_id) == (1, 2)


def test_a_report_that_is_cut_has_no_end() -> None:
    pieces = ReportPieces.learned_from(REPORTS, 90)
    rows, lengths = pieces.rows([REPORTS[1]], 5)
    assert rows.shape == (1, 5)
    assert lengths[0] == 5
    assert pieces.end_id not in rows


def sentencepiece_file(folder: Path, **settings: object) -> Path:
    sentencepiece = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([r.lower() for r in REPORTS] * 20),
        model_writer=model,
        model_type="bpe",
        vocab_size=70,
        minloglevel=2,
        **settings,
    )
    path = folder / "reports.model"
    path.write_bytes(model.getvalue())
    return path


AS_RELEASED = {"bos_id": -1, "eos_id": -1, "control_symbols": ["[SOS]", "[EOS]", "[MASK]"]}


def test_a_sentencepiece_model_has_its_own_ids_as_released_and_one_more_for_padding_else(tmp_path: Path) -> None:
    path = sentencepiece_file(tmp_path, **AS_RELEASED)
    released, right = ReportPieces.from_sentencepiece(path, compat=True), ReportPieces.from_sentencepiece(path)
    assert (released.start_id, released.end_id, released.size) == (1, 2, 70)
    assert (right.start_id, right.end_id, right.size) == (2, 3, 71)
    text = "clear lungs. no acute opacity"
    assert (released.rows([text], 100)[0] + 1).tolist() == right.rows([text], 100)[0].tolist()
    assert right.text(right.rows([text], 100)[0][0]) == text
    assert ReportPieces.from_json(right.to_json()).rows([text], 100)[0].tolist() == right.rows([text], 100)[0].tolist()


def test_a_sentencepiece_model_without_start_and_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no pieces \[SOS\] and \[EOS\]"):
        ReportPieces.from_sentencepiece(sentencepiece_file(tmp_path, bos_id=-1, eos_id=-1))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece")
    path = tmp_path / "reports.model"
    path.write_text("no model")
    with pytest.raises(ModelError, match="not a SentencePiece model"):
        ReportPieces.from_sentencepiece(path)
    with pytest.raises(ModelError, match="cannot be read"):
        ReportPieces.from_sentencepiece(tmp_path / "absent.model")
