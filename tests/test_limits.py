"""Data at their limits: many, long, lonely, unlabelled, oddly typed. Each says what it took."""

import resource
import time
from contextlib import contextmanager

import numpy as np
import pytest

from skdgam import DGAMLocalizer


def quick(**changes):
    settings = {"max_epochs": 1, "latent_dim": 2, "random_state": 0, "precision": "float32"}
    return DGAMLocalizer(**(settings | changes))


@contextmanager
def measured(what):
    """Print seconds, and how far memory went beyond what it had been at most; `pytest -s`."""
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    yield
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"\n{what}: {time.perf_counter() - begun:.1f} s, {grown:.0f} MB more")


def assert_well_formed(model, X, found):
    assert len(found) == len(X)
    for x, detections in zip(X, found, strict=True):
        assert np.isin(detections["label"], model.classes_).all()
        assert np.isfinite(detections["score"]).all()
        assert (detections["start"] < detections["end"]).all()
        assert (detections["end"] <= len(x) * model.clock.seconds + 1e-9).all()


def test_30_000_short_videos():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(90_000, 4)).astype(np.float32)
    X = np.split(rows, np.sort(rng.choice(np.arange(1, 90_000), 29_999, replace=False)))
    y = rng.integers(3, size=30_000)
    with measured("30,000 videos of 3 snippets, fit"):
        model = quick(batch_size=4096).fit(X, y)
    with measured("5,000 of them, predict"):
        found = model.predict(X[:5_000])
    assert_well_formed(model, X[:5_000], found)


def test_one_video_of_a_million_snippets():
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(1_000_000, 4)).astype(np.float32), np.zeros((5, 4), dtype=np.float32)]
    # One start: a video goes through the network in one piece in training, 2 GB for each start.
    with measured("1,000,000 snippets, fit"):
        model = quick(n_starts=1).fit(X, ["jump", "run"])
    with measured("1,000,000 snippets, predict"):
        found = model.predict(X)
    assert_well_formed(model, X, found)


def test_1000_classes():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 6, 4))
    with measured("1,000 classes, fit and predict"):
        model = quick(batch_size=200).fit(X, np.arange(1000))
        found = model.predict(X[:50])
    assert len(model.classes_) == 1000
    assert_well_formed(model, X[:50], found)


@pytest.fixture
def X():
    return list(np.random.default_rng(0).normal(size=(8, 12, 5)))


def test_one_class(X):
    model = quick().fit(X, ["jump"] * 8)
    assert model.classes_.tolist() == ["jump"]
    assert_well_formed(model, X, model.predict(X))


def test_every_video_without_a_label_but_one(X):
    model = quick(max_epochs=3).fit(X, [["jump"], *[[]] * 7])
    assert all(np.isfinite(weight).all() for weight in model.weights_.values())
    assert_well_formed(model, X, model.predict(X))


def test_a_class_in_a_single_video(X):
    model = quick().fit(X, ["rare", *["often"] * 7])
    assert model.classes_.tolist() == ["often", "rare"]
    assert_well_formed(model, X, model.predict(X))


def test_the_same_video_many_times(X):
    model = quick(max_epochs=3).fit([X[0]] * 8, ["jump", "run"] * 4)
    first, *others = model.predict([X[0]] * 8)
    for found in others:
        np.testing.assert_array_equal(found, first)


def test_features_that_never_change():
    X = [np.ones((9, 4))] * 6
    model = quick(max_epochs=5).fit(X, ["jump", "run"] * 3)
    assert_well_formed(model, X, model.predict(X))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int64"])
def test_types_of_numbers(X, dtype):
    X = [np.round(5 * np.abs(x)).astype(dtype) for x in X]
    y = ["jump", "run"] * 4
    expected = quick().fit([x.astype(np.float32) for x in X], y)
    model = quick().fit(X, y)
    for name, weight in expected.weights_.items():
        np.testing.assert_array_equal(model.weights_[name], weight)


@pytest.mark.parametrize("arrange", [np.asfortranarray, lambda x: x[::-1][::-1], "read only"])
def test_arrays_of_other_layouts(X, arrange):
    y = ["jump", "run"] * 4
    expected = quick().fit(X, y).predict(X)
    if arrange == "read only":
        arranged = [x.copy() for x in X]
        for x in arranged:
            x.flags.writeable = False
    else:
        arranged = [arrange(x) for x in X]
    for ours, theirs in zip(quick().fit(arranged, y).predict(arranged), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [(["пры́жок", "跳ぶ"], "U"), ([3, 12], "i"), (["a b", "c,d"], "U")],
)
def test_labels_of_all_kinds(X, labels, kind):
    for y in (
        labels * 4,
        tuple(labels * 4),
        np.array(labels * 4),
        [(label,) for label in labels * 4],
    ):
        model = quick().fit(tuple(X), y)
        assert model.classes_.tolist() == sorted(labels)
        assert model.classes_.dtype.kind == kind
        assert_well_formed(model, X, model.predict(X))
