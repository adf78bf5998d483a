"""What is said of a study, as CXR-CLIP takes it: a report's sections and paraphrases, or labels (You et al. 2023, 2.1-2.2)."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hilum.archive import Archive
from hilum.errors import TrainingError
from hilum.methods.label_texts import NOTHING, PromptBank, Stated, text_of_labels
from hilum.reports import report_text

SECTIONS = ("findings", "impression")


@dataclass(frozen=True)
class StudyText:
    """Sections of a report, or labels.

    Attributes:
        sections: findings and impression, those that there are.
        paraphrases: of each section, as far as there are any; None where there is none.
        stated: the labels of a study without a report.
        negatives: how many findings that are not there a text from labels names; None: all.
    """

    sections: tuple[str, ...] = ()
    paraphrases: tuple[str | None, ...] = ()
    stated: Stated | None = None
    negatives: int | None = None

    def __bool__(self) -> bool:
        return bool(self.sections) or self.stated is not None

    def two(self, draws: random.Random | None, bank: PromptBank) -> tuple[str, str]:
        """Two texts.

        Of several sections two are drawn with replacement, each in its paraphrase half the time; of one section it and its
        paraphrase, in random order. Labels give two texts drawn apart. A fixed choice takes the first two sections.
        """
        if self.stated is not None:
            return (
                text_of_labels(self.stated, bank, draws, self.negatives),
                text_of_labels(self.stated, bank, draws, self.negatives),
            )
        if draws is None:
            return self.sections[0], self.sections[min(1, len(self.sections) - 1)]
        if len(self.sections) == 1:
            pair = [self.sections[0], self._paraphrase(0)]
            draws.shuffle(pair)
            return pair[0], pair[1]
        chosen = [draws.randrange(len(self.sections)) for _ in range(2)]
        first, second = (self._paraphrase(i) if draws.random() < 0.5 else self.sections[i] for i in chosen)
        return first, second

    def all(self, bank: PromptBank | None) -> list[str]:
        """Every text there is; with a bank, sentences from labels too."""
        said = [text for text in (*self.sections, *self.paraphrases) if text]
        if self.stated is not None and bank is not None:
            said += [text_of_labels(self.stated, bank, random.Random(0), self.negatives)]
        return said

    def _paraphrase(self, section: int) -> str:
        known = self.paraphrases[section] if self.paraphrases else None
        return known or self.sections[section]


def sections_of_studies(archive: Archive, study_ids: Sequence[str], text: str = "sections") -> list[StudyText]:
    """The texts of studies with reports; a false `StudyText` where a study has none.

    Args:
        archive: where the reports are.
        study_ids: which studies.
        text: 'sections' for findings and impression apart, or a text policy for one text.

    Raises:
        ReportError: the policy is unknown.
    """
    said: dict[str, StudyText] = {}
    for study in archive.studies().to_pylist():
        if text == "sections":
            parts = [report_text(study, section, report=study["report"]) for section in SECTIONS]
        else:
            parts = [report_text(study, text, report=study["report"])]
        said[study["study_id"]] = StudyText(tuple(part for part in parts if part.strip()))
    return [said.get(study_id, StudyText()) for study_id in study_ids]


def translated(texts: list[StudyText], folders: Sequence[str], archive: Archive) -> list[StudyText]:
    """The same texts with paraphrases by translation there and back; kept beside the archive, so made once.

    Args:
        texts: of studies.
        folders: of two local translation models, there and back; none: no paraphrases.
        archive: whose texts they are.

    Raises:
        TrainingError: another number of folders.
        ModelError: a folder is no translation model.
    """
    if not folders:
        return texts
    if len(folders) != 2:
        raise TrainingError(
            f"back_translation has {len(folders)} folders ({', '.join(folders)}); expected two: there,back."
        )
    from hilum.reports.neural.backtranslate import BackTranslator

    sections = list(dict.fromkeys(section for text in texts for section in text.sections))
    cache = Path(archive.path) / "back-translations.json"
    returned = BackTranslator(folders[0], folders[1])(sections, cache)
    paraphrase = dict(zip(sections, returned, strict=True))
    return [replace(text, paraphrases=tuple(paraphrase[s] for s in text.sections)) for text in texts]


def prompts_of_studies(archive: Archive, study_ids: Sequence[str], text: str, bank: PromptBank) -> list[StudyText]:
    """What the labels of studies say: a dataset's own where it has any, else those read from reports.

    Args:
        archive: where the labels are.
        study_ids: which studies.
        text: 'prompts' names all that is denied, 'prompts:3' at most three of it.
        bank: whose findings can be said; labels of others are left out.

    Raises:
        TrainingError: the archive has no labels, or the number is none.
    """
    _, _, count = text.partition(":")
    if count and not count.isdigit():
        raise TrainingError(
            f"texts={text}: expected 'prompts', or 'prompts:' and a number of denied findings, such as 3."
        )
    labels = archive.labels(["study_id", "finding", "value", "said_by"])
    given = [row for row in labels.to_pylist() if row["said_by"].startswith("dataset:")] or labels.to_pylist()
    if not given:
        raise TrainingError(
            f"{archive.path}: texts={text} makes texts from labels, and the archive has none. Ingest a dataset that states "
            f"labels, or read them from reports: hilum label {archive.path}"
        )
    wanted, said = set(study_ids), defaultdict[str, dict[str, list[str]]](dict)
    for row in given:
        if row["study_id"] in wanted and row["finding"] in bank.sentences:
            said[row["study_id"]].setdefault(row["value"], []).append(row["finding"])
    number = int(count) if count else None
    return [
        StudyText(stated=_stated(said[study_id]), negatives=number) if study_id in said else StudyText()
        for study_id in study_ids
    ]


def _stated(values: dict[str, list[str]]) -> Stated:
    """A study's labels, images together: there where any image shows it, else may be, else denied."""
    there = tuple(dict.fromkeys(values.get("positive", ())))
    maybe = tuple(f for f in dict.fromkeys(values.get("uncertain", ())) if f not in there)
    denied = dict.fromkeys(values.get("negative", ()))
    return Stated(there, tuple(f for f in denied if f not in (*there, *maybe, NOTHING)), maybe)
