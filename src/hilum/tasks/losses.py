"""What a linear score costs against its label: binary, multinomial and ordinal, each for many problems at once."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class Loss(ABC):
    """The negative log-likelihood of N images' labels under linear scores, for P problems.

    Scores are (P, K, N) and offsets (P, M). Everything is float64.
    """

    @property
    @abstractmethod
    def count(self) -> int:
        """P, how many problems."""

    @abstractmethod
    def images(self) -> Tensor:
        """(P,) images whose label is known."""

    @abstractmethod
    def start(self) -> Tensor:
        """(P, M) offsets that fit best without features."""

    @abstractmethod
    def curvature(self) -> Tensor:
        """(P, K) second derivative by a score at the start, mean over images."""

    @abstractmethod
    def offset_curvature(self) -> Tensor:
        """(P, M) the same by an offset."""

    @abstractmethod
    def cost(self, scores: Tensor, offsets: Tensor) -> Tensor:
        """(P,) sums over the images."""

    @abstractmethod
    def slope(self, scores: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives of the costs by scores (P, K, N) and offsets (P, M)."""

    @abstractmethod
    def uncentered(self, offsets: Tensor, moved: Tensor) -> Tensor:
        """Offsets for features that were not centered; `moved` (P, K) is what the features' mean scores."""

    @abstractmethod
    def take(self, rows: Tensor) -> Loss:
        """These problems alone."""


class BinaryLoss(Loss):
    """log(1 + exp(-s (score + offset))), one problem a finding.

    Args:
        truth: (P, N) 1, 0, or NaN where it is not known; each row holds both classes.
    """

    def __init__(self, truth: np.ndarray | Tensor) -> None:
        values = torch.as_tensor(truth).to(torch.float64)
        self.known = (~values.isnan()).to(torch.float64)
        self.truth = values.nan_to_num(0.0)

    @property
    def count(self) -> int:
        return len(self.truth)

    def images(self) -> Tensor:
        return self.known.sum(1)

    def _share(self) -> Tensor:
        return (self.truth.sum(1) / self.known.sum(1))[:, None]

    def start(self) -> Tensor:
        return torch.logit(self._share())

    def curvature(self) -> Tensor:
        share = self._share()
        return share * (1 - share)

    def offset_curvature(self) -> Tensor:
        return self.curvature()

    def cost(self, scores: Tensor, offsets: Tensor) -> Tensor:
        z = scores[:, 0] + offsets
        return torch.einsum("pn,pn->p", F.softplus(z) - self.truth * z, self.known)

    def slope(self, scores: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        off = (torch.sigmoid(scores[:, 0] + offsets) - self.truth) * self.known  # (P, N)
        return off[:, None], off.sum(1, keepdim=True)

    def uncentered(self, offsets: Tensor, moved: Tensor) -> Tensor:
        return offsets - moved

    def take(self, rows: Tensor) -> BinaryLoss:
        taken = object.__new__(BinaryLoss)
        taken.truth, taken.known = self.truth[rows], self.known[rows]
        return taken


class MultinomialLoss(Loss):
    """Cross-entropy of a softmax over K classes; the problems differ in their strength alone.

    Args:
        classes: (N,) integers in 0..K-1; every class is there.
        class_count: K, how many classes.
        problems: P.
    """

    def __init__(self, classes: np.ndarray | Tensor, class_count: int, problems: int = 1) -> None:
        self.classes = torch.as_tensor(classes, dtype=torch.int64)
        self.share = torch.bincount(self.classes, minlength=class_count).to(torch.float64) / len(self.classes)
        self.problems = problems

    @property
    def count(self) -> int:
        return self.problems

    def images(self) -> Tensor:
        return torch.full((self.problems,), float(len(self.classes)), dtype=torch.float64)

    def start(self) -> Tensor:
        return (self.share.log() - self.share.log().mean()).expand(self.problems, -1)

    def curvature(self) -> Tensor:
        # The diagonal p - p^2 leaves out that the classes compete; p alone bounds the whole.
        return self.share.expand(self.problems, -1)

    def offset_curvature(self) -> Tensor:
        return self.curvature()

    def cost(self, scores: Tensor, offsets: Tensor) -> Tensor:
        z = scores + offsets[..., None]  # (P, K, N)
        own = z.gather(1, self.classes.expand(len(z), 1, -1))[:, 0]
        return (torch.logsumexp(z, 1) - own).sum(1)

    def slope(self, scores: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        off = torch.softmax(scores + offsets[..., None], 1)
        off[:, self.classes, torch.arange(off.shape[2])] -= 1
        return off, off.sum(2)

    def uncentered(self, offsets: Tensor, moved: Tensor) -> Tensor:
        offsets = offsets - moved
        return offsets - offsets.mean(1, keepdim=True)  # only differences matter; scikit-learn's too have mean 0

    def take(self, rows: Tensor) -> MultinomialLoss:
        taken = object.__new__(MultinomialLoss)
        taken.classes, taken.share, taken.problems = self.classes, self.share, len(rows)
        return taken


class OrdinalLoss(Loss):
    """Proportional odds (McCullagh 1980): P(y <= k) = sigmoid(threshold_k - score), with rising thresholds.

    The cost is convex where the thresholds rise (Pratt 1981); where they do not it is NaN, which no step takes.

    Args:
        classes: (N,) integers in 0..K-1; every class is there.
        class_count: K, at least 2.
        problems: P, which differ in their strength alone.
    """

    def __init__(self, classes: np.ndarray | Tensor, class_count: int, problems: int = 1) -> None:
        self.classes = torch.as_tensor(classes, dtype=torch.int64)
        self.share = torch.bincount(self.classes, minlength=class_count).to(torch.float64) / len(self.classes)
        self.below = self.share.cumsum(0)[:-1]  # (K - 1,)
        self.problems = problems

    @property
    def count(self) -> int:
        return self.problems

    def images(self) -> Tensor:
        return torch.full((self.problems,), float(len(self.classes)), dtype=torch.float64)

    def start(self) -> Tensor:
        return torch.logit(self.below).expand(self.problems, -1)

    def curvature(self) -> Tensor:
        ends = F.pad(self.below * (1 - self.below), (1, 1))  # (K + 1,)
        # The second derivative of -log P(y = k) by the score is the sum of the sigmoid's slopes at both ends.
        return (self.share * (ends[1:] + ends[:-1])).sum().expand(self.problems, 1)

    def offset_curvature(self) -> Tensor:
        density = self.below * (1 - self.below)
        return (density**2 * (1 / self.share[:-1] + 1 / self.share[1:])).expand(self.problems, -1)

    def cost(self, scores: Tensor, offsets: Tensor) -> Tensor:
        return -log_between(*self._around(scores, offsets)).sum(1)

    def slope(self, scores: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        upper, lower = self._around(scores, offsets)
        inside = log_between(upper, lower)
        # -log(s(u) - s(l)) by u is -s'(u) / (s(u) - s(l)); by l the same at l, with a plus.
        up = torch.exp(F.logsigmoid(upper) + F.logsigmoid(-upper) - inside)  # (P, N)
        down = torch.exp(F.logsigmoid(lower) + F.logsigmoid(-lower) - inside)
        by_offsets = scores.new_zeros(len(scores), len(self.share) + 1)
        by_offsets.index_add_(1, self.classes + 1, -up).index_add_(1, self.classes, down)
        return (up - down)[:, None], by_offsets[:, 1:-1]

    def uncentered(self, offsets: Tensor, moved: Tensor) -> Tensor:
        return offsets + moved

    def take(self, rows: Tensor) -> OrdinalLoss:
        taken = object.__new__(OrdinalLoss)
        taken.classes, taken.share, taken.below, taken.problems = self.classes, self.share, self.below, len(rows)
        return taken

    def _around(self, scores: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """(P, N) the thresholds above and below each image's class, less its score."""
        far = torch.full_like(offsets[:, :1], torch.inf)
        ends = torch.cat([-far, offsets, far], 1)  # (P, K + 1)
        return ends[:, self.classes + 1] - scores[:, 0], ends[:, self.classes] - scores[:, 0]


def log_between(upper: Tensor, lower: Tensor) -> Tensor:
    """log(sigmoid(upper) - sigmoid(lower)), exact in the tails; NaN where upper < lower."""
    # s(u) - s(l) = s(u) s(-l) (1 - exp(l - u))
    return F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(lower - upper))
