"""What is said of a study, as CXR-CLIP takes it: a report's sections and paraphrases, or labels (You et al. 2023, 2.1-2.2)."""

from __future__ import annotations

import fcntl
import logging
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from hilum.archive import Archive
from hilum.errors import TrainingError
from hilum.methods.label_texts import NOTHING, PromptBank, Stated, text_of_labels
from hilum.reports import study_text

logger = logging.getLogger(__name__)

SECTIONS = ("findings", "impression")
PROMPTS = "prompts"  # a text that is no policy: sentences made from labels

# What a study may show although nothing is found: CheXpert's "No Finding" does not look at devices.
_NO_FINDING_EITHER = (NOTHING, "Support Devices")
_STATES = {"positive": "pos", "negative": "neg", "uncertain": "unc"}


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

    @property
    def written(self) -> list[str]:
        """Sections and paraphrases; nothing of labels."""
        return [text for text in (*self.sections, *self.paraphrases) if text]

    def _paraphrase(self, section: int) -> str:
        known = self.paraphrases[section] if self.paraphrases else None
        return known or self.sections[section]


def texts_of_archive(
    archive: Archive, text: str, bank: PromptBank, back_translation: Sequence[str] = ()
) -> dict[str, StudyText]:
    """What is said of each study that anything is said of, by its id.

    Args:
        archive: the images, reports and labels.
        text: 'sections' for findings and impression apart; a text policy of `hilum.reports` for one text; 'prompts' for texts
            from labels, 'prompts:3' for such that deny at most three findings.
        bank: how labels are said.
        back_translation: folders of two translation models, there and back; none: no paraphrases.

    Raises:
        ReportError: the policy is unknown.
        TrainingError: texts from labels are asked for and the archive has none; or paraphrases cannot be kept.
        ModelError: a folder is no translation model.
    """
    if text.partition(":")[0] == PROMPTS:
        return _from_labels(archive, text, bank)
    said = _from_reports(archive, text)
    return _paraphrased(said, back_translation, archive) if back_translation else said


def _from_reports(archive: Archive, text: str) -> dict[str, StudyText]:
    policies = SECTIONS if text == "sections" else (text,)
    said = {}
    for study in archive.studies().to_pylist():
        parts = (study_text(study, policy).strip() for policy in policies)
        said[study["study_id"]] = StudyText(tuple(part for part in parts if part))
    return {study_id: one for study_id, one in said.items() if one}


def _paraphrased(said: dict[str, StudyText], folders: Sequence[str], archive: Archive) -> dict[str, StudyText]:
    """The same with the training studies' sections translated there and back; kept beside the archive, so made once."""
    from hilum.reports.neural.backtranslate import BackTranslator

    if not isinstance(archive.path, Path):
        raise TrainingError(
            f"{archive.path}: paraphrases are kept beside the archive, and one behind a URI is not written to. Copy it to a "
            "local disk, or leave back_translation out."
        )
    trained = archive.images(["study_id"], where="split = 'train'")["study_id"].unique().to_pylist()
    sections = list(
        dict.fromkeys(section for study_id in trained if study_id in said for section in said[study_id].sections)
    )
    translate = BackTranslator(folders[0], folders[1])
    cache = archive.path / "back-translations.json"
    try:
        with cache.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of several processes the first translates, and the others find it done
            returned = translate(sections, cache)
    except OSError as error:
        raise TrainingError(
            f"{cache}: paraphrases cannot be kept there ({error}). Make the archive writable, or leave back_translation out."
        ) from error
    paraphrase = dict(zip(sections, returned, strict=True))
    return {
        study_id: replace(one, paraphrases=tuple(paraphrase.get(section) for section in one.sections))
        for study_id, one in said.items()
    }


def _from_labels(archive: Archive, text: str, bank: PromptBank) -> dict[str, StudyText]:
    _, colon, count = text.partition(":")
    if colon and not count.isdigit():
        raise TrainingError(
            f"texts={text}: expected 'prompts', or 'prompts:' and a number of denied findings, such as 3."
        )
    labels = archive.labels(["study_id", "finding", "value", "said_by"], where="value != 'not_mentioned'")
    if not labels.num_rows:
        raise TrainingError(
            f"{archive.path}: texts={text} makes texts from labels, and the archive has none. Ingest a dataset that states "
            f"labels, or read them from reports: hilum label {archive.path}"
        )
    study_ids, findings, values, speakers = (labels[name].to_pylist() for name in labels.column_names)
    heard = _heard(labels)
    known: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for study_id, finding, value, speaker in zip(study_ids, findings, values, speakers, strict=True):
        if speaker in heard:
            known[study_id][_STATES[value]].append(finding)
    _tell_unsaid(bank, {finding for finding, speaker in zip(findings, speakers, strict=True) if speaker in heard})
    number = int(count) if colon else None
    said = {}
    for study_id, values_of in known.items():
        stated = _stated(values_of, bank, denies=number != 0)
        if stated != Stated():
            said[study_id] = StudyText(stated=stated, negatives=number)
    return said


def _heard(labels: pa.Table) -> set[str]:
    """Whose labels become texts: the datasets' own; else those of the labeler that has said most."""
    statements = Counter(labels["said_by"].to_pylist())
    datasets = {speaker for speaker in statements if speaker.startswith("dataset:")}
    labelers = {s: n for s, n in statements.items() if not s.startswith("reader:")} or statements
    return datasets or {max(sorted(labelers), key=lambda speaker: labelers[speaker])}


def _tell_unsaid(bank: PromptBank, findings: set[str]) -> None:
    unsaid = sorted(finding for finding in findings if finding not in bank.sentences)
    if unsaid:
        logger.warning("prompt bank %s has no sentences for %s: left out of the texts", bank.name, ", ".join(unsaid))


def _stated(values: Mapping[str, Sequence[str]], bank: PromptBank, denies: bool) -> Stated:
    """A study's labels, images together, as far as the bank can say them.

    A finding is there where any image shows it, else may be, else is denied. That there is no finding is not said beside
    a finding, and is not denied.
    """
    there = dict.fromkeys(values.get("pos", ()))
    maybe = [finding for finding in dict.fromkeys(values.get("unc", ())) if finding not in there]
    denied = [f for f in dict.fromkeys(values.get("neg", ())) if f not in (*there, *maybe, NOTHING)] if denies else []
    if any(finding not in _NO_FINDING_EITHER for finding in (*there, *maybe)):
        there.pop(NOTHING, None)
    parts = {"pos": there, "neg": denied, "unc": maybe}
    return Stated(**{state: tuple(f for f in part if bank.can_say(f, state)) for state, part in parts.items()})
