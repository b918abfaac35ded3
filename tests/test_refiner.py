"""ProposalRefiner: a localizer, and a scorer of what it finds."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

import skdgam
from skdgam import DGAMLocalizer, MultiStreamLocalizer, ProposalRefiner
from skdgam.datasets import make_untrimmed
from skdgam.intervals import soft_non_maximum_suppression
from skdgam.methods import MILLocalizer, ProposalScorer
from skdgam.model_selection import video_level_scorer


@pytest.fixture(scope="module")
def data():
    return make_untrimmed(n_videos=16, n_classes=3, n_features=(6, 9), random_state=0)


def localizer(**params):
    return DGAMLocalizer(**({"n_starts": 1, "max_epochs": 5, "random_state": 0} | params))


def scorer(**params):
    return ProposalScorer(**({"max_epochs": 3, "random_state": 0} | params))


@pytest.fixture(scope="module")
def fitted(data):
    return ProposalRefiner(localizer(), scorer()).fit(*data)


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def unsuppressed(model, X):
    return copy.copy(model).set_params(nms_threshold=1.0).predict(X)


def test_the_localizer_is_what_it_is_alone(data, fitted):
    alone = localizer().fit(*data)
    assert_same(fitted.localizer_.predict(data[0]), alone.predict(data[0]))
    np.testing.assert_array_equal(fitted.predict_proba(data[0]), alone.predict_proba(data[0]))
    assert_same(fitted.attention(data[0]), alone.attention(data[0]))
    assert_same(fitted.class_activation(data[0]), alone.class_activation(data[0]))
    assert fitted.clock == alone.clock
    assert not hasattr(fitted.localizer, "classes_")  # what was passed in stays unfitted
    assert not hasattr(fitted.scorer, "classes_")


def test_intervals_and_classes_are_those_of_the_localizer(data, fitted):
    proposals = unsuppressed(fitted.localizer_, data[0])
    for found, given in zip(fitted.predict(data[0]), proposals, strict=True):
        names = ["start", "end", "label"]
        np.testing.assert_array_equal(np.sort(found[names]), np.sort(given[names]))


def test_added_scores_are_those_of_the_localizer_and_the_scorer(data, fitted):
    X = data[0][:3]
    model = copy.copy(fitted).set_params(scorer_weight=0.5)
    scaled = [(x - fitted.mean_) / fitted.scale_ for x in X]
    for video, given, found in zip(
        scaled, unsuppressed(fitted.localizer_, X), model.predict(X), strict=True
    ):
        start, end = (fitted.clock.to_snippets(given[edge]) for edge in ("start", "end"))
        rows = [skdgam.methods.pmil.describe_proposals(video, start, end)]
        (tcam,), (attention,) = (
            fitted.scorer_.class_activation(rows),
            fitted.scorer_.attention(rows),
        )
        (activation,) = fitted.scorer_._of_rows(rows)
        completeness = activation.tcam[:, -3]
        columns = np.searchsorted(fitted.classes_, given["label"])
        given["score"] += 0.5 * tcam[np.arange(len(given)), columns] * attention * completeness
        expected = soft_non_maximum_suppression(given, margin=0.64)
        np.testing.assert_allclose(np.sort(found["score"]), np.sort(expected["score"]), atol=1e-5)


def test_replaced_scores_are_of_each_class_of_the_video(data, fitted):
    model = copy.copy(fitted).set_params(scorer_weight=None)
    proposals = unsuppressed(fitted.localizer_, data[0])
    for found, given in zip(model.predict(data[0]), proposals, strict=True):
        classes = np.unique(found["label"])
        assert len(found) == len(classes) * len(given)
        for label in classes:
            starts = np.sort(found["start"][found["label"] == label])
            np.testing.assert_array_equal(starts, np.sort(given["start"]))


def test_a_frozen_localizer_is_taken_as_it_is(data, fitted):
    frozen = ProposalRefiner(FrozenEstimator(fitted.localizer_), scorer())
    model = clone(frozen).fit(*data)
    assert model.localizer_ is fitted.localizer_
    assert_same(model.predict(data[0]), fitted.predict(data[0]))


def test_a_frozen_localizer_must_be_fitted(data):
    with pytest.raises(NotFittedError):
        ProposalRefiner(FrozenEstimator(localizer()), scorer()).fit(*data)


def test_a_frozen_localizer_of_other_classes(data, fitted):
    X, y = data
    y = [[(start, end, f"new {label}") for start, end, label in video.tolist()] for video in y]
    model = ProposalRefiner(FrozenEstimator(fitted.localizer_), scorer())
    with pytest.raises(ValueError, match="frozen localizer knows the classes"):
        model.fit(X, y)
    assert not hasattr(model, "localizer_")


def test_several_streams(data, tmp_path):
    streams = [("rgb", localizer(), slice(0, 6)), ("flow", localizer(), slice(6, 15))]
    model = ProposalRefiner(MultiStreamLocalizer(streams), scorer(streams=(6, 9))).fit(*data)
    assert_same(clone(model).fit(*data).predict(data[0]), model.predict(data[0]))
    model.save(tmp_path / "model")
    assert_same(skdgam.load(tmp_path / "model").predict(data[0]), model.predict(data[0]))


@pytest.mark.parametrize("is_frozen", [False, True])
def test_files_hold_all_of_it(data, fitted, tmp_path, is_frozen):
    model = copy.copy(fitted)
    if is_frozen:
        model.localizer = FrozenEstimator(fitted.localizer_)
    model.save(tmp_path / "model")
    loaded = skdgam.load(tmp_path / "model")
    assert isinstance(loaded.localizer, FrozenEstimator) == is_frozen
    assert_same(loaded.predict(data[0]), fitted.predict(data[0]))
    assert_same(clone(loaded).fit(*data).predict(data[0]), fitted.predict(data[0]))


def test_a_scorer_has_files_of_its_own(fitted, tmp_path):
    fitted.scorer_.save(tmp_path / "scorer")
    assert isinstance(skdgam.load(tmp_path / "scorer"), ProposalScorer)


def test_pickles(data, fitted):
    loaded = pickle.loads(pickle.dumps(fitted))
    assert_same(loaded.predict(data[0]), fitted.predict(data[0]))


def test_parameters_of_both_are_searched(data):
    X, y = data
    labels = [set(video["label"]) for video in y]
    grid = {"localizer__max_epochs": [2, 3], "scorer__hidden": [4]}
    model = ProposalRefiner(localizer(), scorer())
    search = GridSearchCV(model, grid, cv=2, scoring=video_level_scorer).fit(X, labels)
    best = search.best_estimator_
    assert best.localizer_.n_epochs_ == search.best_params_["localizer__max_epochs"]
    assert best.scorer_.architecture_["hidden"] == 4


def test_durations_stretch_what_is_found(data, fitted):
    X = data[0][:2]
    twice = [2 * 0.64 * len(x) for x in X]
    for found, longer in zip(fitted.predict(X), fitted.predict(X, twice), strict=True):
        np.testing.assert_allclose(2 * found["end"], longer["end"])
        np.testing.assert_allclose(found["score"], longer["score"], atol=1e-6)


class FindsNothingAtFirst(MILLocalizer):
    """A localizer that finds nothing in the first so many videos."""

    n_empty: int = 1

    def _detect(self, videos, clocks):
        for i, found in enumerate(super()._detect(videos, clocks)):
            yield found[:0] if i < self.n_empty else found


def test_videos_without_proposals_count_for_nothing_and_have_no_detections(data):
    X, y = data
    model = ProposalRefiner(FindsNothingAtFirst(max_epochs=3, random_state=0), scorer())
    labels = [{"only here"}, *(set(video["label"]) for video in y[1:])]
    found = model.fit(X, labels).predict(X)
    assert len(found[0]) == 0
    assert all(map(len, found[1:]))
    assert "only here" in model.classes_


def test_no_proposals_at_all(data):
    method = FindsNothingAtFirst(n_empty=16, max_epochs=3, random_state=0)
    with pytest.raises(ValueError, match="finds nothing in any of the 16 videos; train it longer"):
        ProposalRefiner(method, scorer()).fit(*data)


def test_weights_reach_both(data):
    X, y = data
    weights = [0.0] * 4 + [1.0] * 12
    model = ProposalRefiner(localizer(standardize=False), scorer(standardize=False))
    weighted, without = clone(model).fit(X, y, sample_weight=weights), model.fit(X[4:], y[4:])
    for part in ("localizer_", "scorer_"):
        one, other = (getattr(refiner, part).weights_ for refiner in (weighted, without))
        assert one.keys() == other.keys()
        assert_same(one.values(), other.values())


def test_a_training_goes_on_from_its_checkpoints(data, fitted, tmp_path):
    path = tmp_path / "checkpoint"
    model = ProposalRefiner(localizer(), scorer()).fit(*data, checkpoint=path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "checkpoint.localizer",
        "checkpoint.scorer",
    ]
    again = clone(model).fit(*data, checkpoint=path)
    for refined in (model, again):
        assert_same(refined.predict(data[0]), fitted.predict(data[0]))


def test_names_of_videos_reach_labels(data, fitted):
    X, y = data
    names = [f"v{i}" for i in range(16)]
    named = ProposalRefiner(localizer(), scorer()).fit(
        dict(zip(names, X, strict=True)), dict(zip(names[::-1], y[::-1], strict=True))
    )
    assert_same(named.predict(X), fitted.predict(X))


def test_what_is_no_localizer(data):
    with pytest.raises(ValueError, match="'localizer' parameter of ProposalRefiner"):
        ProposalRefiner("dgam").fit(*data)


def test_a_frozen_localizer_of_other_features_is_told(data):
    frozen = FrozenEstimator(MILLocalizer(max_epochs=1, random_state=0).fit(*data))
    with pytest.raises(ValueError, match="features"):
        ProposalRefiner(frozen).fit([x[:, :2] for x in data[0]], data[1])


def test_no_refiner_refines_another(data):
    inner = ProposalRefiner(MILLocalizer(max_epochs=1, random_state=0))
    with pytest.raises(ValueError, match="The 'localizer' parameter"):
        ProposalRefiner(inner).fit(*data)
