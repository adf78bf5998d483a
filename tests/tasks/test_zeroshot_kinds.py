"""`hilum zeroshot` with every kind of image-text model, each way to pool prompts, and words matched with regions."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from hilum.archive import Archive
from hilum.cli import main
from hilum.errors import UsageError
from hilum.models import (
    Encoder,
    GloriaArchitecture,
    GloriaEncoder,
    ImageTextArchitecture,
    ImageTextEncoder,
    LongerSidePadCrop,
    Model,
    PadThenResize,
    Projection,
    ShorterSideCrop,
    WordPieceTokenizer,
    text_tower_named,
    tower_named,
)
from hilum.models.gloria_similarity import both_similarity, global_similarity, local_similarity
from hilum.models.zero_shot import load_prompts
from hilum.tasks import zeroshot

REPORTS = [
    "Left effusion. No pneumothorax.",
    "Right pneumothorax. No effusion.",
    "There is no evidence of effusion.",
] * 3
FINDINGS = ["pleural effusion", "pneumothorax"]


def model_of(kind: str) -> Model:
    cleaning = "words" if kind == "gloria" else "none"
    tokenizer = WordPieceTokenizer.learned_from(REPORTS, 80, context_length=24, cleaning=cleaning)
    text = text_tower_named("bert-tiny", vocab_size=tokenizer.size, width=32, heads=2, positions=24)
    torch.manual_seed(0)
    encoder: Encoder
    if kind == "gloria":
        encoder = GloriaEncoder(
            GloriaArchitecture(
                image_tower=tower_named("resnet-tiny"),
                text_tower=text,
                upsample_px=48,
                text_layers=2,
                slots=24,
                last_id=tokenizer.last_id,
            )
        )
        encoder.set_vocabulary(tokenizer)
        return Model(encoder, LongerSidePadCrop(resize_px=36, canvas_px=32), tokenizer, device="cpu")
    relu = Projection(form="mlp-relu")
    encoder = ImageTextEncoder(
        ImageTextArchitecture(
            image_tower=tower_named("resnet-tiny" if kind == "convirt" else "swin-micro"),
            text_tower=text,
            embed_dim=16,
            pooling="max" if kind == "convirt" else "eos",
            image_projection=relu if kind == "convirt" else Projection(),
            text_projection=relu if kind == "convirt" else Projection(),
            logit_scale=None if kind == "convirt" else 1 / 0.07,
        )
    )
    fit = PadThenResize(canvas_px=32) if kind == "convirt" else ShorterSideCrop(canvas_px=64)
    return Model(encoder, fit, tokenizer, device="cpu")


@pytest.fixture
def archive(small_archive: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_archive, tmp_path / "archive"))


@pytest.mark.parametrize("kind", ["convirt", "cxr-clip", "gloria"])
def test_the_command_scores_an_archive(kind: str, archive: Path, tmp_path: Path) -> None:
    model_of(kind).save(tmp_path / "model")
    out = tmp_path / "scores.csv"
    words = ["zeroshot", str(tmp_path / "model"), str(archive), "--prompts", "reports", "--out", str(out)]
    words += [word for finding in FINDINGS for word in ("-f", finding)]
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--where", "split = 'test'"])
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    scores = np.array([[float(row["Pleural Effusion"]), float(row["Pneumothorax"])] for row in rows])
    assert ((scores > 0) & (scores < 1)).all()
    assert scores.std(axis=0).min() > 0  # a model that sees nothing scores all alike


def test_pools_differ_where_a_side_has_several_prompts(archive: Path) -> None:
    model = model_of("cxr-clip")
    by_pool = {
        pool: zeroshot(model, archive, FINDINGS, where="split = 'test'", prompts="reports", pool=pool)  # type: ignore[arg-type]
        for pool in ("embedding", "mean", "max")
    }
    assert by_pool["embedding"].embedded == 16
    assert by_pool["max"].embedded == 0  # the images are embedded once
    scores = {pool: result.scores for pool, result in by_pool.items()}
    assert not np.allclose(scores["mean"], scores["max"], atol=1e-7)
    assert not np.allclose(scores["mean"], scores["embedding"], atol=1e-9)
    single = [
        zeroshot(model, archive, FINDINGS, where="split = 'test'", pool=pool).scores  # type: ignore[arg-type]
        for pool in ("embedding", "mean", "max")
    ]
    assert np.allclose(single[0], single[1], atol=1e-6)
    assert np.allclose(single[0], single[2], atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("similarity", ["local", "both"])
def test_words_matched_with_regions_give_the_scores_of_one_pair_at_a_time(similarity: str, archive: Path) -> None:
    model, prompts = model_of("gloria"), load_prompts("reports")
    got = zeroshot(
        model, archive, FINDINGS, where="split = 'test'", prompts=prompts, similarity=similarity, batch_size=5
    )  # type: ignore[arg-type]
    assert (got.pool, got.similarity) == ("max", similarity)
    opened = Archive.open(archive)
    rows = opened.images(["row"], where="split = 'test'")["row"].to_numpy()
    encoder = model.encoder
    assert isinstance(encoder, GloriaEncoder)
    for n in (0, 7):
        regions, whole = encoder.both_features(model.preprocess(opened.pixels(rows[n : n + 1])))
        for c, finding in enumerate(FINDINGS):
            best = []
            for side in prompts.prompts(finding):
                each = []
                for prompt in side:
                    words = encoder.word_features(torch.from_numpy(model.tokenizer([prompt])))
                    local = local_similarity(regions, words.features, words.counts)
                    both = both_similarity(local, global_similarity(whole, encoder.sentences(words)))
                    each.append(float(local if similarity == "local" else both))
                best.append(max(each))
            assert got.scores[n, c] == pytest.approx(1 / (1 + np.exp(best[1] - best[0])), abs=1e-5)


def test_the_summary_says_how_prompts_were_put_together(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model_of("gloria").save(tmp_path / "model")
    words = ["zeroshot", str(tmp_path / "model"), str(archive), "-f", "pneumothorax", "--similarity", "both", "--json"]
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--where", "split = 'test'", "--out", str(tmp_path / "scores.csv")])
    said = json.loads(capsys.readouterr().out)
    assert (said["pool"], said["similarity"]) == ("max", "both")


def test_what_a_model_cannot_do_is_refused(archive: Path) -> None:
    with pytest.raises(UsageError, match="has no features of words and regions"):
        zeroshot(model_of("convirt"), archive, FINDINGS, similarity="both")
    with pytest.raises(UsageError, match="similarity is 'cosine'"):
        zeroshot(model_of("convirt"), archive, FINDINGS, similarity="cosine")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="prompts pooled by 'median'"):
        zeroshot(model_of("convirt"), archive, FINDINGS, pool="median")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="mean or max of local similarities"):
        zeroshot(model_of("gloria"), archive, FINDINGS, pool="embedding", similarity="local")
