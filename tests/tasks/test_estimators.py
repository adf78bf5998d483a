"""The probe is an estimator, the features a transformer: scikit-learn's own checks, pipelines, clones and searches."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import hilum
from hilum.archive import Archive
from hilum.models import Model


@parametrize_with_checks([hilum.Probe(C=1.0)])
def test_the_probe_passes_scikit_learn_s_checks(estimator: hilum.Probe, check: object) -> None:
    check(estimator)  # type: ignore[operator]


@pytest.fixture
def pixels(labeled_archive: Path) -> list[np.ndarray]:
    archive = Archive.open(labeled_archive)
    return [np.array(one) for one in archive.pixels(range(96))]


SIDES = np.array(["dark", "bright"] * 48)


def test_pixels_go_in_and_classes_come_out_of_a_pipeline(model: Model, pixels: list[np.ndarray]) -> None:
    pipeline = make_pipeline(hilum.Features(model), hilum.Probe()).fit(pixels[:64], SIDES[:64])
    assert pipeline.score(pixels[64:], SIDES[64:]) > 0.95
    assert pipeline.predict_proba(pixels[64:]).shape == (32, 2)
    assert (pipeline.predict(pixels[64:]) == SIDES[64:]).mean() > 0.9
    again = pickle.loads(pickle.dumps(pipeline[-1]))
    seen = hilum.Features(model).transform(pixels[:3])
    np.testing.assert_array_equal(again.predict_proba(seen), pipeline[-1].predict_proba(seen))


def test_features_are_the_same_from_pixels_files_and_an_archive(
    model: Model, pixels: list[np.ndarray], labeled_archive: Path, tmp_path: Path
) -> None:
    files = [tmp_path / f"{place}.png" for place in range(3)]
    for path, image in zip(files, pixels, strict=False):
        Image.fromarray(image).save(path)
    expected = model.features(pixels[:3])
    model.save(tmp_path / "model")
    np.testing.assert_allclose(hilum.Features(tmp_path / "model").transform(files), expected, atol=1e-5)
    kept = hilum.Features(model, archive=labeled_archive).fit_transform(["i0", "i1", "i2"])
    np.testing.assert_allclose(kept, expected, atol=1e-5)


def test_an_estimator_can_be_cloned_and_searched(model: Model, pixels: list[np.ndarray]) -> None:
    features = clone(hilum.Features("some/folder", batch_size=8))
    assert features.get_params() == {"model": "some/folder", "archive": None, "batch_size": 8}
    x = model.features(pixels)
    search = GridSearchCV(hilum.Probe(), {"C": [1e-3, 1.0]}, cv=3).fit(x, SIDES)
    assert search.best_score_ > 0.95


def test_findings_with_missing_labels_are_fitted_each_on_its_own(model: Model, pixels: list[np.ndarray]) -> None:
    x = model.features(pixels)
    y = np.stack([SIDES == "dark", np.arange(96) // 2 % 2 == 0, np.zeros(96)], axis=1).astype(float)
    y[::5, 0] = np.nan
    probe = hilum.Probe().fit(x, y)
    assert probe.predict_proba(x).shape == (96, 3)
    assert np.isnan(probe.predict_proba(x)[:, 2]).all()
    assert probe.skipped_ == {"2": "no positive among 96 training images"}
    assert probe.C_.shape == (2,)
    assert probe.score(x, y) > 0.9


def test_ordered_classes_give_rising_scores_of_later_classes() -> None:
    x = np.random.default_rng(0).normal(size=(200, 3))
    grade = np.digitize(x[:, 0], [-0.7, 0.3])
    probe = hilum.Probe(C=10.0, ordinal=True).fit(x, grade)
    assert probe.score(x, grade) > 0.99
    far = np.zeros((2, 3))
    far[:, 0] = -4, 4
    assert probe.predict(far).tolist() == [0, 2]


def test_validation_data_choose_the_strength(model: Model, pixels: list[np.ndarray]) -> None:
    x = model.features(pixels)
    probe = hilum.Probe().fit(x[:48], SIDES[:48], validation=(x[48:], SIDES[48:]))
    assert probe.C_ > 0
    assert probe.score(x[48:], SIDES[48:]) > 0.95


def test_what_is_no_image_is_refused(model: Model) -> None:
    with pytest.raises(hilum.HilumError, match=r"expected gray images \(H, W\), files or image ids; got float"):
        hilum.Features(model).transform([1.0])
