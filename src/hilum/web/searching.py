"""Search as you type: in plain language, by exact words, by a radiograph, with filters."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field, field_validator
from starlette.responses import Response

from hilum.archive import SPLITS, VIEWS
from hilum.errors import UsageError
from hilum.web.desk import Desk, DeskOf
from hilum.web.pages import render
from hilum.web.problems import ModelNotReadyError
from hilum.web.shelf import Snapshot, quoted

router = APIRouter()

MOST = 240
PAGE = 36
By = Literal["meaning", "words", "both"]
Value = Literal["positive", "negative", "uncertain", "not_mentioned"]


class Asked(BaseModel):
    """A search, as it stands in the address."""

    q: str = Field("", max_length=500, description="What to look for, in the words of a report. Empty: every image.")
    by: By = Field(
        "meaning", description="By what the model makes of the words, by exact words of reports, or by both."
    )
    like: str | None = Field(None, max_length=500, description="An image_id: what looks like it; `q` is not used then.")
    view: list[str] = Field([], max_length=10, description="Views to keep.")
    sex: str = Field("", max_length=20)
    age_from: float | None = Field(None, ge=0, le=150)
    age_to: float | None = Field(None, ge=0, le=150)
    split: str = Field("", max_length=10)
    label: str = Field("", max_length=100, description="A finding that somebody has said something of.")
    value: Value = Field("positive", description="What was said of it.")
    where: str = Field("", max_length=1000, description="A further filter in SQL words: view = 'pa' AND age > 60.")
    model: str | None = Field(None, max_length=200)
    k: int = Field(PAGE, ge=1, le=MOST, description="How many images.")

    @field_validator("age_from", "age_to", "like", "model", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return None if value == "" else value  # an empty field of a form

    def filter(self) -> str | None:
        """All filters as one condition, or None."""
        conditions = []
        if self.view:
            conditions.append(f"view IN ({', '.join(quoted(view) for view in self.view)})")
        if self.sex:
            conditions.append(f"sex = {quoted(self.sex)}")
        if self.age_from is not None:
            conditions.append(f"age >= {self.age_from:g}")
        if self.age_to is not None:
            conditions.append(f"age <= {self.age_to:g}")
        if self.split:
            conditions.append(f"split = {quoted(self.split)}")
        if self.label:
            conditions.append(f"label({quoted(self.label)}) = {quoted(self.value)}")
        if self.where.strip():
            conditions.append(f"({self.where})")
        return " AND ".join(conditions) or None


class FoundImage(BaseModel):
    """One image of a search."""

    image_id: str
    study_id: str | None
    row: int = Field(description="Its place in the archive, as the picture's address has it.")
    score: float | None = Field(description="Cosine, or weight of words; null where nothing was ranked.")
    view: str
    sex: str | None
    age_years: float | None
    split: str | None
    found_by: str
    snippet: str = Field(description="The first words of its study's report.")


class Found(BaseModel):
    """What a search found."""

    images: list[FoundImage]
    matching: int = Field(description="Images that the filters leave.")
    total: int = Field(description="Images in the archive.")
    missing: int = Field(description="Images that the model has not embedded, and so does not find.")
    model: str | None
    filter: str | None
    notice: str = Field(description="What must be known to read the results; empty where nothing.")


AskedQuery = Annotated[Asked, Query()]


@router.get("/api/search", tags=["search"])
def search(desk: DeskOf, asked: AskedQuery) -> Found:
    """Images by what is said of them, by exact words of their reports, or by likeness; or all that the filters leave."""
    return find(desk, asked)


@router.get("/search", include_in_schema=False)
def search_page(request: Request, desk: DeskOf, asked: AskedQuery) -> Response:
    snapshot = desk.archive
    found, problem = _found_or_told(desk, asked)
    return render(
        request,
        "search.html.j2",
        asked=asked,
        found=found,
        problem=problem,
        choices=choices(desk, snapshot),
        models=list(desk.models.slots.values()),
        like_row=_row_or_none(snapshot, asked.like),
        examples=EXAMPLES,
    )


@router.get("/search/grid", include_in_schema=False)
def search_grid(request: Request, desk: DeskOf, asked: AskedQuery) -> Response:
    """The part of the page below the filters, for the script that searches as one types."""
    found, problem = _found_or_told(desk, asked)
    return render(request, "_found.html.j2", asked=asked, found=found, problem=problem, examples=EXAMPLES)


EXAMPLES = (
    "large left pleural effusion",
    "right pneumothorax",
    "enlarged heart with pulmonary edema",
    "endotracheal tube",
    "normal chest radiograph",
)


def find(desk: Desk, asked: Asked) -> Found:
    """Ask the model, the reports or the filters alone."""
    snapshot, where, notice = desk.archive, asked.filter(), ""
    browser = desk.browser(snapshot)
    q, name, missing = asked.q.strip(), None, 0
    if asked.like:
        name, found = _named(desk, asked), desk.search(snapshot, asked.model)
        missing = found.missing
        hits = found.by_image(image_id=asked.like, k=asked.k, where=where)
    elif not q:
        hits = browser.every(k=asked.k, where=where)
    elif asked.by == "words":
        hits = browser.by_words(q, k=asked.k, where=where)
    else:
        name, found = _named(desk, asked), desk.search(snapshot, asked.model)
        missing = found.missing
        hits = found.by_text(q, k=asked.k, where=where, words=q if asked.by == "both" else None)
    if missing:
        notice = (
            f"{missing:,} images have no embedding of this model and are not found by it. "
            "Run: hilum embed MODEL ARCHIVE; they appear here without a restart."
        )
    snippets = snapshot.snippets([hit.study_id or "" for hit in hits])
    images = [
        FoundImage(
            **{**vars(hit), "score": None if hit.found_by == "filter" else hit.score}, snippet=snippet
        )
        for hit, snippet in zip(hits, snippets, strict=True)
    ]  # fmt: skip
    return Found(
        images=images,
        matching=browser.count(where),
        total=len(snapshot.images),
        missing=missing,
        model=name,
        filter=where,
        notice=notice,
    )


def choices(desk: Desk, snapshot: Snapshot) -> dict[str, Any]:
    """What the filters of the page offer: only what some image has."""
    by = snapshot.summary()["by"]
    there = {name: [key for key in by[name] if key != "not given"] for name in ("view", "sex", "split")}
    labels = list(dict.fromkeys(row["finding"] for row in snapshot.summary()["labels"]))
    return {
        "view": [view for view in VIEWS if view in there["view"]],
        "sex": sorted(there["sex"]),
        "split": [split for split in SPLITS if split in there["split"]],
        "label": labels,
        "value": ["positive", "negative", "uncertain", "not_mentioned"],
        "findings": labels,
    }


def _found_or_told(desk: Desk, asked: Asked) -> tuple[Found | None, str]:
    """The result, or why there is none: a mistyped filter must not take the page away from who is typing."""
    from hilum.web.problems import without_paths

    try:
        return find(desk, asked), ""
    except (UsageError, ModelNotReadyError) as error:
        return None, without_paths(str(error), desk.private)


def _named(desk: Desk, asked: Asked) -> str:
    return desk.models.named(asked.model).name


def _row_or_none(snapshot: Snapshot, image_id: str | None) -> int | None:
    return None if image_id is None else snapshot.row_of(image_id)
