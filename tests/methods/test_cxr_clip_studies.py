"""What is said of a study: its sections and their paraphrases, or its labels."""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from tests.conftest import make_small_archive
from tests.reports.test_neural_augment import marian

from hilum.archive import Archive
from hilum.errors import ReportError, TrainingError
from hilum.methods.cxr_clip_studies import StudyText, texts_of_archive
from hilum.methods.label_texts import Stated, load_bank
from hilum.reports.neural.backtranslate import BackTranslator

BANK = load_bank()


def drawn(text: StudyText, times: int = 400) -> Counter[tuple[str, str]]:
    draws = random.Random(0)
    return Counter(text.two(draws, BANK) for _ in range(times))


def labeled(path: Path, said: list[tuple[str, str | None, str, str, str]]) -> Archive:
    """An archive with statements: study, image, finding, value, speaker."""
    archive = Archive.create(path)
    names = ("study_id", "image_id", "finding", "value", "said_by")
    archive.add_labels(pa.Table.from_pylist([dict(zip(names, one, strict=True)) for one in said]))
    return archive


def test_two_sections_are_drawn_with_replacement() -> None:
    counts = drawn(StudyText(("F", "I")))
    assert set(counts) == {("F", "F"), ("F", "I"), ("I", "F"), ("I", "I")}
    assert max(counts.values()) < 1.5 * min(counts.values())


def test_of_two_sections_each_is_its_paraphrase_half_the_time() -> None:
    counts = drawn(StudyText(("F", "I"), ("f", "i")), times=2000)
    assert len(counts) == 16
    assert sum(n for pair, n in counts.items() for text in pair if text.islower()) == pytest.approx(2000, rel=0.06)
    assert {"I"} == {text for pair in drawn(StudyText(("I", "I"), (None, None))) for text in pair}


def test_one_section_comes_with_its_paraphrase_in_any_order_or_twice_where_it_has_none() -> None:
    assert set(drawn(StudyText(("I",), ("i",)))) == {("I", "i"), ("i", "I")}
    assert set(drawn(StudyText(("I",), (None,)))) == {("I", "I")}
    assert set(drawn(StudyText(("I",)))) == {("I", "I")}


def test_a_fixed_choice_takes_the_sections_as_they_are() -> None:
    assert StudyText(("F", "I"), ("f", "i")).two(None, BANK) == ("F", "I")
    assert StudyText(("I",), ("i",)).two(None, BANK) == ("I", "I")


def test_labels_give_two_texts_drawn_apart() -> None:
    text = StudyText(stated=Stated(pos=("Edema",), neg=("Mass", "Hernia", "Nodule", "Fracture")), negatives=2)
    counts = drawn(text)
    assert sum(n for (a, b), n in counts.items() if a == b) < 0.1 * sum(counts.values())
    assert text.two(None, BANK) == ("Edema.", "Edema.")


def test_sections_and_a_policy_read_the_report_and_studies_without_are_left_out(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "archive")
    said = [("a", "Clear.", "Normal."), ("b", None, "Effusion."), ("c", None, None)]
    rows = [{"study_id": s, "patient_id": s, "source": "x", "findings": f, "impression": i} for s, f, i in said]
    archive.add_studies(pa.Table.from_pylist(rows))
    assert texts_of_archive(archive, "sections", BANK) == {
        "a": StudyText(("Clear.", "Normal.")),
        "b": StudyText(("Effusion.",)),
    }
    assert texts_of_archive(archive, "findings", BANK) == {"a": StudyText(("Clear.",))}
    with pytest.raises(ReportError, match="unknown text policy 'history'"):
        texts_of_archive(archive, "history", BANK)


def test_labels_of_several_images_are_one_study_s(tmp_path: Path) -> None:
    archive = labeled(
        tmp_path / "archive",
        [
            ("s", "i1", "Edema", "negative", "dataset:x"),
            ("s", "i2", "Edema", "positive", "dataset:x"),
            ("s", "i1", "Mass", "uncertain", "dataset:x"),
            ("s", "i2", "Mass", "negative", "dataset:x"),
            ("s", "i1", "No Finding", "positive", "dataset:x"),
            ("s", "i1", "Hernia", "not_mentioned", "dataset:x"),
            ("t", None, "No Finding", "positive", "dataset:x"),
            ("t", None, "Support Devices", "positive", "dataset:x"),
            ("u", None, "No Finding", "negative", "dataset:x"),
        ],
    )
    said = texts_of_archive(archive, "prompts", BANK)
    assert said["s"] == StudyText(stated=Stated(pos=("Edema",), unc=("Mass",)))
    assert said["t"].stated == Stated(pos=("No Finding", "Support Devices"))
    assert "u" not in said  # that something is found does not say what


def test_how_many_findings_are_denied_can_be_limited(tmp_path: Path) -> None:
    denied = [("s", None, finding, "negative", "dataset:x") for finding in ("Edema", "Mass", "Nodule", "Hernia")]
    archive = labeled(tmp_path / "archive", denied)
    draws = random.Random(0)
    for text, count in (("prompts", 4), ("prompts:3", 3), ("prompts:1", 1)):
        both = texts_of_archive(archive, text, BANK)["s"].two(draws, BANK)
        assert [one.count(".") for one in both] == [count, count]
    assert texts_of_archive(archive, "prompts:0", BANK) == {}  # nothing would be said
    with pytest.raises(TrainingError, match=r"texts=prompts:few: expected 'prompts', or 'prompts:' and a number"):
        texts_of_archive(archive, "prompts:few", BANK)


def test_a_dataset_is_heard_before_labelers_and_of_these_the_one_that_said_most(tmp_path: Path) -> None:
    labelers = [("s", None, "Edema", "positive", "rules@1"), ("s", None, "Mass", "positive", "rules@1")]
    labelers += [("s", None, "Edema", "negative", "model@2"), ("s", None, "Hernia", "positive", "reader:a")]
    alone = labeled(tmp_path / "alone", labelers)
    assert texts_of_archive(alone, "prompts", BANK)["s"].stated == Stated(pos=("Edema", "Mass"))
    both = labeled(tmp_path / "both", [*labelers, ("s", None, "Nodule", "positive", "dataset:x")])
    assert texts_of_archive(both, "prompts", BANK)["s"].stated == Stated(pos=("Nodule",))


def test_findings_that_the_bank_cannot_say_are_named_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = [("s", None, name, "positive", "dataset:x") for name in ("Edema", "Scoliosis")]
    archive = labeled(tmp_path / "archive", [*said, ("t", None, "Scoliosis", "positive", "dataset:x")])
    with caplog.at_level(logging.WARNING):
        assert texts_of_archive(archive, "prompts", BANK) == {"s": StudyText(stated=Stated(pos=("Edema",)))}
    assert "has no sentences for Scoliosis" in caplog.text


def test_texts_from_labels_need_labels(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"texts=prompts makes texts from labels, and the archive has none"):
        texts_of_archive(Archive.open(make_small_archive(tmp_path / "archive", count=4)), "prompts", BANK)


def test_training_sections_are_translated_there_and_back_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive.open(make_small_archive(tmp_path / "archive", count=24))
    folders = [str(marian(tmp_path / name, seed)) for seed, name in enumerate(("en-it", "it-en"))]
    asked: list[list[str]] = []

    def there_and_back(self: BackTranslator, texts: list[str], cache: Path) -> list[str | None]:
        asked.append(list(texts))
        return genuine(self, texts, cache)

    genuine = BackTranslator.__call__
    monkeypatch.setattr(BackTranslator, "__call__", there_and_back)
    monkeypatch.setattr("hilum.reports.neural.backtranslate._is_usable", lambda text, returned: "Left" in text)
    first = texts_of_archive(archive, "impression", BANK, folders)
    kept = json.loads((archive.path / "back-translations.json").read_text())["texts"]
    assert set(asked[0]) == {
        f"{a} {b}. No {c}."
        for a in ("Left", "Right")
        for b, c in (("effusion", "pneumothorax"), ("pneumothorax", "effusion"))
    }
    assert len(kept) == 4
    assert {one.paraphrases[0] is not None for one in first.values() if "Left" in one.sections[0]} == {True}
    assert {one.paraphrases for one in first.values() if "Right" in one.sections[0]} == {(None,)}

    def fails(*args: object) -> None:
        raise AssertionError("translated twice")

    monkeypatch.setattr("hilum.reports.neural.backtranslate._Translator.__call__", fails)
    assert texts_of_archive(archive, "impression", BANK, folders) == first


def test_only_training_studies_are_translated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive.open(make_small_archive(tmp_path / "archive", count=24))
    archive.set_splits({f"p{i}": "train" if i == 0 else "val" for i in range(24)})
    monkeypatch.setattr(BackTranslator, "__init__", lambda self, there, back: None)
    monkeypatch.setattr(BackTranslator, "__call__", lambda self, texts, cache: [f"Again: {text}" for text in texts])
    said = texts_of_archive(archive, "impression", BANK, ("there", "back"))
    assert said["s0"].paraphrases == (f"Again: {said['s0'].sections[0]}",)
    assert said["s1"].paraphrases == (None,)


def test_paraphrases_that_cannot_be_kept_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive.open(make_small_archive(tmp_path / "archive", count=4))
    (archive.path / "back-translations.lock").mkdir()
    monkeypatch.setattr(BackTranslator, "__init__", lambda self, there, back: None)
    with pytest.raises(TrainingError, match="paraphrases cannot be kept there"):
        texts_of_archive(archive, "impression", BANK, ("there", "back"))
