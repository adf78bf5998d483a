"""Logistic regression with an L2 penalty, for many labels and strengths at once, to the last digits.

The cost of one problem is scikit-learn's divided by C:

    sum_i loss(x_i w + b, y_i) + |w|^2 / (2 C)

with no penalty on the offsets b. L-BFGS runs in float64 on the principal axes of the features, each scaled so that the
curvature at the start is one; few steps then reach the minimum, however correlated the features are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from hilum.tasks.lbfgs import Minimum, Problems, minimize
from hilum.tasks.losses import Loss

TOLERANCE = 1e-7  # nats: the likelihood is within the square of this of its maximum
MOST_STEPS = 1000
MOST_AXES = 512  # of more features the principal axes beyond share one scale
SKETCHED_AXES, SKETCH_PASSES = 256, 2


@dataclass(frozen=True)
class Solution:
    """Weights of P problems.

    Attributes:
        weights: (P, K, F) float64; K is 1, but for multinomial problems the classes.
        offsets: (P, M) float64: intercepts, or the thresholds of an ordinal problem.
        converged: (P,) bool.
        steps: (P,) L-BFGS steps.
        variables: (P, L) where L-BFGS ended, to go on from.
    """

    weights: np.ndarray
    offsets: np.ndarray
    converged: np.ndarray
    steps: np.ndarray
    variables: Tensor = field(repr=False)


class Axes:
    """Features made ready for any number of problems: centered, and with their principal axes.

    Where there are fewer images than features, the features are first expressed in the span of the images (a QR
    decomposition): the penalty keeps the weights there, so nothing is lost.

    Args:
        features: (N, F), any float type.
    """

    def __init__(self, features: np.ndarray) -> None:
        x = torch.as_tensor(np.ascontiguousarray(features)).to(torch.float64, copy=True)
        self.mean = x.mean(0)  # (F,)
        x -= self.mean
        self.basis: Tensor | None = None  # (F, N) orthonormal columns
        if x.shape[0] < x.shape[1]:
            self.basis, upper = torch.linalg.qr(x.T)
            x = upper.T.contiguous()
        self.x = x  # (N, D)
        self.total_variance = float(x.square().sum() / max(1, len(x)))
        variances, axes = _principal_axes(x.to(torch.float32))
        self.variances, self.axes = variances.to(torch.float64), axes.to(torch.float64)  # (A,), (A, D)
        rest = self.total_variance - float(self.variances.sum())
        self.other_variance = max(0.0, rest) / max(1, x.shape[1] - len(variances))


def solve(
    axes: Axes,
    loss: Loss,
    strengths: Sequence[float] | np.ndarray,
    *,
    start: Tensor | None = None,
    tolerance: float = TOLERANCE,
    most_steps: int = MOST_STEPS,
) -> Solution:
    """Solve each problem of a loss at its own strength.

    Args:
        axes: the features of N images.
        loss: of P problems.
        strengths: (P,) values of C; larger is a weaker penalty.
        start: (P, L) `variables` of an earlier solution of the same problems; default: no weights.
        tolerance: of the gradient, in the scaled variables.
        most_steps: of L-BFGS.
    """
    problems = _Penalized(axes, loss, torch.as_tensor(np.asarray(strengths, np.float64)))
    return problems.solution(minimize(problems, problems.start() if start is None else start, tolerance, most_steps))


class _Penalized(Problems):
    """Variables are weights on the scaled axes, then offsets: (P, K * D + M)."""

    def __init__(self, axes: Axes, loss: Loss, strength: Tensor) -> None:
        self.axes, self.loss, self.strength = axes, loss, strength
        n = loss.images()[:, None]  # (P, 1)
        curvature = n * loss.curvature()  # (P, K)
        weakest = 1 / strength[:, None]
        self.other_scale = (curvature * axes.other_variance + weakest).rsqrt()[..., None]  # (P, K, 1)
        stiff = curvature[..., None] * axes.variances + weakest[..., None]  # (P, K, A)
        self.scale = stiff.rsqrt() - self.other_scale
        self.offset_scale = (n * loss.offset_curvature()).clamp(min=1e-12).rsqrt()  # (P, M)

    def start(self) -> Tensor:
        """No weights, and the offsets that fit best without."""
        p, k, _ = self.scale.shape
        return torch.cat(
            [self.axes.mean.new_zeros(p, k * self.axes.x.shape[1]), self.loss.start() / self.offset_scale], 1
        )

    def image(self, variables: Tensor) -> Tensor:
        """What each image is given, then offsets, then the weights themselves: (P, K * N + M + K * D)."""
        weights, offsets = self._unscaled(variables)
        given = weights.flatten(0, 1) @ self.axes.x.T  # (P * K, N)
        return torch.cat([given.reshape(len(variables), -1), offsets, weights.flatten(1)], 1)

    def costs(self, image: Tensor) -> Tensor:
        given, offsets, weights = self._parts(image)
        return self.loss.cost(given, offsets) + weights.square().sum((1, 2)) / (2 * self.strength)

    def gradient(self, image: Tensor) -> Tensor:
        given, offsets, weights = self._parts(image)
        by_given, by_offsets = self.loss.slope(given, offsets)
        by_weights = (by_given.flatten(0, 1) @ self.axes.x).reshape(weights.shape) + weights / self.strength[
            :, None, None
        ]
        return torch.cat([self._along_axes(by_weights).flatten(1), by_offsets * self.offset_scale], 1)

    def take(self, rows: Tensor) -> _Penalized:
        taken = object.__new__(_Penalized)
        taken.axes, taken.loss, taken.strength = self.axes, self.loss.take(rows), self.strength[rows]
        taken.scale, taken.other_scale = self.scale[rows], self.other_scale[rows]
        taken.offset_scale = self.offset_scale[rows]
        return taken

    def solution(self, found: Minimum) -> Solution:
        """Weights for the features as they were given."""
        weights, offsets = self._unscaled(found.variables)
        if self.axes.basis is not None:
            weights = weights @ self.axes.basis.T
        offsets = self.loss.uncentered(offsets, weights @ self.axes.mean)
        return Solution(weights.numpy(), offsets.numpy(), found.converged.numpy(), found.steps.numpy(), found.variables)

    def _unscaled(self, variables: Tensor) -> tuple[Tensor, Tensor]:
        """(P, K, D) weights on the centered features, and (P, M) offsets."""
        p, k, _ = self.scale.shape
        split = k * self.axes.x.shape[1]
        weights = self._along_axes(variables[:, :split].reshape(p, k, -1))
        return weights, variables[:, split:] * self.offset_scale

    def _along_axes(self, vectors: Tensor) -> Tensor:
        """Each axis stretched by its scale: a symmetric map, so it serves variables and gradients."""
        flat = vectors.flatten(0, 1)
        along = (flat @ self.axes.axes.T).reshape(self.scale.shape) * self.scale
        return (along.flatten(0, 1) @ self.axes.axes).reshape(vectors.shape) + vectors * self.other_scale

    def _parts(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        p, k, _ = self.scale.shape
        m = self.offset_scale.shape[1]
        n, d = self.axes.x.shape
        given, offsets, weights = image.split([k * n, m, k * d], 1)
        return given.reshape(p, k, n), offsets, weights.reshape(p, k, d)


def _principal_axes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Variances (A,) and axes (A, D) of centered features: all of few features, the largest of many.

    Only the scale of variables hangs on these, not the answer: single precision and a sketch do (Halko et al. 2011,
    algorithm 4.4).
    """
    if x.shape[1] <= MOST_AXES:
        variances, axes = torch.linalg.eigh(x.T @ x / len(x))
        return variances.clamp(min=0), axes.T
    draws = torch.randn(x.shape[1], SKETCHED_AXES, generator=torch.Generator().manual_seed(0))
    for _ in range(SKETCH_PASSES):
        draws = torch.linalg.qr(x.T @ (x @ draws))[0]
    seen = x @ draws  # (N, A)
    variances, turn = torch.linalg.eigh(seen.T @ seen / len(x))
    return variances.clamp(min=0), (draws @ turn).T
