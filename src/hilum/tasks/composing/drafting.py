"""Draft an impression of the texts nearest to an image (Endo et al. 2021, CXR-RePaiR).

A retrieval, not a reading: every word was written about somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np

from hilum.errors import UsageError
from hilum.findings import LabelValue
from hilum.models import Model
from hilum.reports.grid import NO_FINDING
from hilum.tasks.composing.asked import Own, owner_of
from hilum.tasks.composing.corpus import Corpus
from hilum.tasks.composing.saying import Reader, Said, first_objection

NOTICE = (
    "A retrieval, not a reading: these words were written about other patients and only look nearest to this image. "
    "Research use only, not for anybody's record."
)
WAYS = ("selected", "cxr-repair", "cxr-repair-select")
SENTENCES = 6  # the most of CXR-RePaiR's k


@dataclass(frozen=True)
class DraftSentence:
    """A text that was retrieved.

    Attributes:
        text: its words.
        study_id: the study that it was written about; None where the corpus does not say.
        score: cosine of image and text.
        says: finding -> "positive", "negative" or "uncertain", as the rule labeler reads it.
        place: where it stands in the corpus's `texts`.
        left_out: why it is not in the draft; empty where it is.
    """

    text: str
    study_id: str | None
    score: float
    says: dict[str, str]
    place: int
    left_out: str = ""


@dataclass(frozen=True)
class Draft:
    """An impression drafted for an image.

    Attributes:
        sentences: what was retrieved in score order, that which was left out among it.
        text: the draft; empty where nothing could be retrieved.
        notice: what must stand beside it wherever it is shown.
        remarks: what else must be known of how it was made.
    """

    sentences: tuple[DraftSentence, ...]
    text: str
    notice: str = NOTICE
    remarks: tuple[str, ...] = ()

    @property
    def kept(self) -> tuple[DraftSentence, ...]:
        """The sentences of the draft."""
        return tuple(one for one in self.sentences if not one.left_out)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return asdict(self)


def compose(
    model: Model,
    corpus: Corpus,
    pixels: np.ndarray,
    *,
    sentences: int | None = None,
    own: Own | None = None,
    way: str = "selected",
    says_no_finding: Callable[[str], bool] | None = None,
) -> Draft:
    """Draft an impression for one image.

    Args:
        model: a model with a text tower.
        corpus: what is drafted from; its texts are embedded once for each model.
        pixels: (H, W) uint8 gray.
        sentences: how many of the nearest texts; default 6, and 1 of a corpus of whole reports.
        own: whose image it is (`own_of`): their reports are not used. By default an archive's corpus looks for the pixels in it.
        way: "selected" leaves out what contradicts or repeats a nearer text, and takes nothing further away in its place.
            "cxr-repair" is the original: the nearest ones, whatever they say, each followed by a blank. "cxr-repair-select"
            takes the nearest alone where it says that there is no finding, else as many as asked.
        says_no_finding: the labeler of "cxr-repair-select"; default the rule labeler (the original asks CheXbert).

    Raises:
        UsageError: `sentences` or `way` makes no sense.
        ModelError: the model has no text tower.

    Example:
        >>> compose(model, Corpus.of_archive("cxr.hilum"), pixels).text  # doctest: +SKIP
        'Small left pleural effusion. Mild cardiomegaly.'
    """
    if own is None and corpus.archive is not None:
        own = owner_of(corpus.archive, pixels)
    (draft,) = compose_many(
        model.embed_images(pixels), [own], model, corpus, sentences=sentences, way=way, says_no_finding=says_no_finding
    )
    return draft


def compose_many(
    image_vectors: np.ndarray,
    owners: Sequence[Own | None],
    model: Model,
    corpus: Corpus,
    *,
    sentences: int | None = None,
    way: str = "selected",
    says_no_finding: Callable[[str], bool] | None = None,
) -> Iterator[Draft]:
    """Drafts for images that are embedded already; otherwise as `compose`.

    Args:
        image_vectors: (N, D) unit rows.
        owners: N; whose each image is.
    """
    wanted = sentences if sentences is not None else 1 if corpus.whole else SENTENCES
    if wanted < 1:
        raise UsageError(f"{wanted} sentences asked for; expected at least 1.")
    if way not in WAYS:
        raise UsageError(f"way is {way!r}; expected one of {', '.join(WAYS)}.")
    texts = corpus.vectors(model)
    for vector, own in zip(image_vectors, owners, strict=True):
        yield _draft(texts @ vector, corpus, own, wanted, way, says_no_finding)


def ranked(scores: np.ndarray) -> np.ndarray:
    """Places by falling score; of equal scores the first comes first."""
    return np.argsort(-scores, kind="stable")


def joined(texts: Sequence[str]) -> str:
    """A report as CXR-RePaiR writes it: each text followed by a blank, the last one too."""
    return "".join(f"{text} " for text in texts)


@cache
def reader() -> Reader:
    """The one reader of all drafts."""
    return Reader()


def _draft(
    scores: np.ndarray, corpus: Corpus, own: Own | None, wanted: int, way: str, says_no: Callable[[str], bool] | None
) -> Draft:
    owned = corpus.owned(own)
    forbidden = corpus.forbidden(owned)
    usable = len(corpus) - int(forbidden.sum())
    order = ranked(np.where(forbidden, -np.inf, scores))[: min(wanted, usable)].tolist()
    remarks = _remarks(corpus, own, usable)

    def sentence(place: int, left_out: str = "") -> DraftSentence:
        text = corpus.texts[place]
        says = {name: value.value for name, value in reader().read(text).values.items()}
        return DraftSentence(text, corpus.source(place, owned), float(scores[place]), says, place, left_out)

    if way == "cxr-repair-select" and order:
        first = joined([corpus.texts[order[0]]])
        wanted = 1 if (says_no or _says_no_finding)(first) else wanted
    if way != "selected":
        found = [sentence(place) for place in order[:wanted]]
        return Draft(tuple(found), joined([one.text for one in found]), remarks=remarks)
    found, kept = [], list[tuple[str, Said]]()
    for place in order:
        text = corpus.texts[place]
        said = reader().read(text)
        why = first_objection(kept, text, said)
        found.append(sentence(place, why))
        if not why:
            kept.append((text, said))
    return Draft(tuple(found), " ".join(text for text, _ in kept), remarks=remarks)


def _remarks(corpus: Corpus, own: Own | None, usable: int) -> tuple[str, ...]:
    remarks = []
    if not usable:
        remarks.append(f"{corpus.name}: every text is of this patient alone; there is nothing to draft from.")
    if own is not None and not any(corpus.patient_ids):
        remarks.append(
            f"{corpus.name} does not say whose its reports are (no patient_id): only reports in the very words of this study's "
            "own were kept out."
        )
    return tuple(remarks)


def _says_no_finding(text: str) -> bool:
    return reader().labeler.label(text)[NO_FINDING] is LabelValue.POSITIVE
