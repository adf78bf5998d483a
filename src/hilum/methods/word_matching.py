"""How well each word of each text finds itself in each image: all pairs at once, with little memory (Huang et al. 2021, 3.2).

For one word w of a text and one image with regions c_1..c_R, columns of C:

    a_n = c_n . w                                   for every region n
    b_n = exp(a_n) / sum over the text's words      softmax over words
    p   = softmax over regions of sharpness * b
    r   = cos(w, v),  v = C p

Written down as it stands, this is a loop over texts that keeps v, as wide as w, for every word and image. Here v is never formed:
w.v = p.a, and |v|^2 = p' G p with the image's Gram matrix G = C'C. The words of all texts stand in one matrix without padding,
those of texts of equal length together, so that a few large products of matrices do nearly all of the work.
"""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

EPS = 1e-8  # least product of the two lengths that a cosine is divided by, as in the released code

# Numbers in one (words, images, regions) block: what stays in a processor's cache, and what fills an accelerator.
_BLOCK = {"cpu": 1 << 21, "other": 1 << 25}


class Block(NamedTuple):
    """Texts of one length, whose words follow one another: rows start..start + texts * words - 1."""

    start: int
    texts: int
    words: int

    @property
    def rows(self) -> slice:
        """Where they are."""
        return slice(self.start, self.start + self.texts * self.words)

    def apart(self, packed: Tensor) -> Tensor:
        """This block's rows of a packed (K, ...) tensor as a view, text by text: (texts, words, the rest flat)."""
        return packed[self.rows].view(self.texts, self.words, -1)


class PackedWords(NamedTuple):
    """The words of M texts without padding, texts in order of their length.

    Attributes:
        features: (K, D), one row a word.
        blocks: texts of equal length.
        place: (M,) int64, where each text went in that order.
    """

    features: Tensor
    blocks: tuple[Block, ...]
    place: Tensor


def pack_words(words: Tensor, lengths: Tensor) -> PackedWords:
    """Take the padding out.

    Args:
        words: (M, D, T) word features of texts.
        lengths: (M,) int64, 1..T: the first slots of a text are its words.
    """
    order = lengths.argsort(stable=True)
    sizes = lengths[order].tolist()
    blocks, start = [], 0
    for size, texts in groupby(sizes):
        blocks.append(Block(start, len(list(texts)), size))
        start += blocks[-1].texts * size
    there = torch.arange(sizes[-1], device=words.device) < lengths[order, None]  # (M, longest)
    features = words[order, :, : sizes[-1]].transpose(1, 2)[there]  # (K, D)
    return PackedWords(features, tuple(blocks), order.argsort())


def word_matches(regions: Tensor, words: PackedWords, sharpness: float) -> Tensor:
    """r of every word and image: (K, B), rows in the order of `words`.

    Memory that stays until the backward pass: two floats for each word, image and region, and R * R for each image.

    Args:
        regions: (B, D, R) region features of images.
        words: of all texts.
        sharpness: factor before the softmax over regions.
    """
    return _Matches.apply(regions, words.features, words.blocks, sharpness)


def text_matches(matches: Tensor, words: PackedWords, sharpness: float, aggregation: str = "sum") -> Tensor:
    """ln of the sum (or mean) over a text's words of exp(sharpness * r): (B, M), texts in their original order.

    Args:
        matches: (K, B) from `word_matches`.
        words: the same.
        sharpness: factor on r.
        aggregation: "sum" or "mean".
    """
    found = []
    for block in words.blocks:
        joined = (sharpness * matches[block.rows]).view(block.texts, block.words, -1).logsumexp(dim=1)
        found.append(joined - (math.log(block.words) if aggregation == "mean" else 0.0))
    return torch.cat(found)[words.place].T


class _Matches(torch.autograd.Function):
    """`word_matches` with its gradient written out, some images at a time."""

    @staticmethod
    def forward(ctx: Any, regions: Tensor, words: Tensor, blocks: tuple[Block, ...], sharpness: float) -> Tensor:
        found, lengths, kept = words.new_empty(len(words), len(regions)), words.norm(dim=1, keepdim=True), []
        spans = words.new_empty(len(words), len(regions))  # |v|
        step = _images_at_once(words, regions)
        for start in range(0, len(regions), step):
            some = regions[start : start + step]
            products = (words @ _side_by_side(some)).view(len(words), len(some), -1)  # a, (K, n, R)
            gram = some.transpose(1, 2) @ some  # (n, R, R)
            _, weights = _attend(products, blocks, sharpness)
            spread = torch.empty_like(products)  # p G
            torch.bmm(weights.transpose(0, 1), gram, out=spread.transpose(0, 1))
            spans[:, start : start + step] = (weights * spread).sum(dim=2).clamp_(min=EPS**2).sqrt_()
            found[:, start : start + step] = (weights * products).sum(dim=2)
            kept += [products, spread]
        # Lengths of zero would divide by it; then r is 0 and its gradient what this length gives.
        found /= (lengths * spans).clamp_(min=EPS)
        ctx.save_for_backward(regions, words, found, lengths, spans, *kept)
        ctx.blocks, ctx.sharpness, ctx.step = blocks, sharpness, step
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        regions, words, found, lengths, spans, *kept = ctx.saved_tensors
        to_product = gradient / (lengths * spans).clamp_(min=EPS)  # of p.a, (K, B)
        to_square = -gradient * found / spans.square()  # twice that of |v|^2
        of_words = -(gradient * found).sum(dim=1, keepdim=True) / lengths.square().clamp(min=EPS**2) * words
        of_regions = torch.empty_like(regions)
        for number, start in enumerate(range(0, len(regions), ctx.step)):
            some = regions[start : start + ctx.step]
            products, spread = kept[2 * number : 2 * number + 2]
            over_words, weights = _attend(products, ctx.blocks, ctx.sharpness)
            product, square = (g[:, start : start + ctx.step, None] for g in (to_product, to_square))
            of_gram = weights.permute(1, 2, 0) @ (weights * square).transpose(0, 1)  # (n, R, R), symmetric
            # Through the softmax over regions. The cosine does not change with the length of v, so that the gradient of p has no
            # part along p and nothing is to be taken away.
            back = (spread * square).addcmul_(products, product).mul_(weights)
            back.mul_(over_words)
            for block in ctx.blocks:  # through the softmax over words
                here = block.apart(back)
                here.addcmul_(block.apart(over_words), here.sum(dim=1, keepdim=True), value=-1)
            back.mul_(ctx.sharpness).addcmul_(weights, product)
            flat = back.view(len(words), -1)
            of_words.addmm_(flat, _side_by_side(some).T)
            through_products = (words.T @ flat).view(words.shape[1], len(some), -1).transpose(0, 1)  # (n, D, R)
            torch.baddbmm(through_products, some, of_gram, out=of_regions[start : start + ctx.step])
        return of_regions, of_words, None, None


def _attend(products: Tensor, blocks: tuple[Block, ...], sharpness: float) -> tuple[Tensor, Tensor]:
    """The softmax over each text's words, and the one over regions: both (K, n, R)."""
    over_words = torch.empty_like(products)
    for block in blocks:
        torch.softmax(block.apart(products), dim=1, out=block.apart(over_words))
    return over_words, (sharpness * over_words).softmax(dim=2)


def _side_by_side(regions: Tensor) -> Tensor:
    """(n, D, R) as (D, n * R)."""
    return regions.transpose(0, 1).flatten(1)


def _images_at_once(words: Tensor, regions: Tensor) -> int:
    block = _BLOCK["cpu" if words.device.type == "cpu" else "other"]
    return min(len(regions), max(1, block // (len(words) * regions.shape[2])))
