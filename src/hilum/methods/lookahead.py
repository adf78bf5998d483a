"""Lookahead: slow weights that follow a fast optimizer (Zhang et al. 2019, arXiv 1907.08610, algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from hilum.errors import TrainingError


class Lookahead(Optimizer):
    """Every `k` steps of another optimizer, slow weights go the share `alpha` towards the fast ones, which then start from there.

    The slow weights and the count of steps are part of the state, so a resumed run goes on exactly.

    Args:
        inner: the fast optimizer. Its groups are this one's: a learning rate set here holds there.
        k: fast steps for one slow step.
        alpha: how far the slow weights go, in (0, 1].

    Raises:
        TrainingError: k or alpha is out of range.
    """

    def __init__(self, inner: Optimizer, k: int = 5, alpha: float = 0.5) -> None:
        if k < 1 or not 0 < alpha <= 1:
            raise TrainingError(f"lookahead: k={k}, alpha={alpha}; expected k of 1 or more and alpha in (0, 1].")
        super().__init__(inner.param_groups, inner.defaults)
        self.inner, self.k, self.alpha = inner, k, alpha
        self.since = 0  # fast steps since the last slow one
        self.slow: list[Tensor] = []  # made at the first step, when the weights are where they will stay
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """A fast step, and a slow one where it is its turn."""
        fast = self._fast()
        if not self.slow:
            self.slow = [p.detach().clone() for p in fast]
        loss = self.inner.step(closure)
        self.since += 1
        if self.since == self.k:
            self.since = 0
            torch._foreach_lerp_(self.slow, fast, self.alpha)
            torch._foreach_copy_(fast, self.slow)
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The fast optimizer's state, and `lookahead`: the slow weights and the steps since they last moved."""
        return {**self.inner.state_dict(), "lookahead": {"slow": list(self.slow), "since": self.since}}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state.

        Raises:
            TrainingError: the state is of an optimizer without slow weights, or of other parameters.
        """
        state = dict(state_dict)
        own, fast = state.pop("lookahead", None), self._fast()
        if own is None or (own["slow"] and [s.shape for s in own["slow"]] != [p.shape for p in fast]):
            raise TrainingError("the saved optimizer has no slow weights of lookahead that fit; start the run again.")
        self.inner.load_state_dict(state)
        self.slow = [s.detach().to(p, copy=True) for s, p in zip(own["slow"], fast, strict=bool(own["slow"]))]
        self.since = int(own["since"])
        self._share()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        self.inner.zero_grad(set_to_none)

    def _share(self) -> None:
        self.param_groups, self.state = self.inner.param_groups, self.inner.state

    def _fast(self) -> list[Tensor]:
        return [p for group in self.inner.param_groups for p in group["params"]]
