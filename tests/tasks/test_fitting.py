"""The batched solver equals slow, independent ones; strengths are chosen as told; what cannot be fitted says why."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from hilum.errors import UsageError
from hilum.tasks.fitting import fit_probe


def sample(n: int = 90, width: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated, uncentered features, and the scores of four hidden directions."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, width)) @ rng.normal(size=(width, width)) + rng.normal(size=width) * 3
    z = (x - x.mean(0)) @ rng.normal(size=(width, 4)) / np.sqrt(width * width)
    return x, z + rng.normal(size=z.shape) * 0.5


def exact(x: np.ndarray, y: np.ndarray, strength: float) -> LogisticRegression:
    solver = "newton-cholesky" if len(np.unique(y)) == 2 else "newton-cg"
    return LogisticRegression(C=strength, tol=1e-10, max_iter=5000, solver=solver).fit(x, y)


@pytest.mark.parametrize(("n", "width"), [(90, 12), (40, 60), (60, 600)])
@pytest.mark.parametrize("strength", [1e-3, 1.0])
def test_each_finding_equals_scikit_learn_solved_alone(n: int, width: int, strength: float) -> None:
    x, z = sample(n, width)
    truth = (z > [0, 0.5, -0.5, 1]).astype(float)
    fit = fit_probe(x, truth, strength=strength)
    for column in range(4):
        theirs = exact(x, truth[:, column], strength)
        np.testing.assert_allclose(fit.head.scores(x)[:, column], theirs.predict_proba(x)[:, 1], atol=1e-6)
        np.testing.assert_allclose(fit.head.weights[column], theirs.coef_[0], atol=1e-6)


def test_a_missing_label_is_left_out_of_its_finding_alone() -> None:
    x, z = sample()
    truth = (z > 0).astype(float)
    truth[::3, 0] = np.nan
    fit = fit_probe(x, truth, strength=0.1)
    known = ~np.isnan(truth[:, 0])
    np.testing.assert_allclose(fit.head.weights[0], exact(x[known], truth[known, 0], 0.1).coef_[0], atol=1e-6)
    np.testing.assert_allclose(fit.head.weights[1], exact(x, truth[:, 1], 0.1).coef_[0], atol=1e-6)


def test_classes_equal_scikit_learn_s_multinomial() -> None:
    x, z = sample()
    classes = z.argmax(1)
    fit = fit_probe(x, classes, task="multi-class", strength=0.5)
    np.testing.assert_allclose(fit.head.scores(x), exact(x, classes, 0.5).predict_proba(x), atol=2e-6)


def test_ordered_classes_equal_a_general_minimizer() -> None:
    x, z = sample(width=4)
    grade = np.digitize(z[:, 0], [-0.6, 0.2, 0.9])

    def cost(v: np.ndarray) -> float:
        edges = np.concatenate([[-np.inf], v[4:], [np.inf]])
        at_most = 1 / (1 + np.exp(np.clip(x @ v[:4], -500, 500)[:, None] - edges))
        share = np.diff(at_most, axis=1)[np.arange(len(x)), grade]
        return float(-np.log(np.maximum(share, 1e-300)).sum() * 0.5 + (v[:4] ** 2).sum() / 2)

    start = np.concatenate([np.zeros(4), [-1.0, 0.0, 1.0]])
    slow = minimize(cost, start, method="BFGS", options={"gtol": 1e-7, "maxiter": 2000})
    fit = fit_probe(x, grade, task="ordinal", strength=0.5)
    ours = np.concatenate([fit.head.weights[0], fit.head.offsets])
    assert cost(ours) <= slow.fun + 1e-9
    np.testing.assert_allclose(ours, slow.x, atol=2e-4)
    np.testing.assert_allclose(fit.head.scores(x).sum(1), 1, atol=1e-6)


def test_the_strength_taken_is_the_best_on_validation_for_each_finding() -> None:
    x, z = sample(300)
    truth = (z > 0).astype(float)
    fit = fit_probe(x[:200], truth[:200], validation=(x[200:], truth[200:]))
    assert fit.tried.shape == (8, 4)
    for column in range(4):
        assert fit.strengths[column] == fit.grid[int(np.argmax(fit.tried[:, column]))]
    np.testing.assert_allclose(fit.validation_auroc, fit.tried.max(0), atol=2e-3)


def test_the_strength_chosen_does_not_depend_on_the_unit_of_the_features() -> None:
    x, z = sample(200)
    truth = (z > 0).astype(float)
    scores = [
        fit_probe(k * x[:120], truth[:120], validation=(k * x[120:], truth[120:])).head.scores(k * x[120:])
        for k in (1, 1000)
    ]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)


def test_a_finding_with_one_class_is_skipped_with_its_reason_and_the_others_fitted() -> None:
    x, z = sample()
    truth = (z > 0).astype(float)
    truth[:, 1], truth[:, 2] = 0, np.nan
    fit = fit_probe(x, truth, names=["a", "b", "c", "d"], strength=1.0)
    assert fit.head.names == ("a", "d")
    assert fit.skipped == {"b": "no positive among 90 training images", "c": "no training image has a label"}
    with pytest.raises(UsageError, match="nothing to fit among the training images: 0: no positive among 90"):
        fit_probe(x, truth[:, 1:2])


def test_one_class_in_validation_takes_the_others_strength_and_says_so() -> None:
    x, z = sample(200)
    truth = (z > 0).astype(float)
    held = truth[120:].copy()
    held[:, 3] = 1
    fit = fit_probe(x[:120], truth[:120], names=list("abcd"), validation=(x[120:], held))
    assert fit.strengths[3] in fit.grid
    assert any(remark.startswith("d: one class only among the validation images") for remark in fit.remarks)
    assert np.isnan(fit.validation_auroc[3])


def test_a_class_without_a_training_image_is_never_predicted() -> None:
    x, z = sample()
    classes = z[:, :3].argmax(1)
    classes[classes == 1] = 3
    fit = fit_probe(x, classes, names=["no", "mild", "severe", "worst"], task="multi-class", strength=1.0)
    assert fit.head.names == ("no", "severe", "worst")
    assert fit.skipped == {"mild": "no training image"}


@pytest.mark.parametrize(
    ("truth", "task", "message"),
    [
        (np.full((90, 2), 2.0), "multi-label", "expected .* of 1, 0 and NaN"),
        (np.zeros((80, 2)), "multi-label", "as many rows"),
        (np.zeros(90), "ordinal", "1 of 1 classes among 90"),
        (np.full(90, 0.5), "multi-class", "class numbers"),
        (np.zeros((90, 2)), "ranking", "expected one of binary"),
    ],
)
def test_truth_that_does_not_fit_the_task_is_refused(truth: np.ndarray, task: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fit_probe(sample()[0], truth, task=task)


def test_features_that_are_not_finite_are_refused_by_row() -> None:
    x, z = sample()
    x[7, 3] = np.nan
    with pytest.raises(UsageError, match="row 7: not finite"):
        fit_probe(x, (z > 0).astype(float))
