"""One study: its views, what its report says and why, what a model makes of it, and what looks like it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from markupsafe import Markup
from pydantic import BaseModel, Field
from starlette.responses import Response

from hilum.archive import SECTIONS
from hilum.findings import CHEXPERT_NAMES
from hilum.reports.labels import evidence_record
from hilum.reports.review import marked
from hilum.web.desk import PROMPT_SETS, Desk, DeskOf
from hilum.web.pages import render
from hilum.web.pictures import ModelName
from hilum.web.problems import NotFoundError
from hilum.web.searching import FoundImage, choices
from hilum.web.shelf import Snapshot

router = APIRouter(tags=["studies"])

SIMILAR = 8
StudyId = Annotated[str, Query(max_length=500, description="A study_id of the archive.")]
Prompts = Annotated[str, Query(max_length=50, description=f"A prompt set: {', '.join(PROMPT_SETS)}.")]
FindingName = Annotated[
    str | None, Query(max_length=200, description="One finding in plain language; default the 14 observations.")
]


class Score(BaseModel):
    """A zero-shot score. It ranks; it is not a probability."""

    finding: str
    score: float = Field(description="Softmax over the similarities to the positive and negative prompts, 0 to 1.")
    above: float | None = Field(description="Share of the archive's images that score lower; null where not known.")
    positive: list[str]
    negative: list[str]


class Scores(BaseModel):
    """One image's scores, with what they rest on."""

    scores: list[Score]
    model: str
    prompts: str
    compared_with: int = Field(description="Images of the archive that `above` is over.")
    notice: str = "Scores rank images; they are not probabilities. Research use only."


class StudyImage(BaseModel):
    """One image of a study."""

    image_id: str
    row: int
    view: str
    height: int
    width: int
    age_years: float | None
    sex: str | None
    split: str | None


class Statement(BaseModel):
    """What somebody says of a finding."""

    finding: str
    value: str
    said_by: str
    image_id: str | None = Field(description="Null: of the whole study.")


class Section(BaseModel):
    """A part of the report."""

    name: str
    text: str


class Study(BaseModel):
    """A study with everything the archive holds of it, but who the patient is."""

    study_id: str
    images: list[StudyImage]
    report: str | None
    sections: list[Section]
    labels: list[Statement]
    evidence: list[dict[str, Any]] = Field(
        description="What the rules read in the report now, with places in its text."
    )
    others: list[str] = Field(description="The same patient's studies in their order, this one among them.")


@router.get("/api/study")
def study(desk: DeskOf, id: StudyId) -> Study:
    """A study: views, report, labels of every speaker, and the words that the rules rest on."""
    return study_of(desk, desk.archive, id)[0]


@router.get("/api/images/{row}/scores")
def scores(
    desk: DeskOf, row: int, prompts: Prompts = PROMPT_SETS[0], finding: FindingName = None, model: ModelName = None
) -> Scores:
    """Zero-shot scores of an image of the archive."""
    snapshot = desk.archive
    scorer = desk.scorer(snapshot, model, prompts, finding)
    return scores_of(scorer(snapshot.pixels(row)), scorer, desk.models.named(model).name, prompts)


@router.get("/api/images/{row}/similar")
def similar(
    desk: DeskOf, row: int, k: Annotated[int, Query(ge=1, le=100)] = SIMILAR, model: ModelName = None
) -> list[FoundImage]:
    """The images that look most like one of the archive, those of its own study left out."""
    snapshot = desk.archive
    image = snapshot.image(row)
    hits = desk.search(snapshot, model).by_image(image_id=image["image_id"], k=k + 8)
    others = [hit for hit in hits if hit.study_id != image["study_id"]][:k]
    return found_images(snapshot, others)


@router.get("/study", include_in_schema=False)
def study_page(request: Request, desk: DeskOf, id: StudyId, row: int | None = None) -> Response:
    snapshot = desk.archive
    found, html = study_of(desk, snapshot, id)
    first = next((place for place, image in enumerate(found.images) if image.row == row), _first_frontal(found))
    place = found.others.index(id) if id in found.others else 0
    return render(
        request,
        "study.html.j2",
        study=found,
        report=html,
        first=first,
        place=place,
        by_speaker=_by_speaker(found.labels),
        models=list(desk.models.slots.values()),
        prompt_sets=PROMPT_SETS,
        findings=CHEXPERT_NAMES,
        choices=choices(desk, snapshot),
    )


def study_of(desk: Desk, snapshot: Snapshot, study_id: str) -> tuple[Study, Markup]:
    """A study, and its report as HTML with the evidence marked.

    Raises:
        NotFoundError: the archive has no image of it.
    """
    rows = snapshot.rows_where("study_id", study_id)
    if not rows:
        raise NotFoundError("There is no such study in the archive.")
    images = [snapshot.image(row) for row in rows]
    text = snapshot.study(study_id)
    report = text["report"] or "\n\n".join(text[name] for name in ("findings", "impression") if text.get(name)) or None
    read = desk.labeler.label(report) if report else None
    found = Study(
        study_id=study_id,
        images=[StudyImage(**{name: image[name] for name in StudyImage.model_fields}) for image in images],
        report=report,
        sections=[Section(name=name, text=text[name]) for name in SECTIONS if text.get(name)],
        labels=[
            Statement(**{name: one[name] for name in Statement.model_fields}) for one in snapshot.statements(study_id)
        ],
        evidence=[evidence_record(item, report) for item in read.evidence] if read and report else [],
        others=_studies_of_patient(snapshot, images[0]["patient_id"]),
    )
    # `marked` escapes every run of the report itself.
    return found, Markup(marked(report, read.evidence)) if read and report else Markup("")


def scores_of(scored: Any, scorer: Any, model: str, prompts: str) -> Scores:
    """Scores of one image as they are sent."""
    return Scores(
        scores=[
            Score(
                finding=one.finding,
                score=one.score,
                above=one.above,
                positive=list(one.positive),
                negative=list(one.negative),
            )
            for one in scored
        ],
        model=model,
        prompts=prompts,
        compared_with=scorer.compared_with,
    )


def found_images(snapshot: Snapshot, hits: Any) -> list[FoundImage]:
    """Hits with the first words of their reports."""
    snippets = snapshot.snippets([hit.study_id or "" for hit in hits])
    return [FoundImage(**vars(hit), snippet=snippet) for hit, snippet in zip(hits, snippets, strict=True)]


def _studies_of_patient(snapshot: Snapshot, patient_id: str) -> list[str]:
    rows = snapshot.rows_where("patient_id", patient_id)
    images = [snapshot.image(row) for row in rows]
    images.sort(key=lambda image: (image["study_order"] is None, image["study_order"] or 0))
    return list(dict.fromkeys(image["study_id"] for image in images))


def _first_frontal(study: Study) -> int:
    return next((place for place, image in enumerate(study.images) if image.view != "lateral"), 0)


def _by_speaker(labels: list[Statement]) -> dict[str, dict[str, str]]:
    """finding -> speaker -> value, of what somebody mentions; an image's statement is marked as such."""
    table: dict[str, dict[str, str]] = {}
    for one in labels:
        if one.value != "not_mentioned":
            table.setdefault(one.finding, {})[one.said_by] = one.value
    order = {name: place for place, name in enumerate(CHEXPERT_NAMES)}
    return dict(sorted(table.items(), key=lambda pair: (order.get(pair[0], len(order)), pair[0])))
