"""The rule labeler: phenomena of report language, evidence, aggregation, and text that is hard to read."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilum.errors import ReportError
from hilum.findings import CHEXPERT_NAMES, LabelValue
from hilum.reports import RuleLabeler
from hilum.reports.labels import settle_uncertain, with_parents
from hilum.reports.self_test import KNOWN_MISSES, packaged_examples, parse_example, run_examples

SENTENCES = Path(__file__).with_name("sentences.txt")
PHENOMENA = [line for line in SENTENCES.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def labeler() -> RuleLabeler:
    return RuleLabeler()


def codes(labeler: RuleLabeler, text: str) -> dict[str, int]:
    return {
        name: code for name, code in labeler.label(text).codes().items() if code is not None and name != "No Finding"
    }


@pytest.mark.parametrize("line", PHENOMENA)
def test_sentence_is_read_as_written_beside_it(labeler: RuleLabeler, line: str) -> None:
    example = parse_example("tests", line)
    found = labeler.label(example.sentence).codes()
    if not example.checks_no_finding:
        found.pop("No Finding")
    assert {name: code for name, code in found.items() if code is not None} == example.codes


def test_packaged_sentences_are_read_right_but_for_the_listed_misses() -> None:
    n, misses = run_examples()
    assert n >= 300
    assert {miss.example.sentence for miss in misses} == KNOWN_MISSES


def test_every_cue_that_decides_a_value_has_examples_for_both_sides(labeler: RuleLabeler) -> None:
    silent = {"doubt.slash"}
    short = [cue.id for cue in labeler.lexicon.cues if len(cue.examples) < 2 and cue.id not in silent]
    assert short == []


def test_a_broken_vocabulary_fails_the_self_test(tmp_path: Path) -> None:
    extra = tmp_path / "bad.toml"
    extra.write_text('[[cue]]\nid = "mine"\nrole = "negates-before"\nphrases = ["be present"]\n')
    _, misses = run_examples(RuleLabeler(extra))
    assert any(not miss.is_known for miss in misses)


# -- evidence --------------------------------------------------------------------------------------------------------


def test_evidence_points_at_the_words_in_the_original_text(labeler: RuleLabeler) -> None:
    text = "FINDINGS:\r\n  Heart size is NORMAL.<br>No XXXX Pneumothroax.\r\nIMPRESSION: Possible effusion."
    said = {item.observation: item for item in labeler.label(text).evidence}
    assert text[slice(*said["Cardiomegaly"].mention)] == "Heart size"
    assert text[slice(*said["Pneumothorax"].mention)] == "Pneumothroax"
    assert text[slice(*said["Pneumothorax"].cue or (0, 0))] == "No"
    assert text[slice(*said["Pneumothorax"].sentence)] == "No XXXX Pneumothroax."
    assert text[slice(*said["Pleural Effusion"].cue or (0, 0))] == "Possible"
    assert said["Pleural Effusion"].rule == "doubt.modal"


def test_losing_statements_stay_in_the_evidence(labeler: RuleLabeler) -> None:
    evidence = labeler.label("Possible effusion. Small effusion. No large effusion.").evidence
    assert [(item.value, item.wins) for item in evidence] == [
        (LabelValue.UNCERTAIN, False),
        (LabelValue.POSITIVE, True),
        (LabelValue.NEGATIVE, False),
    ]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                *"., ;:/-?\n",
                "no",
                "effusion",
                "İ",
                "heart size",
                "is",
                "normal",
                "or",
                "and",
                "may be",
                "XXXX",
                "<b>",
                "resolved",
                "ß",
                "1.",
            ]
        ),
        max_size=40,
    )
)
def test_any_text_is_read_and_spans_stay_inside_it(words: list[str]) -> None:
    text = " ".join(words)
    for item in _SHARED.label(text).evidence:
        assert 0 <= item.sentence[0] <= item.mention[0] < item.mention[1] <= item.sentence[1] <= len(text)
        assert item.cue is None or item.sentence[0] <= item.cue[0] < item.cue[1] <= item.sentence[1]


_SHARED = RuleLabeler()

# -- aggregation and options -----------------------------------------------------------------------------------------


def test_positive_beats_uncertain_beats_negative(labeler: RuleLabeler) -> None:
    assert codes(labeler, "No effusion. Effusion is possible. Small effusion.") == {"Pleural Effusion": 1}
    assert codes(labeler, "No effusion on the left. Possible effusion on the right.") == {"Pleural Effusion": -1}


def test_chexpert_compat_keeps_the_aggregation_of_the_original() -> None:
    original = RuleLabeler(compat="chexpert")
    text = "No effusion on the left. Possible effusion on the right. Small effusion."
    assert original.label(text).codes()["Pleural Effusion"] == -1
    assert RuleLabeler().label(text).codes()["Pleural Effusion"] == 1
    order = list(original.label("Clear.").values)
    assert order.index("Lung Lesion") < order.index("Lung Opacity")
    assert original.label("").codes()["No Finding"] == 1


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ("Heart and lungs: the heart is normal. Lungs clear. No edema, pneumonia or effusion.",
         {"No Finding": 1, "Cardiomegaly": 0, "Edema": 0, "Pneumonia": 0, "Pleural Effusion": 0}),
        ("Two effusions with atelectasis. Cardiomegaly without overt edema.",
         {"Cardiomegaly": 1, "Edema": 0, "Atelectasis": 1, "Pleural Effusion": 1}),
        ("Airspace disease that may reflect atelectasis or consolidation.",
         {"Lung Opacity": 1, "Consolidation": -1, "Atelectasis": -1}),
        ("Stable mild cardiomegaly, hyperexpanded clear lungs.", {"Cardiomegaly": 1}),
        ("Degenerative endplate changes.", {"Support Devices": 1}),
        ("Prior lumpectomy.", {"Lung Lesion": 1}),
        ("Opacity over the heart.", {"Lung Opacity": 1}),
    ],
)  # fmt: skip
def test_chexpert_compat_reads_like_the_original(report: str, said: dict[str, int]) -> None:
    found = RuleLabeler(compat="chexpert").label(report).codes()
    assert {name: code for name, code in found.items() if code is not None} == said


def test_parents_are_filled_only_on_request(labeler: RuleLabeler) -> None:
    values = labeler.label("Right lower lobe pneumonia.").values
    assert values["Lung Opacity"] is LabelValue.NOT_MENTIONED
    filled = with_parents(values)
    assert filled["Consolidation"] is filled["Lung Opacity"] is LabelValue.POSITIVE
    assert filled["Cardiomegaly"] is LabelValue.NOT_MENTIONED


@pytest.mark.parametrize(("policy", "code"), [("keep", -1), ("u-ones", 1), ("u-zeros", 0), ("u-ignore", None)])
def test_uncertain_becomes_what_its_policy_says(labeler: RuleLabeler, policy: str, code: int | None) -> None:
    values = settle_uncertain(labeler.label("Possible pneumonia. No effusion.").values, policy)
    assert values["Pneumonia"].chexpert == code
    assert values["Pleural Effusion"].chexpert == 0
    assert values["Edema"].chexpert is None


def test_an_unknown_policy_or_compat_is_a_named_error() -> None:
    with pytest.raises(ReportError, match="u-ones"):
        settle_uncertain({}, "ones")
    with pytest.raises(ReportError, match="chexpert"):
        RuleLabeler(compat="negbio")


def test_columns_are_the_fourteen(labeler: RuleLabeler) -> None:
    assert list(labeler.label("Clear.").values) == list(CHEXPERT_NAMES)


# -- sections --------------------------------------------------------------------------------------------------------


def test_indication_history_and_comparison_are_not_labeled(labeler: RuleLabeler) -> None:
    text = "INDICATION: Rule out pneumothorax.\nHISTORY: CHF.\nCOMPARISON: Prior film showed effusion.\nFINDINGS: Clear lungs."
    assert codes(labeler, text) == {}
    assert labeler.label(text).codes()["No Finding"] == 1


def test_a_report_dictated_under_comparison_is_labeled(labeler: RuleLabeler) -> None:
    assert codes(labeler, "INDICATION: Cough.\nCOMPARISON: None. There is a left effusion.") == {"Pleural Effusion": 1}


def test_recommendations_are_at_most_uncertain(labeler: RuleLabeler) -> None:
    text = "IMPRESSION: Opacity.\nRECOMMENDATION(S): CT for the nodule."
    assert codes(labeler, text) == {"Lung Opacity": 1, "Lung Lesion": -1}


# -- vocabulary of one's own -----------------------------------------------------------------------------------------


def test_a_vocabulary_adds_findings_and_synonyms(tmp_path: Path) -> None:
    mine = tmp_path / "my.toml"
    mine.write_text(
        '[[finding]]\nname = "Scimitar Sign"\nphrases = ["scimitar vein", "scimitar*"]\n'
        '[[finding]]\nname = "Pneumothorax"\nphrases = ["collapsed chest"]\n'
    )
    labeler = RuleLabeler(mine)
    assert labeler.observations[-1] == "Scimitar Sign"
    assert codes(labeler, "No scimitar vein. Possible collapsed chest.") == {"Scimitar Sign": 0, "Pneumothorax": -1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[finding]]\nnam = 'x'", "unknown key 'nam'"),
        ("[[finding]]\nphrases = ['x']", "'name'"),
        ("[[finding]]\nname = 'x'\nphrases = 'y'", "list of quoted phrases"),
        ("[[cue]]\nid = 'x'\nrole = 'denies'\nphrases = ['y']", "unknown role 'denies'"),
        ("[[structure]]\nobservations = ['Cardiomegalie']\nphrases = ['y']", "did you mean 'Cardiomegaly'"),
        ("[[findings]]\nname = 'x'", "expected"),
        ("name = ", "not a TOML file"),
    ],
)
def test_a_wrong_vocabulary_is_a_named_error(tmp_path: Path, content: str, message: str) -> None:
    mine = tmp_path / "my.toml"
    mine.write_text(content)
    with pytest.raises(ReportError, match=message):
        RuleLabeler(mine)


def test_a_missing_vocabulary_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="no such vocabulary"):
        RuleLabeler(tmp_path / "none.toml")


# -- hard text -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "   ", "XXXX XXXX.", "___ ___", "[**2101-1-1**]", "\r\n"])
def test_an_empty_or_hollow_report_stays_blank_and_says_so(labeler: RuleLabeler, text: str) -> None:
    said = labeler.label(text)
    assert said.note == "empty"
    assert set(said.codes().values()) == {None}


@pytest.mark.parametrize(
    "text",
    [
        "Radiografía de tórax sin alteraciones. No se observa derrame pleural.",
        "Lungen frei belüftet. Kein Pleuraerguss. Herz nicht vergrößert und normal.",
        "Les poumons sont clairs. Pas d'épanchement pleural dans les deux bases.",
        "Coração de tamanho normal. Sem derrame pleural. Não há consolidação.",
        "Сердце не увеличено. Плеврального выпота нет.",
        "両肺に明らかな異常影を認めません。心拡大なし。",
        "Hart niet vergroot. Geen pleuravocht en geen infiltraat van de longen.",
        "Akciğerler doğal havalanmaktadır. Plevral efüzyon saptanmadı, kalp boyutları normal.",
        "Serce w normie. Nie stwierdza się płynu w jamach opłucnej ani zagęszczeń miąższowych.",
        "Torace: non si osservano versamenti pleurici. Il cuore nei limiti della norma.",
    ],
)
def test_a_report_in_another_language_is_not_called_normal(labeler: RuleLabeler, text: str) -> None:
    said = labeler.label(text)
    assert said.note == "not English"
    assert said.codes()["No Finding"] is None


@pytest.mark.parametrize(
    "text",
    [
        "Normal.",
        "NAD",
        "No acute disease",
        "Negative chest.",
        "Cardiomegaly",
        "Right IJ line, no ptx",
        "Unremarkable study, café au lait spots.",
    ],
)
def test_short_english_reports_are_read(labeler: RuleLabeler, text: str) -> None:
    assert labeler.label(text).note == ""


def test_markup_and_line_ends_change_nothing(labeler: RuleLabeler) -> None:
    plain = "Small effusion. No edema."
    assert codes(labeler, "<p>Small effusion.</p><b>No</b> edema.&nbsp;") == codes(labeler, plain)
    assert codes(labeler, r"{\rtf1\ansi Small effusion.\par No edema.}") == codes(labeler, plain)
    assert codes(labeler, "Small effusion\r\nNo edema\r\n") == codes(labeler, plain)
    assert codes(labeler, "Small\neffusion. No\nedema.") == codes(labeler, plain)


def test_list_items_without_full_stops_are_sentences(labeler: RuleLabeler) -> None:
    assert codes(labeler, "1. No effusion\n2. Pneumothorax\n- mild edema") == {
        "Pleural Effusion": 0, "Pneumothorax": 1, "Edema": 1
    }  # fmt: skip


HARD = [
    "no ",
    ", ",
    "or ",
    "is, ",
    "<",
    "\\par ",
    "A:\n",
    "xxxx ",
    "effusion/",
    "1.",
    "\n",
    "effusion, no heart is enlarged or ",
    "IMPRESSION: ",
]


@pytest.mark.parametrize("piece", HARD)
def test_time_grows_with_length_and_no_faster(labeler: RuleLabeler, piece: str) -> None:
    text = piece * (100_000 // len(piece))
    began = time.process_time()
    labeler.label(text)
    assert time.process_time() - began < 5


def test_a_word_list_cannot_fill_the_memory() -> None:
    labeler = RuleLabeler(remember=10)
    labeler.lexicon.forms.LIMIT = 5000
    for i in range(12_000):
        assert labeler.lexicon.forms[f"word{i}"] == f"word{i}"
    assert len(labeler.lexicon.forms) <= 5001
    assert codes(labeler, "Small effusion.") == {"Pleural Effusion": 1}


def test_reading_anew_equals_remembering() -> None:
    anew, remembering = RuleLabeler(remember=0), RuleLabeler()
    for example in packaged_examples():
        assert anew.codes(example.sentence) == remembering.codes(example.sentence)
        assert tuple(anew.label(example.sentence).codes().values()) == anew.codes(example.sentence)[0]


def test_the_vocabulary_shown_in_the_documentation_works(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "labeling.md").read_text(encoding="utf-8")
    mine = tmp_path / "my.toml"
    mine.write_text(page.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    labeler = RuleLabeler(mine)
    assert codes(labeler, "Active TB. TB test. Old TB. Effusion below our threshold.") == {
        "Tuberculosis": 1,
        "Pleural Effusion": 0,
    }
    assert codes(labeler, "Old tuberculosis.") == {}
