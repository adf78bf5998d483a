"""One image's scores are those of `zeroshot`, and its place is counted among the archive's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.conftest import make_small_archive

from hilum.archive import Archive
from hilum.errors import UsageError
from hilum.models import Architecture, ClipTokenizer, DualEncoder, Model, Squash, Text, Vision
from hilum.models.zero_shot import load_prompts
from hilum.tasks import zeroshot
from hilum.tasks.image_scores import ImageScorer

FINDINGS = ("Pleural Effusion", "Pneumothorax")


@pytest.fixture(scope="module")
def model() -> Model:
    import torch

    torch.manual_seed(0)
    vision = Vision(image_size=32, layers=1, width=32, patch_size=16, head_width=16)
    text = Text(context_length=32, width=32, heads=2, layers=1)
    encoder = DualEncoder(Architecture(embed_dim=32, vision=vision, text=text))
    return Model(encoder, Squash(canvas_px=32), ClipTokenizer(context_length=32), {"name": "tiny"}, device="cpu")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_archive(tmp_path_factory.mktemp("scores") / "archive", count=24)


def test_scores_are_those_of_zeroshot_and_places_are_counted(model: Model, archive: Path) -> None:
    whole = zeroshot(model, archive, FINDINGS, prompts="reports")
    opened = Archive.open(archive)
    scorer = ImageScorer(model, FINDINGS, load_prompts("reports"), archive=opened)
    assert scorer.compared_with == 24
    for row in (0, 7, 23):
        scored = scorer(opened.pixels([row])[0])
        for c, one in enumerate(scored):
            assert one.score == pytest.approx(float(whole.scores[row, c]), abs=1e-6)
            lower = float(np.mean(whole.scores[:, c] < whole.scores[row, c]))
            assert one.above is not None
            assert one.above == pytest.approx(lower, abs=1.01 / 24)
            assert (list(one.positive), list(one.negative)) == whole.prompts[one.finding]


def test_without_embeddings_there_are_scores_and_no_places(model: Model) -> None:
    scored = ImageScorer(model, ["anything at all"], load_prompts())(np.zeros((40, 32), np.uint8))
    assert scored[0].above is None
    assert 0 < scored[0].score < 1


@pytest.mark.parametrize("findings", [[], [" "]])
def test_findings_must_be_named(model: Model, findings: list[str]) -> None:
    with pytest.raises(UsageError):
        ImageScorer(model, findings, load_prompts())
