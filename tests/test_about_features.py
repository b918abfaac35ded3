"""A localizer takes times from features that say how they were made, and refuses others."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdgam import DGAMLocalizer, MultiStreamLocalizer, load
from skdgam._features import Features
from skdgam.clock import SnippetClock
from skdgam.datasets import make_untrimmed
from skdgam.preprocessing import SnippetTransformer


class Made:
    """Features of a source that says how they were made, as a FeatureFolder does."""

    ndim = 1

    def __init__(self, X, seconds=0.5, offset=0.25, **settings):
        self.X, self.shape = X, (len(X),)
        extractor = [{"class": "VideoFeatures", "hop": 16} | settings]
        times = {"snippet_seconds": seconds, "snippet_offset": offset}
        self.about = {"extractor": extractor, **times}

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i]


@pytest.fixture(scope="module")
def data():
    return make_untrimmed(n_videos=8, n_classes=2, n_features=6, random_state=0)


@pytest.fixture(scope="module")
def model_of_made(data):
    X, y = data
    return DGAMLocalizer(max_epochs=2, random_state=0).fit(Made(X), y)


def test_times_are_those_that_features_were_made_with(data, model_of_made):
    X, y = data
    assert model_of_made.clock == SnippetClock(0.5, 0.25)
    plain = DGAMLocalizer(max_epochs=2, random_state=0).fit(X, y)
    assert plain.clock == SnippetClock(0.64, 0.0)
    by_hand = DGAMLocalizer(
        max_epochs=2, random_state=0, snippet_seconds=0.5, snippet_offset=0.25
    ).fit(X, y)
    for told, set_ in zip(model_of_made.predict(X), by_hand.predict(X), strict=True):
        np.testing.assert_array_equal(told, set_)


def test_times_that_are_set_go_before_those_told_and_are_warned_of(data):
    X, y = data
    model = DGAMLocalizer(max_epochs=1, random_state=0, snippet_seconds=1.0)
    with pytest.warns(UserWarning, match=r"taken for 1 s.* made with snippet_seconds=0\.5"):
        model.fit(Made(X), y)
    assert model.clock == SnippetClock(1.0, 0.25)


def test_features_made_otherwise_are_refused(data, model_of_made):
    X, y = data
    model_of_made.predict(Made(X))
    for use in (model_of_made.predict, model_of_made.attention, model_of_made.predict_proba):
        with pytest.raises(ValueError, match=r"made otherwise.*hop=16, and here it is 8"):
            use(Made(X, hop=8))
    with pytest.raises(ValueError, match="made otherwise"):
        model_of_made.score(Made(X, hop=8), y)
    with pytest.raises(ValueError, match="made otherwise"):
        copy.deepcopy(model_of_made).partial_fit(Made(X, hop=8), y)


def test_a_model_that_does_not_know_is_told_of_other_times(data):
    X, y = data
    plain = DGAMLocalizer(max_epochs=1, random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match=r"taken for 0\.64 s.* snippet_seconds=0\.5"):
        plain.predict(Made(X))
    plain.predict(Made(X, seconds=0.64, offset=0.0))


def test_lists_of_features_know_how_they_were_made(data):
    X, y = data
    made = Features(X, Made(X).about)
    for part in (made[:6], made[np.arange(6)], made[np.arange(8) < 6], made[[0, 1, 2, 3, 4, 5]]):
        assert part.about == made.about
        assert len(part) == part.shape[0] == 6
        np.testing.assert_array_equal(part[5], X[5])
    assert isinstance(made[0], np.ndarray)
    assert pickle.loads(pickle.dumps(made)).about == made.about
    model = DGAMLocalizer(max_epochs=1, random_state=0)
    assert clone(model).fit(made, y).clock == SnippetClock(0.5, 0.25)
    scaled = make_pipeline(SnippetTransformer(StandardScaler()), model).fit(made, y)
    assert scaled[-1].clock == SnippetClock(0.5, 0.25)


def test_folds_of_features_keep_their_times(data):
    X, y = data
    found = cross_validate(
        DGAMLocalizer(max_epochs=1, random_state=0),
        Features(X, Made(X, seconds=2.0).about),
        y,
        cv=2,
        return_estimator=True,
    )
    assert [model.clock.seconds for model in found["estimator"]] == [2.0, 2.0]


def test_a_file_and_a_pickle_keep_how_features_were_made(tmp_path, model_of_made):
    model_of_made.save(tmp_path / "model.skdgam")
    for again in (load(tmp_path / "model.skdgam"), pickle.loads(pickle.dumps(model_of_made))):
        assert again.about_features_ == model_of_made.about_features_
        assert again.clock == SnippetClock(0.5, 0.25)


def test_streams_have_the_times_of_their_features(data):
    X, y = data
    streams = [(name, DGAMLocalizer(max_epochs=1, random_state=0), [0, 1, 2]) for name in "ab"]
    model = MultiStreamLocalizer(streams).fit(Made(X), y)
    assert model.clock == SnippetClock(0.5, 0.25)
    with pytest.raises(ValueError, match="made otherwise"):
        model.predict(Made(X, hop=8))


def test_a_later_training_on_plain_features_keeps_what_is_known(data, model_of_made):
    X, y = data
    again = copy.deepcopy(model_of_made).partial_fit(X, y)
    assert again.clock == SnippetClock(0.5, 0.25)
    again = copy.deepcopy(model_of_made).fit(X, y)
    assert again.clock == SnippetClock(0.64, 0.0)
