"""Many smooth convex problems minimized side by side: each L-BFGS step is one matrix product for all of them.

Nocedal & Wright 2006, algorithms 7.4 and 3.1. A problem that has converged is taken out; the others go on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

MEMORY = 10  # pairs of steps and gradient changes remembered
SUFFICIENT = 1e-4  # share of the promised decrease that a step must bring (Armijo)
MOST_TRIALS = 30


class Problems(ABC):
    """P convex problems whose costs depend on their variables through a linear map.

    Rows are problems: variables and gradients are (P, L). Because the map is linear, a step's length is tried on what the
    map gave, without another product.
    """

    @abstractmethod
    def image(self, variables: Tensor) -> Tensor:
        """What the costs see of the variables, linear in them: (P, I)."""

    @abstractmethod
    def costs(self, image: Tensor) -> Tensor:
        """(P,) costs; infinite or NaN outside their domain."""

    @abstractmethod
    def gradient(self, image: Tensor) -> Tensor:
        """(P, L) gradients of the costs by the variables."""

    @abstractmethod
    def take(self, rows: Tensor) -> Problems:
        """These problems alone."""


@dataclass(frozen=True)
class Minimum:
    """Where the minimization ended.

    Attributes:
        variables: (P, L).
        converged: (P,) whether the tolerance was reached.
        steps: (P,) steps taken.
    """

    variables: Tensor
    converged: Tensor
    steps: Tensor


def minimize(problems: Problems, start: Tensor, tolerance: float, most_steps: int) -> Minimum:
    """Minimize every problem.

    Args:
        problems: P of them; their variables should be scaled so that curvatures are near one.
        start: (P, L) first variables.
        tolerance: a problem has converged when the length of its gradient is at most this.
        most_steps: give up after so many.
    """
    result = start.clone()
    converged, steps = torch.zeros(len(start), dtype=torch.bool), torch.zeros(len(start), dtype=torch.int64)
    active = torch.arange(len(start))
    here, history = start, deque[tuple[Tensor, Tensor, Tensor]](maxlen=MEMORY)
    image = problems.image(here)
    cost, slope = problems.costs(image), problems.gradient(image)
    for step in range(most_steps + 1):
        done = slope.norm(dim=1) <= tolerance
        if bool(done.any()) or step == most_steps:
            result[active], steps[active], converged[active] = here, step, done
            keep = torch.nonzero(~done).flatten()
            active, problems = active[keep], problems.take(keep)
            here, image, cost, slope = (part[keep] for part in (here, image, cost, slope))
            history = deque(((change[keep], turned[keep], rho[keep]) for change, turned, rho in history), MEMORY)
        if not len(active) or step == most_steps:
            break
        direction = _direction(slope, history)
        moved = problems.image(direction)
        length, cost = _step_length(problems, image, moved, cost, (slope * direction).sum(1))
        change = length[:, None] * direction
        image = image.addcmul(length[:, None], moved)
        new_slope = problems.gradient(image)
        turned, here, slope = new_slope - slope, here + change, new_slope
        curvature = (change * turned).sum(1)
        # A step of length zero teaches nothing: its pair counts for nothing in the recursion.
        history.append((change, turned, torch.where(curvature > 1e-300, 1 / curvature, 0.0)))
    return Minimum(result, converged, steps)


def _direction(slope: Tensor, history: deque[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """Minus the inverse Hessian's approximation times the gradient: the two-loop recursion, algorithm 7.4."""
    q, shares = slope.clone(), []
    for change, turned, rho in reversed(history):
        share = rho * torch.einsum("pl,pl->p", change, q)
        q.addcmul_(share[:, None], turned, value=-1)
        shares.append(share)
    if history:
        _, turned, rho = history[-1]
        size = rho * turned.square().sum(1)
        q *= torch.where(size > 0, 1 / size, 1.0)[:, None]
    for (change, turned, rho), share in zip(history, reversed(shares), strict=True):
        q.addcmul_((share - rho * torch.einsum("pl,pl->p", turned, q))[:, None], change)
    return q.neg_()


def _step_length(
    problems: Problems, image: Tensor, moved: Tensor, cost: Tensor, descent: Tensor
) -> tuple[Tensor, Tensor]:
    """(P,) lengths that lower each cost enough, and the costs there; 0 where rounding allows no more."""
    length = torch.ones_like(cost)
    rounding = 1e-14 * cost.abs()
    for _ in range(MOST_TRIALS):
        reached = problems.costs(image.addcmul(length[:, None], moved))
        short = ~(reached <= cost + SUFFICIENT * length * descent + rounding)
        if not bool(short.any()):
            return length, reached
        # The parabola through cost, slope and the cost reached, kept between a tenth and a half (section 3.5).
        bend = reached - cost - length * descent
        guess = torch.where(torch.isfinite(bend), -descent * length**2 / (2 * bend), 0.0)
        length = torch.where(short, torch.clamp(guess, 0.1 * length, 0.5 * length), length)
    return torch.where(short, 0.0, length), torch.where(short, cost, reached)
