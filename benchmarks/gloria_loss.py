"""GLoRIA's local loss, forward and backward, against the literal loop over sentences; time and peak memory, in one run.

    python benchmarks/gloria_loss.py [--batch 48] [--repeats 3] [--threads 2] [--device cpu]

The loop is the paper's formulas, sentence by sentence over all images of the batch, as the released code goes about it (without
copying the region maps anew for each sentence, which that code does and which would make it slower and larger). Sentences have 10
to 25 slots of 97, regions are 19 x 19, features 768 wide. Both are run in turn; times are the best of `--repeats`, once on the wall
and once in processor seconds, which other programs on the machine disturb less. Peak memory is what a process of its own takes for
one loss and its gradients beyond its inputs (of the CPU's on Linux).
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from hilum.methods.gloria_loss import local_contrast

SLOTS = 97
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--regions", type=int, default=361)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory-of", choices=list(LOSSES), help="only print the peak memory of one of them")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    given = features(args.batch, args.width, args.regions, args.device)
    if args.memory_of:
        print(peak_bytes(LOSSES[args.memory_of], given, args.device))
        return
    print(
        f"{platform.processor() or platform.machine()}, {args.threads} threads, {args.device}, torch {torch.__version__}"
    )
    compare_gradients(given)
    best = {name: (float("inf"), float("inf")) for name in LOSSES}
    for _ in range(args.repeats):
        for name, loss in LOSSES.items():
            took = seconds(loss, given)
            best[name] = (min(best[name][0], took[0]), min(best[name][1], took[1]))
    peak = {name: memory_in_a_process(name) for name in LOSSES}
    print(f"{'':8}{'seconds':>10}{'processor s':>13}{'peak MiB':>10}")
    for name in LOSSES:
        print(f"{name:8}{best[name][0]:10.2f}{best[name][1]:13.2f}{peak[name] / 2**20:10.0f}")
    ratios = [best["loop"][i] / best["hilum"][i] for i in range(2)]
    print(f"{'ratio':8}{ratios[0]:9.1f}x{ratios[1]:12.1f}x{peak['hilum'] / peak['loop']:9.2f}x")


def loop(regions: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
    """Both directions, added up, as the formulas stand (temperatures 4, 5, 10)."""
    scores = []
    for sentence, length in zip(words, lengths.tolist(), strict=True):
        word = sentence[:, :length].expand(len(regions), -1, -1)  # (B, D, T)
        products = torch.bmm(regions.transpose(1, 2), word)  # (B, R, T)
        over_words = products.softmax(dim=2)
        weights = (4.0 * over_words.transpose(1, 2)).softmax(dim=2)  # (B, T, R)
        found = torch.bmm(regions, weights.transpose(1, 2))  # (B, D, T)
        cosines = F.cosine_similarity(word, found, dim=1)  # (B, T)
        scores.append((5.0 * cosines).exp().sum(dim=1).log())
    logits = 10.0 * torch.stack(scores, dim=1)
    truth = torch.arange(len(regions), device=regions.device)
    return F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)


def ours(regions: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
    """The same with hilum."""
    found = local_contrast(regions, words, lengths)
    return found.to_text + found.to_image


LOSSES: dict[str, Loss] = {"loop": loop, "hilum": ours}
Given = tuple[Tensor, Tensor, Tensor]


def features(batch: int, width: int, regions: int, device: str) -> Given:
    """Random regions and words of the size of a trained encoder's, and lengths."""
    draws = torch.Generator().manual_seed(0)
    images = 0.2 * torch.randn(batch, width, regions, generator=draws)
    words = 0.2 * torch.randn(batch, width, SLOTS, generator=draws)
    lengths = torch.randint(10, 26, (batch,), generator=draws)
    return images.to(device).requires_grad_(), words.to(device).requires_grad_(), lengths.to(device)


def gradients(loss: Loss, given: Given) -> tuple[Tensor, ...]:
    """The loss, and its gradients on regions and words."""
    value = loss(*given)
    return value.detach(), *torch.autograd.grad(value, given[:2])


def compare_gradients(given: Given) -> None:
    """Print how far the two are apart."""
    (a, *gradients_a), (b, *gradients_b) = (gradients(loss, given) for loss in LOSSES.values())
    apart = [float((x - y).abs().max() / x.abs().max()) for x, y in zip(gradients_a, gradients_b, strict=True)]
    print(f"loss {float(a):.6f} and {float(b):.6f}; gradients apart by {max(apart):.1e} of the largest")


def seconds(loss: Loss, given: Given) -> tuple[float, float]:
    """Of the loss and its gradients: on the wall, and of the processor."""
    if given[0].is_cuda:
        torch.cuda.synchronize()
    wall, processor = time.perf_counter(), time.process_time()
    gradients(loss, given)
    if given[0].is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - processor


def peak_bytes(loss: Loss, given: Given, device: str) -> int:
    """What one loss and its gradients take at most beyond what is there before."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        gradients(loss, given)
        return torch.cuda.max_memory_allocated() - before
    few = tuple(part[:2] for part in given)
    gradients(loss, (few[0], few[1], few[2]))  # libraries are loaded and threads started
    before = most_resident_bytes()
    gradients(loss, given)
    return most_resident_bytes() - before


def most_resident_bytes() -> int:
    """The largest memory this program has had; `getrusage` would count what it was forked from."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    assert found is not None
    return 1024 * int(found[1])


def memory_in_a_process(name: str) -> int:
    """`peak_bytes` of a fresh process with the same arguments."""
    command = [sys.executable, __file__, *sys.argv[1:], "--memory-of", name]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
