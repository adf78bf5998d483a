"""Augmentation speed: each plan on batches of bytes, against its paper's way, one PIL picture after the other with torchvision.

    python benchmarks/augmentation.py [--batch 64] [--seconds 1] [--threads 2] [--device cpu]

The papers open radiographs as three channels; "gray" is the same loop on one channel, which the papers do not do. Decoding and
normalization are left out of both ways. The loop and the first of our columns have one thread each and are counted in processor
time, so the ratio is per core and holds on a busy machine; the column of several threads is counted by the clock on the wall.
The loop is not the paper's where torchvision and Pillow lack a part: CXR-CLIP's has no CLAHE (which favors the loop), the
filters of GLoRIA and REFERS are Pillow's and not OpenCV's.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import random
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from PIL import Image, ImageFilter
from torchvision import transforms as T
from torchvision.transforms import functional as TF

from hilum.imaging.augment import PLANS, Pictures, augment, plan

CASES = ((384, 224), (112, 96))
Loop = Callable[[Image.Image], Image.Image]
Clock = Callable[[], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--plans", nargs="*", default=list(PLANS))
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {args.device}; images/s, best batch")
    for canvas_px, side_px in CASES:
        pictures = make_pictures(args.batch, canvas_px)
        grays = [
            Image.fromarray(pixels[:h, :w].numpy())
            for pixels, (h, w) in zip(pictures.pixels, pictures.sizes.tolist(), strict=True)
        ]
        colors = [gray.convert("RGB") for gray in grays]
        print(f"\n{args.batch} pictures, canvas {canvas_px} px to {side_px} px")
        heads = ("plan", "loop RGB", "loop gray", "hilum", f"{args.threads} threads", "ratio", "to gray")
        print(f"{heads[0]:18}" + "".join(f"{head:>11}" for head in heads[1:]))
        for name in args.plans:
            loop = papers_way(name, side_px)
            torch.set_num_threads(1)
            color, gray = (
                rate(partial(run_loop, loop, images), args.batch, args.seconds, time.process_time)
                for images in (colors, grays)
            )
            clock = time.process_time if args.device == "cpu" else time.perf_counter
            one = ours(pictures.to(args.device), name, side_px, args.seconds, clock)
            torch.set_num_threads(args.threads)
            several = ours(pictures.to(args.device), name, side_px, args.seconds, time.perf_counter)
            print(
                f"{name:18}{color:11.0f}{gray:11.0f}{one:11.0f}{several:11.0f}{one / color:10.1f}x{one / gray:10.1f}x"
            )


def run_loop(loop: Loop, images: list[Image.Image]) -> None:
    """One picture after the other."""
    for image in images:
        loop(image)


def make_pictures(count: int, canvas_px: int) -> Pictures:
    """Smooth noise of the aspects of chest films, upright and lying, longer side `canvas_px`."""
    rng = np.random.default_rng(0)
    images = []
    for number in range(count):
        shorter = round(canvas_px * rng.uniform(0.78, 1.0))
        size = (shorter, canvas_px) if number % 2 else (canvas_px, shorter)
        coarse = Image.fromarray(rng.integers(0, 256, (24, 24), dtype=np.uint8))
        images.append(np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)))
    return Pictures.stack(images)


def ours(pictures: Pictures, name: str, side_px: int, seconds: float, clock: Clock) -> float:
    """Images a second of `augment`."""
    generator = torch.Generator().manual_seed(0)
    steps = plan(name, side_px)

    def batch() -> None:
        done = augment(pictures, steps, side_px, generator)
        if done.device.type == "cuda":
            torch.cuda.synchronize()

    return rate(batch, len(pictures), seconds, clock)


def rate(run: Callable[[], object], count: int, seconds: float, clock: Clock) -> float:
    """Images a second of the best of several runs over `count` images."""
    run()
    best, started = math.inf, time.perf_counter()
    while time.perf_counter() - started < seconds:
        begun = clock()
        run()
        best = min(best, clock() - begun)
    return count / best


def papers_way(name: str, side_px: int) -> Loop:
    """The transforms of a paper for one PIL picture."""
    flip = T.RandomHorizontalFlip()
    chexpert = [T.Resize(side_px), flip, T.RandomRotation(10), T.RandomCrop(side_px)]
    crop = T.RandomResizedCrop(side_px, (0.2, 1.0))
    v2 = [
        crop,
        T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        T.RandomGrayscale(0.2),
        T.RandomApply([blur(0.1, 2.0, side_px / 224)], p=0.5),
        flip,
    ]
    s2mts2 = [
        crop,
        T.RandomApply([T.RandomAffine(10)], p=0.5),
        T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.4)], p=0.8),
        T.RandomApply([blur(0.1, 2.0, side_px / 256)], p=0.5),
        flip,
    ]
    loops: dict[str, list[Loop]] = {
        "moco-cxr": chexpert,
        "medaug": chexpert,
        "moco_v1": [crop, T.RandomGrayscale(0.2), T.ColorJitter(0.4, 0.4, 0.4, 0.4), flip],
        "moco_v2": v2,
        "moco_v2-chexpert": [*chexpert, *v2],
        "s2mts2": s2mts2,
        "s2mts2-erasing": [*s2mts2, T.PILToTensor(), T.RandomErasing(0.5)],
        "refers": [
            T.RandomResizedCrop(side_px, (0.05, 1.0), (0.6, 1.0)),
            flip,
            T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        ],
        "convirt": [
            T.Resize(int(side_px / 0.6)),
            T.RandomApply([scaled_crop], p=0.95),
            flip,
            T.RandomApply([T.RandomAffine(20, (0.1, 0.1), (0.95, 1.05))], p=0.95),
            T.RandomApply([T.ColorJitter(0.4, 0.4)], p=0.95),
            T.RandomApply([blur(0.1, 3.0, side_px / 224)], p=0.95),
            pad_to_square,
            T.Resize(side_px),
        ],
        "gloria": [
            lambda image: longer_side(image, round(side_px * 256 / 224)),
            pad_to_square,
            T.RandomCrop(side_px),
        ],
        "cxr-clip": [
            T.RandomResizedCrop(side_px, (0.8, 1.1)),
            T.ColorJitter(0.1, 0.2, 0.2, 0.1),
            T.CenterCrop(side_px),
        ],
    }
    return T.Compose(
        [*loops[name], lambda image: image if isinstance(image, torch.Tensor) else TF.pil_to_tensor(image)]
    )


def blur(least: float, most: float, zoom: float) -> Loop:
    """Pillow's blur with a random radius, as wide for this side as the paper's is for its own."""
    return lambda image: image.filter(ImageFilter.GaussianBlur(random.uniform(least * zoom, most * zoom)))


def scaled_crop(image: Image.Image) -> Image.Image:
    """A random box of the same aspect."""
    share = random.uniform(0.6, 1.0)
    width, height = int(image.width * share), int(image.height * share)
    left, top = random.randint(0, image.width - width), random.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))


def pad_to_square(image: Image.Image) -> Image.Image:
    """Black on both sides of the shorter direction."""
    side = max(image.size)
    square = Image.new(image.mode, (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def longer_side(image: Image.Image, px: int) -> Image.Image:
    """Resized by area."""
    ratio = px / max(image.size)
    return image.resize((int(image.width * ratio), int(image.height * ratio)), Image.Resampling.BOX)


if __name__ == "__main__":
    main()
