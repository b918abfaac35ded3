"""A localizer takes times from features that say how they were made, and refuses others."""

import copy
import pickle

import numpy as np
import pytest

from skdgam import DGAMLocalizer, MultiStreamLocalizer, load
from skdgam.clock import SnippetClock
from skdgam.datasets import make_untrimmed


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
    with pytest.warns(UserWarning, match=r"snippet_seconds=1 .* features were made with 0\.5"):
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
