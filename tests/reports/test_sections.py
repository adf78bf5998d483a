"""Sections: the default mode's better behavior, and the compatible modes against what the original tools gave."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.errors import ReportError
from hilum.reports import POLICIES, Section, cut, mimic_conclusion, report_text, sections

CASES = json.loads((Path(__file__).parents[1] / "golden" / "sections" / "sections.json").read_text(encoding="utf-8"))
cases = pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])


def by_name(text: str, **options: str) -> dict[str, str]:
    return {part.name: part.text for part in sections(text, **options)}


@cases
def test_mimic_mode_equals_the_mimic_parser(case: dict) -> None:
    found = sections(case["text"], mode="mimic")
    expected = case["mimic_section_parser"]
    assert [part.text for part in found] == expected["sections"]
    assert [part.name for part in found] == expected["names"]
    assert [part.start for part in found] == expected["start_indices"]
    assert all(case["text"][part.start : part.end].endswith(part.text) for part in found)


@cases
def test_mimic_conclusion_equals_the_mimic_parser(case: dict) -> None:
    found = mimic_conclusion(case["text"])
    expected = case["mimic_conclusion_section"]
    assert (found.name if found else None) == expected["name"]
    assert (found.text if found else "") == expected["text"]


@cases
def test_cxr_repair_mode_equals_the_original(case: dict) -> None:
    assert report_text({}, "cxr-repair", case["text"]) == case["cxr_repair_impression"]
    assert "".join(part.text for part in sections(case["text"], mode="cxr-repair")) == case["cxr_repair_impression"]


@cases
def test_chexzero_mode_equals_the_original(case: dict) -> None:
    assert [part.text for part in sections(case["text"], mode="chexzero")] == [case["chexzero_impression"]]


CHEXZERO = [
    ("FINAL REPORT\n EXAMINATION: CHEST\n\n FINDINGS: Lungs clear.\n\n IMPRESSION:\n\n 1. No acute process.\n"
     " 2. Stable   heart.\n\n RECOMMENDATION(S):  Follow up CT.\n\n NOTIFICATION: Dr. X.", "1. No acute process. 2. Stable heart."),
    ("FINDINGS: Lungs clear. Heart normal.", "NO IMPRESSION"),
    ("IMPRESSION: Old text. PRIOR IMPRESSION: Mild edema. NOTIFICATION: called at 3pm RECOMMENDATIONS: none",
     "Mild edema."),
    ("FINDINGS AND IMPRESSION: Small effusion.", "Small effusion."),
    ("IMPRESSION:\n", ""),
    ("RECOMMENDATION: see below IMPRESSION: Pneumonia NOTIFICATIONS: paged", "Pneumonia"),
]  # fmt: skip


@pytest.mark.parametrize(("report", "impression"), CHEXZERO)
def test_chexzero_mode_equals_the_training_captions_of_the_original(report: str, impression: str) -> None:
    assert sections(report, mode="chexzero")[0].text == impression


@cases
def test_default_mode_keeps_true_offsets(case: dict) -> None:
    assert all(case["text"][part.start : part.end] == part.text for part in sections(case["text"]))


def test_headers_are_seen_in_any_case_and_in_mid_line() -> None:
    text = "HISTORY: sepsis. FINDINGS: Low lung volumes. Impression: Bibasilar atelectasis. No edema."
    assert by_name(text) == {
        "history": "sepsis.", "findings": "Low lung volumes.", "impression": "Bibasilar atelectasis. No edema."
    }  # fmt: skip
    assert by_name("findings: Clear.\n  impression : Normal.") == {"findings": "Clear.", "impression": "Normal."}


def test_capital_headers_are_seen_without_a_full_stop_before() -> None:
    assert by_name("COMPARISON: None FINDINGS: Clear lungs") == {"comparison": "None", "findings": "Clear lungs"}


def test_a_header_may_stand_alone_on_its_line() -> None:
    assert by_name("FINDINGS\nClear lungs.\n\nImpression\nNormal.") == {
        "findings": "Clear lungs.",
        "impression": "Normal.",
    }


@pytest.mark.parametrize(
    "title", ["IMPRESSON", "IMPRESSION", "Impresion", "CONCLUSION", "Imprestion", "FINDINGS/IMPRESSION"]
)
def test_misspelled_headers_are_understood(title: str) -> None:
    assert by_name(f"HISTORY: Cough.\n{title}: No edema.")["impression"] == "No edema."


def test_the_misspelling_ndication_is_an_indication() -> None:
    assert by_name("NDICATION: Cough.\nFINDINGS: Clear.")["indication"] == "Cough."


def test_a_colon_in_prose_is_no_header() -> None:
    text = "IMPRESSION: AP chest compared to ___:  Moderate edema.  Right effusion is large: unchanged."
    assert list(by_name(text)) == ["impression"]
    assert by_name("FINDINGS: Two things: a nodule and a mass.")["findings"].endswith("a mass.")


def test_titles_of_organs_stay_inside_the_findings() -> None:
    text = "FINDINGS:\nLUNGS: Clear.\nHEART: Normal.\nIMPRESSION: Normal."
    assert by_name(text) == {"findings": "LUNGS: Clear.\nHEART: Normal.", "impression": "Normal."}


@pytest.mark.parametrize(
    "tail",
    ["RECOMMENDATION(S): CT chest.", "NOTIFICATION: Called to Dr. ___.", "ADDENDUM: None.",
     "Electronically signed by: A. B.",
     "Dictated by: Dr. C", "I have personally reviewed the images."],
)  # fmt: skip
def test_the_impression_stops_before_recommendations_and_signatures(tail: str) -> None:
    assert cut(f"IMPRESSION: Small effusion.\n{tail}\n")["impression"] == "Small effusion."


def test_a_view_title_over_a_placeholder_does_not_hide_the_findings() -> None:
    text = " PORTABLE CHEST:  ___\n \n HISTORY:  ARDS.\n \n Diffuse opacities.\n \n Tube in place.\n"
    assert cut(text) == {"findings": "Diffuse opacities.\n \n Tube in place.", "history": "ARDS."}


def test_a_report_without_headers_is_all_findings() -> None:
    assert cut("Heart size normal. No effusion.") == {"findings": "Heart size normal. No effusion."}


@pytest.mark.parametrize("text", ["", " \n ", "___", "XXXX. XXXX"])
def test_a_hollow_report_has_no_sections_to_store(text: str) -> None:
    assert cut(text) == {}


def test_line_ends_of_windows_change_nothing() -> None:
    text = "FINDINGS:\r\nClear.\r\n\r\nIMPRESSION:\r\nNormal.\r\n"
    assert cut(text) == {"findings": "Clear.", "impression": "Normal."}


def test_keep_chooses_among_repeated_sections() -> None:
    text = "IMPRESSION: Old.\nFINDINGS: Clear.\nIMPRESSION: New."
    assert by_name(text, keep="last")["impression"] == "New."
    assert by_name(text, keep="first")["impression"] == "Old."
    assert [part.text for part in sections(text) if part.name == "impression"] == ["Old.", "New."]


def test_overrides_name_a_section_or_a_range() -> None:
    text = "RECOMMENDATIONS: Small effusion.\nFINDINGS: Clear."
    assert cut(text, {"s1": "recommendations"}, "s1")["impression"] == "Small effusion."
    assert cut(text, {"s1": (17, 22)}, "s1")["impression"] == "Small"
    assert "impression" not in cut(text, {"s1": (0, 0)}, "s1")
    assert "impression" not in cut(text, {"s1": "recommendations"}, "s2")
    with pytest.raises(ReportError, match="no section 'note'"):
        cut(text, {"s1": "note"}, "s1")
    with pytest.raises(ReportError, match="outside its report"):
        cut(text, {"s1": (0, 999)}, "s1")


def test_unknown_modes_and_policies_are_named_errors_with_the_list() -> None:
    with pytest.raises(ReportError, match="mimic"):
        sections("x", mode="nihh")
    with pytest.raises(ReportError, match="'impression else findings'"):
        report_text({}, "impressions")


def test_policies_choose_as_they_say() -> None:
    both = {"findings": "The lungs are clear today.", "impression": "Normal."}
    assert report_text(both) == "Normal."
    assert report_text(both, "findings") == "The lungs are clear today."
    assert report_text(both, "longer") == "The lungs are clear today."
    assert report_text(both, "both") == "The lungs are clear today. Normal."
    assert report_text({"findings": "Clear.", "impression": "___"}) == "Clear."
    assert report_text({"impression": None, "findings": None}, "both") == ""
    assert report_text({"impression": " a  b "}, "chexzero") == "a b"
    assert report_text({}, "chexzero") == "NO IMPRESSION"
    assert report_text({}, "whole", " All of it. ") == "All of it."
    assert all(isinstance(report_text(both, policy), str) for policy in POLICIES)


@given(st.text(max_size=300) | st.text("FINDGSIMPREO: .\n\r_X", max_size=300))
def test_any_text_can_be_cut_and_sections_never_overlap(text: str) -> None:
    found: list[Section] = sections(text)
    assert all(text[part.start : part.end] == part.text for part in found)
    assert all(a.end <= b.start for a, b in pairwise(found))
