"""The prompt playground: change the words, see what it does to the AUROC."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from hilum.errors import HilumError
from hilum.evaluation.prompt_trial import (
    PromptTrial,
    Wording,
    findings_of,
    lines_of,
    truth_of,
    try_prompts,
    wording_of,
)
from hilum.web.desk import PROMPT_SETS, Desk, DeskOf
from hilum.web.pages import render
from hilum.web.problems import NotFoundError, without_paths
from hilum.web.shelf import Snapshot

router = APIRouter(tags=["prompts"])

LONGEST_SIDE = 12_000


class TrialAsked(BaseModel):
    """Two wordings to compare."""

    finding: str = Field("Pleural Effusion", max_length=200)
    positive: str = Field(
        "", max_length=LONGEST_SIDE, description="Prompts for it, one a line; empty: the prompt set's."
    )
    negative: str = Field("", max_length=LONGEST_SIDE, description="Prompts against it, one a line.")
    prompts: str = Field(PROMPT_SETS[0], max_length=50, description="The prompt set to compare with.")
    said_by: str = Field("", max_length=200, description="Whose labels are the truth; default the first there is.")
    split: Literal["", "train", "val", "test"] = Field("", description="Which images; default all.")
    lateral: bool = Field(False, description="Lateral views too.")
    silence: Literal["negative", "left out"] = Field("negative", description="What a finding not mentioned counts as.")
    model: str | None = Field(None, max_length=200)


class TrialResult(BaseModel):
    """What the other wording did."""

    trial: PromptTrial
    notice: str = (
        "Change prompts on images that no result is reported on: words chosen on the test images are tuned to them."
    )


@router.post("/api/prompts")
def trial(desk: DeskOf, asked: TrialAsked) -> TrialResult:
    """Measure a wording against a prompt set's, on the images whose truth is known."""
    return TrialResult(trial=trial_of(desk, desk.archive, asked))


@router.get("/api/prompts")
def prompts_of(
    desk: DeskOf,
    finding: Annotated[str, Query(max_length=200)],
    prompts: Annotated[str, Query(max_length=50)] = PROMPT_SETS[0],
) -> Wording:
    """A prompt set's words for a finding."""
    return wording_of(desk.prompt_set(prompts), finding)


@router.get("/prompts", include_in_schema=False)
def playground_page(request: Request, desk: DeskOf, asked: Annotated[TrialAsked, Query()]) -> Response:
    snapshot = desk.archive
    speakers = desk.speakers(snapshot)
    said_by = asked.said_by or (speakers[0] if speakers else "")
    findings = [row["finding"] for row in snapshot.summary()["labels"] if row["said_by"] == said_by]
    before = wording_of(desk.prompt_set(asked.prompts), asked.finding)
    trial: PromptTrial | None = None
    problem = ""
    if speakers:
        try:
            trial = trial_of(desk, snapshot, asked)
        except HilumError as error:
            problem = without_paths(str(error), desk.private)
    return render(
        request,
        "prompts.html.j2",
        asked=asked,
        said_by=said_by,
        speakers=speakers,
        findings=findings,
        before=before,
        trial=trial,
        problem=problem,
        models=list(desk.models.slots.values()),
        prompt_sets=PROMPT_SETS,
    )


def trial_of(desk: Desk, snapshot: Snapshot, asked: TrialAsked) -> PromptTrial:
    """Measure what was asked.

    Raises:
        NotFoundError: there are no labels to measure against.
    """
    speakers = desk.speakers(snapshot)
    if not speakers:
        raise NotFoundError(
            "The archive holds no labels to measure against. Label its reports with: hilum label ARCHIVE"
        )
    said_by = asked.said_by or speakers[0]
    if said_by not in speakers:
        raise NotFoundError(f"Nobody of this name has said labels. There are: {', '.join(speakers)}.")
    labels = desk.labels(snapshot, said_by, asked.split or None, not asked.lateral)
    finding = asked.finding if asked.finding in findings_of(labels) else asked.finding.strip()
    before = wording_of(desk.prompt_set(asked.prompts), finding)
    after = Wording(
        lines_of(asked.positive) or before.positive,
        lines_of(asked.negative) or before.negative,
    )
    truth = truth_of(labels, finding, asked.silence)
    return try_prompts(
        desk.models.get(asked.model), snapshot.archive, finding, truth, before, after, said_by=said_by
    )  # fmt: skip
