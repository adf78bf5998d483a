"""Accuracy of classes that exclude each other, such as CheXpert-5x200's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hilum.errors import EvaluationError

MACRO, MICRO = "Accuracy(Macro)", "Accuracy(Micro)"


def class_accuracies(scores: np.ndarray, truth: Sequence[str], classes: Sequence[str]) -> dict[str, float]:
    """How often the class with the largest score is the true one.

    Args:
        scores: (N, C), larger is more likely.
        truth: N names of classes.
        classes: C names, as the columns of `scores`.

    Returns:
        class -> share of its images that are called so (NaN for a class without images), then `MACRO`, the mean over the classes
        that have images, and `MICRO`, the share of all images.

    Raises:
        EvaluationError: a truth that is no class, no images, or scores of another shape.

    Example:
        >>> class_accuracies(np.eye(3)[[0, 1, 1]], ["a", "b", "c"], ["a", "b", "c"])["Accuracy(Micro)"] == 2 / 3
        True
    """
    strange = sorted(set(truth) - set(classes))
    if strange:
        raise EvaluationError(f"true classes {', '.join(strange[:5])} are none of {', '.join(classes)}.")
    if not len(truth) or scores.shape != (len(truth), len(classes)):
        raise EvaluationError(f"scores of shape {scores.shape} for {len(truth)} images and {len(classes)} classes.")
    true = np.array([list(classes).index(name) for name in truth])
    right = scores.argmax(axis=1) == true
    each = {
        name: float(right[true == c].mean()) if (true == c).any() else float("nan") for c, name in enumerate(classes)
    }
    return {**each, MACRO: float(np.nanmean(list(each.values()))), MICRO: float(right.mean())}
