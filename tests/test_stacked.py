"""StackedGridSearchCV against GridSearchCV, candidate by candidate."""

import pickle

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV, GroupKFold

from skdgam import DGAMLocalizer, MultiStreamLocalizer
from skdgam._features import check_features
from skdgam._loop import train
from skdgam._stages import Objective
from skdgam._training import Schedule, Training
from skdgam._validation import check_weak_labels
from skdgam.datasets import make_untrimmed
from skdgam.model_selection import StackedGridSearchCV, WeakLabelKFold

GRID = {"alpha": [0.01, 0.3], "r": [0.5, 1.5], "eta": [0.2, 0.4]}


@pytest.fixture(scope="module")
def data():
    return make_untrimmed(n_videos=24, n_features=8, n_classes=2, random_state=0)


def localizer(**changes):
    settings = {"max_epochs": 8, "latent_dim": 4, "batch_size": 6, "precision": "float32"}
    return DGAMLocalizer(**(settings | changes), warmup_epochs=2, random_state=0)


def searches(grid, model=None, **settings):
    """The same search, stacked and one by one."""
    cv = WeakLabelKFold(2, random_state=0)
    arguments = {"estimator": model or localizer(), "param_grid": grid, "cv": cv} | settings
    return StackedGridSearchCV(**arguments), GridSearchCV(**arguments)


def assert_same_results(stacked, alone):
    assert stacked.cv_results_["params"] == alone.cv_results_["params"]
    for name in ("split0_test_score", "split1_test_score", "mean_test_score", "rank_test_score"):
        np.testing.assert_allclose(stacked.cv_results_[name], alone.cv_results_[name], atol=1e-6)
    assert stacked.best_params_ == alone.best_params_
    assert stacked.best_score_ == pytest.approx(alone.best_score_, abs=1e-6)


def test_results_are_those_of_a_grid_search(data):
    stacked, alone = (search.fit(*data) for search in searches(GRID))
    assert_same_results(stacked, alone)
    assert type(stacked.best_estimator_) is DGAMLocalizer
    ours, theirs = stacked.predict(data[0]), alone.predict(data[0])
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_extended_candidates(data):
    model = localizer(temporal_context=1, classification="sigmoid", dropout=0.3)
    stacked, alone = searches({"r": [0.5, 1.5], "dropout": [0.0, 0.3]}, model)
    assert_same_results(stacked.fit(*data), alone.fit(*data))


def test_candidates_of_several_shapes(data):
    grid = [
        {"gamma1": [0.0, 0.5], "gamma2": [0.05, 0.2]},
        {"latent_dim": [3], "pooling": ["paper"]},
    ]
    assert_same_results(*(search.fit(*data) for search in searches(grid)))


def test_each_different_training_is_done_once(data, monkeypatch):
    n_models = []
    real = Training.__init__

    def spy(self, networks, *rest):
        n_models.append(len(networks))
        real(self, networks, *rest)

    monkeypatch.setattr(Training, "__init__", spy)
    stacked, _ = searches(GRID)
    stacked.fit(*data)
    assert n_models == [4, 4, 1]  # two folds, and the final fit


def test_early_stopping_goes_alone(data):
    model = localizer(early_stopping=True, n_iter_no_change=3, validation_fraction=0.25)
    assert_same_results(*(search.fit(*data) for search in searches({"r": [0.5, 1.0]}, model)))


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite:UserWarning")
def test_a_candidate_that_diverges_leaves_the_others_alone(data):
    stacked, alone = searches({"alpha": [0.03, 1e39], "r": [1.0]}, refit=False)
    with pytest.warns(FitFailedWarning, match="diverged in epoch 1"):
        stacked.fit(*data)
    with pytest.warns(FitFailedWarning):
        alone.fit(*data)
    scores = stacked.cv_results_["mean_test_score"]
    assert np.isnan(scores).tolist() == [False, True]
    np.testing.assert_allclose(scores, alone.cv_results_["mean_test_score"])


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite:UserWarning")
@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("alpha", [0.03, -1.0], "The 'alpha' parameter"),
        ("tiou_thresholds", [0.5, [2.0]], "thresholds"),
        ("r", [1.0, 10**400], "too large"),
    ],
)
def test_a_candidate_that_is_wrong_leaves_the_others_alone(data, name, values, message):
    stacked, _ = searches({name: values}, refit=False)
    with pytest.warns(FitFailedWarning, match=message):
        stacked.fit(*data)
    assert np.isnan(stacked.cv_results_["mean_test_score"]).tolist() == [False, True]


def test_generators_begin_in_each_fit_as_they_are(data):
    states = [np.random.RandomState(seed) for seed in (1, 2)]
    grid = {"r": [0.5, 1.0], "random_state": [3, *states]}
    stacked, alone = searches(grid, refit=False)
    scores = [search.fit(*data).cv_results_["mean_test_score"] for search in (stacked, alone)]
    np.testing.assert_allclose(*scores, atol=1e-6)


def test_what_is_wrong_with_the_search_is_said_before_anything_is_trained(data, monkeypatch):
    monkeypatch.setattr(Training, "__init__", pytest.fail)
    for wrong, message in [
        ({"error_score": "nan"}, "error_score"),
        ({"scoring": "no such"}, "scoring"),
        ({"cv": 1}, "cv"),
    ]:
        with pytest.raises(ValueError, match=message):
            searches(GRID)[0].set_params(**wrong).fit(*data)


def test_scorers_and_splitters_see_what_the_user_gave(data):
    seen = []

    class Splitter(WeakLabelKFold):
        def split(self, X, y=None, groups=None):
            seen.append(type(X))
            return super().split(X, y, groups)

    def scorer(model, X, y):
        seen.extend([type(model), type(X), type(clone(model))])
        model.weights_["classifier.bias"] += 1e9  # spoils no other candidate
        return np.abs(model.weights_["classifier.bias"]).max()

    stacked, _ = searches({"eta": [0.2, 0.4]}, cv=Splitter(2), scoring=scorer, refit=False)
    stacked.fit(*data)
    assert set(seen) == {list, DGAMLocalizer}
    assert (stacked.cv_results_["mean_test_score"] < 1.5e9).all()


def test_no_model_of_a_fold_is_kept(data):
    stacked, _ = searches({"r": [0.5, 1.0]})
    stacked.fit(*data)
    assert len(pickle.dumps(stacked)) < 3 * len(pickle.dumps(stacked.best_estimator_))


def test_a_fold_of_all_videos(data):
    every = np.arange(24)
    stacked, alone = searches({"r": [0.5, 1.0]}, cv=[(every, every)])
    best = [search.fit(*data).best_estimator_ for search in (stacked, alone)]
    longer = [m.set_params(warm_start=True, max_epochs=2).fit(*data).history_ for m in best]
    np.testing.assert_allclose(longer[0]["foreground"], longer[1]["foreground"], rtol=1e-6)


def test_routed_groups(data):
    groups = np.arange(24) // 2
    with config_context(enable_metadata_routing=True):
        cv = GroupKFold(2).set_split_request(groups=True)
        model = localizer().set_score_request(durations=True)
        stacked, alone = searches({"r": [0.5, 1.0]}, model, cv=cv)
        durations = np.array([0.64 * len(x) for x in data[0]])
        for search in (stacked, alone):
            search.fit(*data, groups=groups, durations=durations)
        assert_same_results(stacked, alone)
        routing = stacked.best_estimator_.get_metadata_routing()
        assert "rows" not in routing.fit.requests


def test_processes_groups_and_no_refit(data):
    stacked, alone = searches({"r": [0.5, 1.0]}, refit=False)
    groups = np.arange(24) // 2
    alone.fit(*data, groups=groups)
    stacked.set_params(n_jobs=2).fit(*data, groups=groups)
    np.testing.assert_allclose(
        stacked.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"], atol=1e-6
    )
    assert not hasattr(stacked, "best_estimator_")


def test_other_estimators_are_refused(data):
    model = MultiStreamLocalizer([("a", localizer(), slice(0, 8))])
    with pytest.raises(TypeError, match="is a MultiStreamLocalizer, but .* use GridSearchCV"):
        StackedGridSearchCV(model, {}).fit(*data)
    with pytest.raises(TypeError, match="is a class, but .* a DGAMLocalizer"):
        StackedGridSearchCV(DGAMLocalizer, {}).fit(*data)


def test_a_search_can_be_cloned_and_fitted_again(data):
    stacked, _ = searches({"r": [0.5]})
    again = clone(stacked.fit(*data)).fit(*data)
    assert again.best_score_ == stacked.best_score_


@pytest.mark.parametrize("gamma1", [0.0, 0.5])
def test_models_in_one_operation_learn_what_each_learns_alone(data, monkeypatch, gamma1):
    videos = check_features(data[0])
    _, is_labelled = check_weak_labels(data[1], len(videos))
    objectives = [Objective(alpha=0.03, gamma1=gamma1), Objective(r=0.5, gamma1=gamma1)]

    def fit(objectives):
        model = localizer()
        training = model._start(videos.n_features, 2, objectives, model._settings(Schedule))
        return training, train(training, videos, is_labelled)

    alone = [fit([objective]) for objective in objectives]
    monkeypatch.setattr(Training, "_stacks", lambda self: [(self._weights, self.objectives)])
    together, history = fit(objectives)
    for k, (training, of_one) in enumerate(alone):
        for name, values in of_one.items():
            np.testing.assert_allclose(history[name][:, k], values[:, 0], rtol=1e-3)
        theirs = training.networks[0].state_dict()
        for name, weight in together.networks[k].state_dict().items():
            # Where a gradient is within rounding of 0, Adam's step may go either way.
            assert (weight - theirs[name]).abs().mean() < 1e-3, name
