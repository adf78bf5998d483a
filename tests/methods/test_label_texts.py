"""Labels become texts that say what they say, from the packaged bank or one's own."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from hilum.errors import UsageError
from hilum.findings import CHEXPERT_NAMES
from hilum.methods.label_texts import PromptBank, Stated, load_bank, text_of_labels

BANK = PromptBank(
    "small",
    {
        "Edema": {"pos": ("Edema.", "Wet lungs."), "neg": ("No edema.",), "unc": ("Possible edema.",)},
        "Mass": {"pos": ("Mass.",), "neg": ("No mass.",), "unc": ()},
        "Hernia": {"pos": ("Hernia.",), "neg": ("No hernia.",), "unc": ()},
        "Nodule": {"pos": ("Nodule.",), "neg": ("No nodule.",), "unc": ()},
        "No Finding": {"pos": ("Normal.",), "neg": ("",), "unc": ()},
    },
)


def drawn(stated: Stated, times: int = 200, negatives: int | None = None) -> set[str]:
    draws = random.Random(0)
    return {text_of_labels(stated, BANK, draws, negatives) for _ in range(times)}


def test_each_label_gives_one_sentence_of_its_state_in_any_order() -> None:
    texts = drawn(Stated(pos=("Edema",), neg=("Mass",)))
    assert texts == {"Edema. No mass.", "No mass. Edema.", "Wet lungs. No mass.", "No mass. Wet lungs."}
    assert drawn(Stated(unc=("Edema",))) == {"Possible edema."}


def test_a_state_without_sentences_is_not_said() -> None:
    assert drawn(Stated(pos=("Mass",), neg=("No Finding",), unc=("Hernia",))) == {"Mass."}


def test_of_many_denied_findings_three_are_drawn_anew_each_time() -> None:
    stated = Stated(pos=("Edema",), neg=("Mass", "Hernia", "Nodule"))
    said = [set(text.split(". ")) for text in drawn(stated, negatives=2)]
    assert all(len([sentence for sentence in one if sentence.startswith("No ")]) == 2 for one in said)
    assert {"No mass", "No hernia", "No nodule"} <= {sentence.rstrip(".") for one in said for sentence in one}
    assert drawn(stated, negatives=0) == {"Edema.", "Wet lungs."}
    assert all(text.count("No ") == 3 for text in drawn(stated, negatives=9))


def test_a_fixed_choice_says_what_is_there_and_else_that_nothing_is() -> None:
    assert text_of_labels(Stated(("Mass", "Edema"), ("Hernia",), ("Nodule",)), BANK, None) == "Mass. Edema."
    assert text_of_labels(Stated(neg=("Edema",), unc=("Nodule",)), BANK, None) == "Normal."


def test_a_finding_the_bank_does_not_know_is_refused_with_what_it_knows() -> None:
    with pytest.raises(UsageError, match=r"small has no sentences for 'Scoliosis'; it knows Edema, Mass"):
        text_of_labels(Stated(pos=("Scoliosis",)), BANK, random.Random(0))


def test_the_packaged_bank_can_say_and_deny_every_finding_of_chexpert_and_chestxray14() -> None:
    bank = load_bank()
    of_nih = ("Infiltration", "Mass", "Nodule", "Emphysema", "Fibrosis", "Pleural Thickening", "Hernia")
    for finding in (*CHEXPERT_NAMES, *of_nih):
        assert bank.can_say(finding, "pos"), finding
        assert bank.can_say(finding, "neg") == bank.can_say(finding, "unc") == (finding != "No Finding"), finding
    assert all(one[0].isupper() and one.endswith(".") and "{" not in one for one in bank.all())
    assert bank.sentence("Pleural Effusion", "pos", None) == "Pleural effusion."


def test_packaged_sentences_say_no_more_than_a_label() -> None:
    beyond = {
        "small",
        "large",
        "mild",
        "moderate",
        "severe",
        "left",
        "right",
        "lower",
        "upper",
        "new",
        "unchanged",
        "apical",
    }
    for sentence in load_bank().all():
        assert beyond.isdisjoint(sentence.lower().rstrip(".").split()), sentence


def test_a_bank_of_ones_own_in_json_takes_any_spelling_of_a_finding(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"effusion": {"pos": ["Water."], "unc": ["Maybe."]}, "no finding": {"pos": ["Fine."]}}))
    bank = load_bank(str(file))
    assert bank.name == "mine"
    assert bank.sentences["Pleural Effusion"] == {"pos": ("Water.",), "neg": (), "unc": ("Maybe.",)}


def test_a_bank_of_ones_own_in_toml_fills_its_templates(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        '[templates]\npos=["{} seen."]\nneg=["No {}."]\nunc=["{}?"]\n[words]\n"Edema"=["edema", "wet lung"]\n'
        '"Mass"=["mass"]\n["Mass"]\npos=["A mass."]\n["No Finding"]\npos=["Fine."]\n'
    )
    bank = load_bank(str(file))
    assert bank.sentences["Edema"]["pos"] == ("Edema seen.", "Wet lung seen.")
    assert bank.sentences["Mass"] == {"pos": ("A mass.",), "neg": (), "unc": ()}  # a table of its own wins


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bad.json", b"{", "no prompt bank"),
        ("bad.json", b"[1, 2]", "no prompt bank"),
        ("bad.json", b'{"Edema": {"pos": "Edema."}}', "Edema: 'Edema.' is no list of sentences"),
        ("bad.json", b'{"Edema": ["Edema."]}', "no prompt bank"),
        ("bad.json", b'{"Edema": {"pos": ["Edema."]}}', "no sentence says 'No Finding'"),
        ("bad.toml", b"[templates", "no prompt bank"),
        ("bad.toml", b'[words]\n"Edema" = ["edema"]', "no prompt bank"),
        ("bad.toml", b"\xff\xfe\x00", "no prompt bank"),
    ],
)
def test_a_file_that_is_no_bank_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        load_bank(str(tmp_path / name))


def test_a_bank_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match=r"prompt_bank=/nowhere.json: no such file"):
        load_bank("/nowhere.json")
