"""Folds that are balanced over classes, and scorers."""

import pickle

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skdgam import DGAMLocalizer, MultiStreamLocalizer
from skdgam.datasets import make_untrimmed
from skdgam.intervals import make_intervals
from skdgam.metrics import mean_average_precision
from skdgam.model_selection import (
    WeakLabelKFold,
    localization_scorer,
    separability_scorer,
    video_level_scorer,
    weak_label_scorer,
)
from skdgam.preprocessing import SnippetTransformer

SORTED = ["run"] * 12 + ["jump"] * 8 + [[]] * 6


@pytest.fixture(scope="module")
def data():
    return make_untrimmed(n_videos=18, n_classes=2, n_features=(5, 4), random_state=0)


def labels_of(y):
    return [sorted(set(video["label"].tolist())) for video in y]


def make(**params):
    return DGAMLocalizer(max_epochs=5, latent_dim=4, learning_rate=1e-2, random_state=0, **params)


# --- folds ---


def folds(cv, y, groups=None):
    return [test.tolist() for _, test in cv.split(np.zeros(len(y)), y, groups)]


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_fold_of_a_sorted_list_has_its_share_of_each_class(shuffle):
    random_state = 0 if shuffle else None
    cv = WeakLabelKFold(4, shuffle=shuffle, random_state=random_state)
    for test in folds(cv, SORTED):
        shown = [str(SORTED[i]) for i in test]
        assert shown.count("run") == 3
        assert shown.count("jump") == 2
        assert shown.count("[]") in (1, 2)


def test_folds_part_the_videos():
    splits = list(WeakLabelKFold(5, random_state=0).split(SORTED, SORTED))
    assert len(splits) == WeakLabelKFold(5).get_n_splits() == 5
    assert sorted(np.concatenate([test for _, test in splits])) == list(range(len(SORTED)))
    for train, test in splits:
        assert sorted([*train, *test]) == list(range(len(SORTED)))


def test_groups_stay_in_one_fold():
    groups = np.arange(len(SORTED)) % 7
    for test in folds(WeakLabelKFold(3, random_state=0), SORTED, groups):
        inside = set(groups[test])
        assert all(i in test for i in range(len(SORTED)) if groups[i] in inside)


def test_folds_are_reproducible_and_shuffled():
    first, again = (folds(WeakLabelKFold(3, random_state=0), SORTED) for _ in range(2))
    assert first == again
    assert first != folds(WeakLabelKFold(3, random_state=1), SORTED)


def test_labels_in_every_form_give_the_same_folds(data):
    _, y = data
    indicator = np.array([np.isin(["action 0", "action 1"], video["label"]) for video in y])
    forms = [
        folds(WeakLabelKFold(3, random_state=0), form) for form in (y, labels_of(y), indicator)
    ]
    assert forms[0] == forms[1] == forms[2]


def test_a_class_in_a_single_fold_is_warned_of():
    with pytest.warns(UserWarning, match="1 of 2 classes .* all their videos .* 'rare' in fold"):
        folds(WeakLabelKFold(2, random_state=0), ["rare", *["often"] * 5])


def test_a_class_without_any_video_is_not_warned_of():
    indicator = np.array([[1, 0], [1, 0], [1, 0], [1, 0]])
    assert len(folds(WeakLabelKFold(2, random_state=0), indicator)) == 2


@pytest.mark.parametrize(
    ("cv", "y", "groups", "match"),
    [
        (WeakLabelKFold(1), SORTED, None, "n_splits=1; it must be an integer of at least 2"),
        (WeakLabelKFold(2.5), SORTED, None, "n_splits=2.5; it must be an integer"),
        (WeakLabelKFold(4), ["run"] * 3, None, "n_splits=4, but there are only 3 videos"),
        (WeakLabelKFold(3), ["run"] * 4, [1, 1, 2, 2], "n_splits=3, but there are only 2 groups"),
        (WeakLabelKFold(2), ["run"] * 4, [1, 2], r"groups has shape \(2,\), but there are 4"),
        (WeakLabelKFold(2), ["run"] * 2, [[1, 2], [3, 4]], r"groups has shape \(2, 2\)"),
        (WeakLabelKFold(2), ["run"] * 2, [np.nan, 1.0], "groups contains NaN"),
    ],
)
def test_bad_splits(cv, y, groups, match):
    with pytest.raises(ValueError, match=match):
        folds(cv, y, groups)


def test_labels_of_another_number_of_videos():
    with pytest.raises(ValueError, match="y has 26 entries, but there are 4 videos"):
        next(WeakLabelKFold(2).split(np.zeros(4), SORTED))


@pytest.mark.parametrize("routing", [False, True])
def test_groups_reach_the_splitter_of_a_search(data, routing):
    X, y = data
    groups = np.arange(len(X)) % 3
    with config_context(enable_metadata_routing=routing):
        search = GridSearchCV(make(), {"alpha": [0.03]}, cv=WeakLabelKFold(3), scoring=held_out)
        search.fit(X, y, groups=groups)
    assert [search.cv_results_[f"split{k}_test_score"][0] for k in range(3)] == [6, 6, 6]


def held_out(estimator, X, y):
    return len(X)


# --- scorers ---


@pytest.fixture(scope="module")
def fitted(data):
    return make().fit(*data)


def test_localization_scorer_is_the_mean_of_map_over_thresholds(data, fitted):
    X, y = data
    thresholds = [0.1, 0.3]
    expected = mean_average_precision(y, fitted.predict(X), thresholds).mean()
    assert localization_scorer(thresholds)(fitted, X, y) == pytest.approx(expected)


def test_localization_scorer_takes_intervals_by_metadata_routing(data):
    X, y = data
    cv = WeakLabelKFold(3, random_state=0)
    with config_context(enable_metadata_routing=True):
        scorer = localization_scorer(0.1).set_score_request(intervals=True)
        routed = cross_validate(
            make(), X, labels_of(y), cv=cv, scoring=scorer, params={"intervals": y}
        )
    direct = cross_validate(make(), X, y, cv=cv, scoring=localization_scorer(0.1))
    np.testing.assert_array_equal(routed["test_score"], direct["test_score"])


def test_video_level_scorer_is_macro_average_precision(data, fitted):
    X, y = data
    indicator = np.array([np.isin(fitted.classes_, video["label"]) for video in y])
    per_class = [
        average_precision_score(column, probability)
        for column, probability in zip(indicator.T, fitted.predict_proba(X).T, strict=True)
    ]
    for form in (y, labels_of(y)):
        assert video_level_scorer(fitted, X, form) == pytest.approx(np.mean(per_class))


def test_video_level_scorer_needs_a_fitted_model(data):
    with pytest.raises(NotFittedError, match="not fitted"):
        video_level_scorer(make(), *data)


def test_localization_scorer_checks_its_thresholds():
    with pytest.raises(ValueError, match="tiou_thresholds must be one or more numbers"):
        localization_scorer(1.5)


def test_video_level_scorer_leaves_classes_out_that_do_not_occur(data, fitted):
    X, _ = data
    labels = ["action 1", [], "action 1", []]
    expected = average_precision_score([1, 0, 1, 0], fitted.predict_proba(X[:4])[:, 1])
    assert video_level_scorer(fitted, X[:4], labels) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (["swim", []], r"y\[0\] has the label 'swim', but the model knows nothing but 'action 0'"),
        ([[], []], "y has no label for any video, so that there is no class to score"),
    ],
)
def test_video_level_scorer_refuses(data, fitted, y, match):
    with pytest.raises(ValueError, match=match):
        video_level_scorer(fitted, data[0][:2], y)


class Finds(BaseEstimator):
    """A localizer that finds in every video what it is given, times in snippets."""

    def __init__(self, intervals):
        self.intervals = intervals
        self.classes_ = np.array(["jump", "run"])

    def fit(self, X, y):
        raise NotImplementedError

    def predict(self, X, durations):
        assert durations.tolist() == [len(x) for x in X]
        start, end, label, score = (list(column) for column in zip(*self.intervals, strict=True))
        found = np.empty(len(X), dtype=object)
        for i in range(len(X)):
            found[i] = make_intervals(start, end, label, score)
        return found


JUMP, RUN = (2, 6, "jump", 0.9), (12, 18, "run", 0.8)


@pytest.fixture
def obvious():
    """Twelve videos of 20 snippets: a jump in 2 to 6, a run in 12 to 18."""
    rng = np.random.default_rng(0)
    X = rng.normal(0, 0.01, (12, 20, 3))
    X[:, 2:6, 0] += 1
    X[:, 12:18, 1] += 1
    return X, [["jump", "run"]] * 12


def test_detections_that_end_where_features_change_separate_best(obvious):
    assert separability_scorer(Finds([JUMP, RUN]), *obvious) == pytest.approx(1)
    for jump in ((4, 8), (0, 8), (3, 5)):
        shifted = Finds([(*jump, "jump", 0.9), RUN])
        assert separability_scorer(shifted, *obvious) < 0.95


def test_the_better_detection_decides_about_a_snippet(obvious):
    over = (0, 20, "run", 0.1)
    assert separability_scorer(Finds([JUMP, RUN, over]), *obvious) < 0.95
    under = [(0, 20, "jump", 0.1), (0, 2, "run", 0.2), (6, 12, "run", 0.2), (18, 20, "run", 0.2)]
    found = [JUMP, (12, 18, "jump", 0.9)]  # all snippets have a class: no background
    assert separability_scorer(Finds([*under, *found]), *obvious) == pytest.approx(2 / 3, abs=0.02)


def test_detections_of_what_a_video_does_not_show_are_passed_over(obvious):
    X, _ = obvious
    X[:, 12:18, 1] -= 1
    labels = [["jump"]] * 12
    assert separability_scorer(Finds([JUMP, RUN]), X, labels) == pytest.approx(1)


def test_a_class_that_is_never_found_counts_nothing(obvious):
    # Background has the runs in it, and is still told from jumps.
    assert separability_scorer(Finds([JUMP]), *obvious) == pytest.approx(2 / 3, abs=0.02)
    nothing = Finds([(30, 31, "jump", 0.1)])
    assert separability_scorer(nothing, *obvious) == 0


def test_a_class_that_is_found_in_one_snippet_counts_nothing(obvious):
    class FindsOnce(Finds):
        def predict(self, X, durations=None):
            found = super().predict(X, durations)
            found[1:] = [detections[detections["label"] == "jump"] for detections in found[1:]]
            return found

    finds = FindsOnce([JUMP, (12, 13, "run", 0.9)])
    assert separability_scorer(finds, *obvious) == pytest.approx(2 / 3, abs=0.02)


def test_separability_does_not_depend_on_the_scale_of_features(data):
    X, y = data
    pipeline = make_pipeline(SnippetTransformer(StandardScaler()), make()).fit(X, y)
    scaled = pipeline[:-1].transform(X)
    assert separability_scorer(pipeline, X, y) == separability_scorer(pipeline[-1], scaled, y)


def test_weak_label_scorer_is_the_product_of_both(data, fitted):
    X, y = data
    product = separability_scorer(fitted, X, y) * video_level_scorer(fitted, X, y)
    assert weak_label_scorer(fitted, X, y) == product > 0


def test_separability_scorer_refuses(data, fitted):
    X, y = data
    with pytest.raises(NotFittedError, match="not fitted"):
        separability_scorer(make(), X, y)
    with pytest.raises(ValueError, match="needs two videos or more"):
        separability_scorer(fitted, X[:1], y[:1])
    with pytest.raises(ValueError, match="has the label 'swim'"):
        separability_scorer(fitted, X[:2], ["swim", []])


def test_several_scorers_in_one_search_of_pipelines_in_processes(data):
    X, y = data
    scoring = {"mAP@0.1": localization_scorer(0.1), "video": video_level_scorer}
    pipeline = make_pipeline(FunctionTransformer(), make())
    grid = {"dgamlocalizer__alpha": [0.01, 0.1]}
    cv = WeakLabelKFold(2, random_state=0)
    search = GridSearchCV(pipeline, grid, cv=cv, scoring=scoring, refit="video", n_jobs=2)
    search.fit(X, y)
    assert search.cv_results_["mean_test_mAP@0.1"].shape == (2,)
    assert search.best_score_ == search.cv_results_["mean_test_video"].max()


def test_scorers_take_several_streams(data):
    X, y = data
    streams = [("rgb", make(), slice(0, 5)), ("flow", make(), slice(5, 9))]
    model = MultiStreamLocalizer(streams).fit(X, y)
    assert 0 <= localization_scorer()(model, X, y) <= 1
    assert 0 <= video_level_scorer(model, X, y) <= 1
    assert 0 <= separability_scorer(model, X, y) <= 1


def test_scorers_pickle(data, fitted):
    for scorer in (localization_scorer(0.3), weak_label_scorer):
        copied = pickle.loads(pickle.dumps(scorer))
        assert copied(fitted, *data) == scorer(fitted, *data)


def test_videos_are_searched_once_for_several_thresholds(data):
    class Counting(BaseEstimator):
        n_calls = 0

        def predict(self, X):
            Counting.n_calls += 1
            return fitted_once.predict(X)

        def fit(self, X, y):
            return self

    fitted_once = make().fit(*data)
    scoring = {str(t): localization_scorer(t) for t in (0.1, 0.3, 0.5)}
    cross_validate(Counting(), *data, cv=2, scoring=scoring)
    assert Counting.n_calls == 2


def test_separability_needs_a_label(obvious):
    X, y = obvious
    with pytest.raises(ValueError, match="no label for any video, so that there is no action"):
        separability_scorer(Finds([JUMP, RUN]), X, [[] for _ in y])


def test_separability_tells_of_a_class_in_one_video(obvious):
    X, _ = obvious
    with pytest.warns(UserWarning, match="'run' occurs in one video only"):
        separability_scorer(Finds([JUMP, RUN]), X[:2], [["jump", "run"], ["jump"]])
