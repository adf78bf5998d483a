"""The probe and the features as scikit-learn knows estimators and transformers."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted

from hilum.archive import Archive
from hilum.errors import ImageError, UsageError
from hilum.imaging import read_image
from hilum.imaging.resize import resize_longer_side
from hilum.models import Model
from hilum.models.head import Head
from hilum.tasks.feature_cache import evaluating, features
from hilum.tasks.fitting import Fit, fit_probe
from hilum.tasks.ranking import above_each_step, aurocs, one_against_rest

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # before scikit-learn 1.6 it was a method
    from sklearn.base import BaseEstimator as _Base

    def validate_data(estimator: Any, *what: Any, **how: Any) -> Any:
        """As scikit-learn 1.6 has it."""
        return _Base._validate_data(estimator, *what, **how)


class Probe(ClassifierMixin, BaseEstimator):
    """Logistic regression with an L2 penalty, its strength chosen on validation data; see `hilum.tasks.fit_probe`.

    Labels are classes (N,), or findings (N, L) of 1, 0 and NaN (not known; left out of that finding alone).

    Args:
        C: strength as scikit-learn means it; None chooses it by AUROC.
        ordinal: classes stand in rising order (proportional odds).
        validation_share: share of the data held out to choose C where `fit` is given no validation data; the fit then uses
            all data.
        seed: of the share that is held out.

    Attributes:
        classes_: the classes, sorted; of findings their numbers.
        head_: weights and offsets, as `hilum.models.head.Head`.
        C_: the strength used: one number, or of findings one each.
        skipped_: finding -> why it has no weights; its scores are NaN.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(80, 4))
        >>> Probe(C=1.0).fit(x, x[:, 0] > 0).predict(x[:2]).tolist() == (x[:2, 0] > 0).tolist()
        True
    """

    def __init__(
        self, C: float | None = None, *, ordinal: bool = False, validation_share: float = 0.2, seed: int = 0
    ) -> None:
        self.C = C
        self.ordinal = ordinal
        self.validation_share = validation_share
        self.seed = seed

    def fit(self, X: Any, y: Any, validation: tuple[Any, Any] | None = None) -> Self:
        """Fit on features (N, F) and labels; `validation`: features and labels to choose C on."""
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None.")
        y = np.asarray(y)
        is_findings = y.ndim == 2 and y.shape[1] > 1
        if is_findings:
            X = validate_data(self, X, dtype=(np.float64, np.float32))
            truth = check_array(y, dtype=np.float64, ensure_all_finite="allow-nan")
            self.classes_ = np.arange(truth.shape[1])
        else:
            X, y = validate_data(self, X, y, dtype=(np.float64, np.float32))
            check_classification_targets(y)
            self.classes_, truth = np.unique(y, return_inverse=True)
            if len(self.classes_) < 2:
                raise ValueError(f"y holds one class only ({self.classes_.tolist()}); a classifier needs two.")
        self._findings = is_findings
        known = None if validation is None else (np.asarray(validation[0]), self._numbered(validation[1]))
        fit = self._fit(X, truth, known)
        self.head_: Head = fit.head
        self.skipped_ = fit.skipped
        self.C_ = fit.strengths if is_findings else float(fit.strengths[0])
        return self

    def _fit(self, x: np.ndarray, truth: np.ndarray, validation: tuple[np.ndarray, np.ndarray] | None) -> Fit:
        task = "multi-label" if self._findings else "ordinal" if self.ordinal else "multi-class"
        if task == "multi-class" and len(self.classes_) == 2:
            task, truth = "binary", truth[:, None].astype(np.float64)
            validation = None if validation is None else (validation[0], validation[1][:, None])
        if self.C is not None or validation is not None:
            return fit_probe(x, truth, task=task, strength=self.C, validation=validation)
        held = np.random.default_rng(self.seed).permutation(len(x))[: round(self.validation_share * len(x))]
        rest = np.setdiff1d(np.arange(len(x)), held)
        try:
            chosen = fit_probe(x[rest], truth[rest], task=task, validation=(x[held], truth[held]))
        except UsageError:  # too few images to hold any out
            return fit_probe(x, truth, task=task)
        if not self._findings:
            return fit_probe(x, truth, task=task, strength=float(chosen.strengths[0]))
        strengths = np.full(truth.shape[1], np.median(chosen.strengths))  # of findings too rare to be chosen for
        strengths[[int(name) for name in chosen.head.names]] = chosen.strengths
        return fit_probe(x, truth, task=task, strength=strengths)

    def decision_function(self, X: Any) -> np.ndarray:
        """Logits: (N,) of two classes, else (N, C)."""
        check_is_fitted(self)
        z = self.head_.linear(self._checked(X))
        return z[:, 0] if z.shape[1] == 1 else z

    def predict_proba(self, X: Any) -> np.ndarray:
        """(N, classes), rows sum to 1; of findings (N, L), each on its own."""
        check_is_fitted(self)
        scores = self.head_.scores(self._checked(X))
        if self._findings:
            whole = np.full((len(scores), len(self.classes_)), np.nan)
            whole[:, [int(name) for name in self.head_.names]] = scores
            return whole
        return np.concatenate([1 - scores, scores], axis=1) if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class; of findings 1 where its score is above one half."""
        scores = self.predict_proba(X)
        return (scores > 0.5).astype(np.int64) if self._findings else self.classes_[scores.argmax(axis=1)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Mean AUROC over findings, classes (one against the rest) or steps (of ordered classes); the defined ones."""
        check_is_fitted(self)
        truth = self._numbered(y)
        if self._findings:
            found = aurocs(truth, np.nan_to_num(self.predict_proba(X)))
        elif self.ordinal and len(self.classes_) > 2:
            steps = above_each_step(truth.astype(np.int64), len(self.classes_))
            found = aurocs(steps, np.repeat(self.head_.linear(self._checked(X)), steps.shape[1], axis=1))
        else:
            found = aurocs(one_against_rest(truth.astype(np.int64), len(self.classes_)), self.predict_proba(X))
        return float("nan") if np.isnan(found).all() else float(np.nanmean(found))

    def _numbered(self, y: Any) -> np.ndarray:
        """Labels as numbers: (N, L) findings, or (N,) class numbers; -1 for a class that was not there."""
        if self._findings:
            return np.asarray(y, np.float64)
        number = {one: place for place, one in enumerate(self.classes_.tolist())}
        return np.array([number.get(one, -1) for one in np.asarray(y).ravel().tolist()], np.float64)

    def _checked(self, X: Any) -> np.ndarray:
        return np.asarray(validate_data(self, X, reset=False, dtype=(np.float64, np.float32)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class Features(TransformerMixin, BaseEstimator):
    """Radiographs to a model's features: the first step of a Pipeline.

    Args:
        model: a model, or its folder.
        archive: where the images are, when they are given as image ids; their features are then kept in it.
        batch_size: images at once in the tower.

    Example:
        >>> from sklearn.pipeline import make_pipeline
        >>> pipeline = make_pipeline(hilum.Features("runs/chexzero"), hilum.Probe())  # doctest: +SKIP
        >>> pipeline.fit(pixels, y).predict_proba(new_pixels)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: Model | str | PathLike[str],
        archive: Archive | str | PathLike[str] | None = None,
        batch_size: int = 64,
    ) -> None:
        self.model = model
        self.archive = archive
        self.batch_size = batch_size

    def fit(self, X: Any, y: Any = None) -> Self:
        """Nothing is learned."""
        return self

    def transform(self, X: Sequence[Any] | np.ndarray) -> np.ndarray:
        """N images to (N, F) float32.

        Args:
            X: gray images (H, W) uint8, of one size or several; or files; or, with an archive, image ids.

        Raises:
            ImageError: a file cannot be read.
            UsageError: an id is not in the archive.
        """
        kept: tuple[Any, Model] | None = getattr(self, "_loaded", None)
        if kept is None or kept[0] is not self.model:
            kept = (self.model, self.model if isinstance(self.model, Model) else Model.load(self.model))
            self._loaded = kept
        model = kept[1]
        if self.archive is not None:
            ids = [str(one) for one in np.asarray(X, dtype=object).ravel()]
            return features(model, self.archive, ids, batch_size=self.batch_size)
        pixels = [one if isinstance(one, np.ndarray) and one.ndim == 2 else _read(one) for one in X]
        with evaluating(model.encoder):
            return model.features(pixels, batch_size=self.batch_size)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_loaded", None)
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.three_d_array = True
        return tags


def _read(path: Any) -> np.ndarray:
    if not isinstance(path, str | PathLike):
        raise ImageError(f"Features: expected gray images (H, W), files or image ids; got {type(path).__name__}.")
    return resize_longer_side(read_image(path).pixels, 384)
