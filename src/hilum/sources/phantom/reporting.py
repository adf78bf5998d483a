"""A free-text report of a study: written as a radiologist would, with hedges, negations, changes and omissions."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from hilum.sources.phantom import wording
from hilum.sources.phantom.history import Patient, Study
from hilum.sources.phantom.signs import DRAWN, Sign, truth_of

OMITTED = 0.05  # share of the present signs a report leaves out
HEDGED = 0.10  # share told as uncertain; subtle signs more often
LOBES = {
    ("right", "upper"): ("right upper lobe", "right upper lung", "right upper zone"),
    ("right", "middle"): ("right middle lobe", "right mid lung", "right mid zone"),
    ("right", "lower"): ("right lower lobe", "right lung base", "right lower lung"),
    ("left", "upper"): ("left upper lobe", "left upper lung", "left upper zone"),
    ("left", "middle"): ("left mid lung", "lingula", "left mid zone"),
    ("left", "lower"): ("left lower lobe", "left lung base", "left lower lung"),
    ("bilateral", "upper"): ("both upper lobes", "both upper lungs", "bilateral upper lungs"),
    ("bilateral", "middle"): ("both mid lungs", "bilateral mid lungs"),
    ("bilateral", "lower"): ("both lower lobes", "both lung bases", "bilateral lung bases"),
}


def write_report(patient: Patient, study: Study) -> str:
    """The report of a study, sections in capitals as in MIMIC-CXR; the same patient and study give the same text."""
    rng = np.random.default_rng([patient.seed, patient.index, study.number, 81])
    told = [sign for sign in study.signs if rng.random() >= OMITTED]
    hedged = {id(sign) for sign in told if _is_hedged(sign, rng)}
    layout = rng.choice(["full", "impression", "findings"], p=[0.78, 0.14, 0.08])
    absent = [name for name in DRAWN if not truth_of(study.signs)[name]]
    sections: list[tuple[str, str]] = []
    if layout == "full":
        sections += _front_matter(patient, study, rng)
    if layout != "impression":
        sections.append(("FINDINGS", _findings(study, told, hedged, absent, rng)))
    if layout != "findings":
        sections.append(("IMPRESSION", _impression(study, told, hedged, absent, rng)))
    body = "\n\n".join(f" {name}: {text}" for name, text in sections)
    return f" {wording.SYNTHETIC_NOTICE}\n\n FINAL REPORT\n EXAMINATION: CHEST RADIOGRAPH\n\n{body}\n"


def _front_matter(patient: Patient, study: Study, rng: np.random.Generator) -> list[tuple[str, str]]:
    person = ("woman", "female") if patient.anatomy.sex == "F" else ("man", "male")
    indication = _pick(rng, wording.INDICATIONS).replace("F/M", patient.anatomy.sex)
    views = {picture.pose.view for picture in study.pictures}
    technique = _pick(rng, wording.TECHNIQUES["pa+lateral" if "lateral" in views else study.pictures[0].pose.view])
    if study.before is None:
        comparison = _pick(rng, ("None.", "None available.", "No prior studies."))
    else:
        comparison = _pick(
            rng, ("Prior chest radiograph.", "Chest radiograph from the prior study.", "Multiple prior radiographs.")
        )
    given = indication.format(age=study.age_years, person=_pick(rng, person))
    sections = [("INDICATION", _finish(given)), ("TECHNIQUE", technique), ("COMPARISON", comparison)]
    return [section for section in sections if rng.random() < 0.85]


def _findings(study: Study, told: list[Sign], hedged: set[int], absent: list[str], rng: np.random.Generator) -> str:
    sentences = [_sentence(study, sign, id(sign) in hedged, rng, change=0.7) for sign in told]
    sentences += [_pick(rng, wording.RESOLVED[f]) for f in _resolved(study) if rng.random() < 0.7]
    if not study.signs and rng.random() < 0.6:
        sentences.insert(0, _pick(rng, wording.NORMAL_LUNGS))
    sentences += _negations(absent, rng, share=0.33)
    order = rng.permutation(len(sentences)) if rng.random() < 0.35 else range(len(sentences))
    return " ".join(_finish(sentences[i]) for i in order)


def _impression(study: Study, told: list[Sign], hedged: set[int], absent: list[str], rng: np.random.Generator) -> str:
    if not told:
        sentences = [_pick(rng, wording.NORMAL_IMPRESSION)] if not study.signs else ["no significant interval change"]
        if rng.random() < 0.4:
            sentences += _negations(absent, rng, share=0.08)[:1]
    else:
        by_weight = sorted(told, key=lambda sign: -sign.grade)
        phrases = [_sentence(study, sign, id(sign) in hedged, rng, change=0.35) for sign in by_weight]
        sentences = []
        while phrases:  # one to three sentences: several findings share one
            n = 1 if len(phrases) == 1 or rng.random() < 0.4 else 2 if len(phrases) < 5 or len(sentences) else 3
            sentences.append(_join(phrases[:n]))
            phrases = phrases[n:]
        if rng.random() < 0.45:
            sentences += _negations(absent, rng, share=0.10)[:1]
        gone = _resolved(study)
        if gone and rng.random() < 0.4:
            sentences.append(_pick(rng, wording.RESOLVED[gone[0]]))
    if len(sentences) > 1 and rng.random() < 0.3:
        return " ".join(f"{number}. {_finish(text)}" for number, text in enumerate(sentences, start=1))
    return " ".join(_finish(text) for text in sentences)


def _sentence(study: Study, sign: Sign, hedged: bool, rng: np.random.Generator, change: float) -> str:
    """One sign in words; `change` is how often it is compared with the last study."""
    words = _words(sign, rng)
    if hedged:
        name = _pick(rng, wording.HEDGED_NAMES[sign.finding]).format(**words)
        return _grammar(_pick(rng, wording.HEDGES).format(x=name))
    if sign.finding == "Support Devices":
        text = _pick(rng, wording.DEVICES[sign.kind])
    else:
        text = _pick(rng, wording.PRESENT[sign.finding])
    text = _grammar(text.format(**words))
    compared = _change(study, sign)
    if compared and "," not in text and "unchanged" not in text and rng.random() < change:
        text = f"{text}, {_pick(rng, wording.CHANGES[compared])}"
    return text


def _grammar(text: str) -> str:
    """Plurals and articles that the templates leave open."""
    if "bilateral" in text:
        text = re.sub(r"\bthere is a ([\w-]+ )?bilateral", r"there are \1bilateral", text)
        text = re.sub(r"\ba ((?:[\w-]+ )*)bilateral", r"\1bilateral", text).replace("bilateral-sided", "bilateral")
        text = re.sub(r"(bilateral pleural effusion|bilateral effusion)\b", r"\1s", text)
        text = re.sub(r"(effusions) is\b", r"\1 are", text)
        text = re.sub(r"(bilateral (?:\w+ ){1,2}opacit)y\b", r"\1ies", text)
    return re.sub(r"\ba (?=[aeiou])", "an ", text.replace("the both", "both").replace("the bilateral", "both"))


def _words(sign: Sign, rng: np.random.Generator) -> dict[str, str]:
    grades = wording.GRADE_WORDS.get(sign.finding, wording.GRADE_WORDS[""])
    grade = _pick(rng, grades[sign.grade - 1])
    adverb = {1: "mildly", 2: "moderately", 3: "markedly"}[sign.grade]
    bases = {"bilateral": "lung bases", "left": "left base", "right": "right base"}
    return {
        "grade": grade,
        "grade_adverb": adverb,
        "side": sign.side,
        "zone": _pick(rng, LOBES.get((sign.side, sign.zone), ("lung",))),
        "lobe": f"{sign.side} {'mid lung' if sign.zone == 'middle' and sign.side != 'right' else f'{sign.zone} lobe'}",
        "base": bases.get(sign.side, "bases"),
        "cm": str(rng.integers(3, 6)),
    }


def _is_hedged(sign: Sign, rng: np.random.Generator) -> bool:
    if sign.finding == "Support Devices":
        return False
    return bool(rng.random() < (2.2 * HEDGED if sign.grade == 1 else 0.5 * HEDGED))


def _change(study: Study, sign: Sign) -> str:
    """How a sign compares with the last study: "same", "better", "worse", "new", or "" in a first study."""
    if study.before is None:
        return ""
    for old in study.before:
        if old.finding == sign.finding and old.seed == sign.seed:
            return "same" if old.grade == sign.grade else "better" if old.grade > sign.grade else "worse"
    return "new"


def _resolved(study: Study) -> list[str]:
    """Acute findings of the last study that are gone."""
    here = truth_of(study.signs)
    return [sign.finding for sign in study.before or () if sign.finding in wording.RESOLVED and not here[sign.finding]]


def _negations(absent: Sequence[str], rng: np.random.Generator, share: float) -> list[str]:
    """Sentences about some of what is not there, at least one where anything is absent."""
    left, said = list(absent), []
    for group, texts in wording.ABSENT_PAIRS.items():
        if all(name in left for name in group) and rng.random() < share * 1.3:
            said.append(_pick(rng, texts))
            left = [name for name in left if name not in group]
    said += [
        _pick(rng, wording.ABSENT[name]) for name in left if rng.random() < share * _COMMONLY_DENIED.get(name, 0.7)
    ]
    if not said and absent:
        said.append(_pick(rng, wording.ABSENT[str(rng.choice(list(absent)))]))
    rng.shuffle(said)
    return said


_COMMONLY_DENIED = {
    "Pneumothorax": 2.0,
    "Pleural Effusion": 1.8,
    "Consolidation": 1.4,
    "Edema": 1.3,
    "Support Devices": 0.2,
}


def _join(phrases: list[str]) -> str:
    return (
        phrases[0]
        if len(phrases) == 1
        else f"{', '.join(phrases[:-1])} and {phrases[-1]}".replace("and there is", "and")
    )


def _finish(text: str) -> str:
    text = text.strip()
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]
