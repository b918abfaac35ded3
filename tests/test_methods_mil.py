"""Baselines: pooling by hand, learning, and life as an estimator."""

import pickle

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skdgam.datasets import make_untrimmed
from skdgam.methods import MILLocalizer

BOTH = pytest.mark.parametrize("pooling", ["topk", "attention"])


@pytest.fixture(scope="module")
def data():
    return make_untrimmed(
        n_videos=40, n_classes=3, n_features=12, context=0.0, noise=0.2, random_state=0
    )


def quick(pooling, **changes):
    settings = {"max_epochs": 40, "batch_size": 10, "learning_rate": 0.01, "random_state": 0}
    return MILLocalizer(pooling=pooling, **(settings | changes))


def activation(model, attention, logits):
    return model._activation(model, np.array(attention), np.array(logits, dtype=np.float32))


def test_the_surest_snippets_are_pooled():
    logits = [[1.0, 9.0], [4.0, 0.0], [2.0, 1.0], [3.0, 5.0], [0.0, 7.0]]
    pooled = activation(MILLocalizer(topk=2), np.ones(5), logits).probability
    np.testing.assert_allclose(pooled, expit([3.5, 8.0]))
    pooled = activation(MILLocalizer(topk=8), np.ones(5), logits).probability
    np.testing.assert_allclose(pooled, expit([4.0, 9.0]))


def test_logits_are_pooled_by_attention():
    logits = [[1.0, 0.0], [9.0, 9.0], [4.0, 3.0]]
    model = MILLocalizer(pooling="attention")
    pooled = activation(model, [0.5, 0.0, 0.25], logits).probability
    np.testing.assert_allclose(pooled, expit([2.0, 1.0]))


@pytest.mark.filterwarnings("ignore:Attention is near 0")  # as it should be
def test_attention_costs(data):
    def mean_attention(sparsity):
        model = quick("attention", max_epochs=10, sparsity=sparsity).fit(*data)
        return np.mean([attention.mean() for attention in model.attention(data[0])])

    assert mean_attention(10.0) < mean_attention(0.0) / 2


@BOTH
@pytest.mark.parametrize("changes", [{}, {"hidden": None}, {"temporal_context": 2}])
def test_actions_without_context_are_found(data, pooling, changes):
    X, y = data
    labels = [set(video["label"].tolist()) for video in y]
    model = quick(pooling, **changes).fit(X[:30], labels[:30])
    proba = model.predict_proba(X[30:])
    is_there = np.array([[c in set(video["label"]) for c in model.classes_] for video in y[30:]])
    assert proba[is_there].mean() > proba[~is_there].mean() + 0.3
    assert model.set_params(tiou_thresholds=0.1).score(X[30:], y[30:]) > 0.2


@BOTH
def test_the_seed_decides_everything_and_global_generators_do_not(data, pooling):
    before = torch.get_rng_state()
    models = [quick(pooling, max_epochs=2, random_state=seed).fit(*data) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    weights = [model.weights_["classifier.weight"] for model in models]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


@BOTH
def test_life_as_an_estimator(data, pooling):
    X, y = data
    search = GridSearchCV(quick(pooling, max_epochs=2), {"hidden": [8, None]}, cv=2).fit(X, y)
    assert clone(search.best_estimator_).get_params() == search.best_estimator_.get_params()
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    for ours, theirs in zip(again.predict(X), search.predict(X), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    stretched = again.predict(X, durations=2 * 0.64 * np.array([len(x) for x in X]))
    for ours, theirs in zip(stretched, search.predict(X), strict=True):
        np.testing.assert_allclose(ours["end"], 2 * theirs["end"])


@BOTH
def test_what_snippets_show(data, pooling):
    X, y = data
    model = quick(pooling, max_epochs=5).fit(X, y)
    attention, tcam = model.attention(X[:2]), model.class_activation(X[:2])
    assert [each.shape for each in attention] == [(len(x),) for x in X[:2]]
    assert [each.shape for each in tcam] == [(len(x), 3) for x in X[:2]]
    assert all(0 <= each.min() <= each.max() <= 1 for each in [*attention, *tcam])
    if pooling == "topk":
        np.testing.assert_allclose(attention[0], tcam[0].max(axis=1), rtol=1e-6)
