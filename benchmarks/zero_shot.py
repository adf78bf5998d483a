"""Zero-shot speed: over a new archive, on the released tool's terms, and the second query.

    python benchmarks/zero_shot.py [--images 256] [--gallery 10000]

The model is CLIP ViT-B/32 (CheXzero's) with random weights: speed does not depend on their values. Ratios are of one run.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F

from hilum.archive import Archive
from hilum.findings import CHEXPERT_NAMES
from hilum.models import Architecture, ClipTokenizer, Model, Preprocess, build
from hilum.models.zero_shot import load_prompts
from hilum.tasks import embed, zeroshot

BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--gallery", type=int, default=10_000)
    args = parser.parse_args()
    torch.manual_seed(0)
    model = Model(build(Architecture()), Preprocess(), ClipTokenizer(), {"name": "ViT-B/32, random"})
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {model.device}"
    )
    with tempfile.TemporaryDirectory() as folder:
        archive = make_archive(Path(folder) / "archive", args.images)
        model.embed_squares(np.zeros((BATCH, 320, 320), np.uint8))  # warm up
        bare, ours = encoder_alone_and_archive(model, archive, args.images)
        official = official_terms(model, archive, args.images)
        second = second_query(model, Path(folder) / "gallery", args.gallery)
    rows = [
        ("bare encoder on ready tensors, batch 64", bare, "images/s", ""),
        (
            "zero-shot over an archive not yet embedded",
            ours,
            "images/s",
            f"{ours / bare:.2f}x the bare encoder (bar: 0.85)",
        ),
        (
            "the released tool's terms: batch 1, twice an image",
            official,
            "images/s",
            f"{official / bare:.2f}x the bare encoder",
        ),
        ("", ours / official, "x", "zero-shot of ours over that loop (bar: 3.5)"),
        (f"second query, {args.gallery} images x 14 findings", second, "s", "(bar: 1)"),
    ]
    for what, value, unit, note in rows:
        print(f"{what:52} {value:8.2f} {unit:9} {note}")


def make_archive(path: Path, count: int) -> Archive:
    """Noise images of 384 x 320 pixels."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (384, 320), dtype=np.uint8)
    rows = [image_row(i, np.roll(noise, i)) for i in range(count)]
    archive = Archive.create(path)
    archive.add_images(pa.Table.from_pylist(rows))
    return Archive.open(path)


def image_row(i: int, pixels: np.ndarray) -> dict[str, object]:
    """One row of `images`."""
    ids = {"image_id": f"i{i}", "study_id": f"s{i}", "patient_id": f"p{i}", "source": "noise", "path": f"{i}.png"}
    return {**ids, "view": "pa", "height": pixels.shape[0], "width": pixels.shape[1], "pixels": pixels.tobytes()}


def encoder_alone_and_archive(model: Model, archive: Archive, count: int) -> tuple[float, float]:
    """Images a second: the tower on tensors that are ready, and the whole way from archive to scores (best of two each)."""
    ready = [torch.randn(min(BATCH, count - k), 3, 224, 224, device=model.device) for k in range(0, count, BATCH)]
    bare, ours = [], []
    for turn in range(2):
        started = time.perf_counter()
        with torch.inference_mode():
            for images in ready:
                model.encoder.encode_images(images).cpu()
        bare.append(count / (time.perf_counter() - started))
        fresh = Model(model.encoder, model.preprocess, ClipTokenizer(), {})
        fresh._fingerprint = f"turn{turn}"  # not embedded yet
        started = time.perf_counter()
        zeroshot(fresh, archive, CHEXPERT_NAMES, batch_size=BATCH)
        ours.append(count / (time.perf_counter() - started))
    return max(bare), max(ours)


def official_terms(model: Model, archive: Archive, count: int) -> float:
    """Images a second of a loop on the released tool's terms.

    One image at a time, encoded once for each prompt sign; three equal channels are normalized and resized; each prompt is
    encoded alone, at full context length (Tiu et al. 2022, Methods and released notebook).
    """
    prompts = load_prompts("chexzero-original")
    stored = model.preprocess.squares(archive.pixels(np.arange(count))).astype(
        np.float32
    )  # its HDF5 file holds float32
    clip, mean, std = model.encoder.clip, model.preprocess.mean[0], model.preprocess.std[0]
    started = time.perf_counter()
    with torch.inference_mode():
        for sign in (0, 1):
            ids = [torch.from_numpy(model.tokenizer(prompts.prompts(name)[sign])) for name in CHEXPERT_NAMES]
            texts = torch.cat([F.normalize(clip.encode_text(one), dim=-1) for one in ids])
            for image in stored:
                channels = (torch.from_numpy(image).expand(1, 3, -1, -1).contiguous() - mean) / std
                resized = F.interpolate(channels, (224, 224), mode="bicubic", align_corners=False)
                torch.exp(F.normalize(clip.encode_image(resized), dim=-1) @ texts.T)
    return count / (time.perf_counter() - started)


def second_query(model: Model, path: Path, count: int) -> float:
    """Seconds of a query over an embedded gallery, the model being loaded."""
    archive = Archive.create(path)
    tiny = np.zeros((2, 2), np.uint8)
    archive.add_images(pa.Table.from_pylist([image_row(i, tiny) for i in range(count)]))
    vectors = np.random.default_rng(0).normal(size=(count, model.embed_dim)).astype(np.float32)
    archive.add_embeddings(model.fingerprint, [f"i{i}" for i in range(count)], vectors)
    assert embed(model, path).new == 0
    started = time.perf_counter()
    result = zeroshot(model, path, CHEXPERT_NAMES)
    assert result.scores.shape == (count, 14)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
