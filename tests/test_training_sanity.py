"""Warnings of trainings that cannot come to any good, and silence about those that can."""

import warnings

import numpy as np
import pytest

from skdgam import DGAMLocalizer, base
from skdgam._features import check_features
from skdgam.datasets import make_untrimmed
from skdgam.presets import PAPER
from skdgam.training.sanity import (
    some_snippets,
    warn_of_attention,
    warn_of_few_steps,
    warn_of_scale,
)


@pytest.fixture(scope="module")
def data():
    return make_untrimmed(n_videos=24, n_classes=2, n_features=8, random_state=0)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_features_of_another_order_are_told_with_their_statistics(data, scale):
    X = [scale * x for x in data[0]]
    rms = np.sqrt(np.mean(np.square(np.concatenate(X)), axis=0))
    told = rf"square of .* \(feature {rms.argmax()} the largest, .*Set standardize=True"
    with pytest.warns(UserWarning, match=told) as caught:
        DGAMLocalizer(standardize=False, max_epochs=1, precision="float32", random_state=0).fit(
            X, data[1]
        )
    assert len(caught) == 1


@pytest.mark.parametrize("offset", [1e6, 1e8])
def test_features_that_float32_keeps_no_digits_of(data, offset):
    X = [x + np.array([offset, *[0] * (x.shape[1] - 1)]) for x in data[0]]
    model = DGAMLocalizer(max_epochs=1, precision="float32", random_state=0)
    told = r"Feature 0 has a mean of 1e\+0[68] .* \(1 such features\); in float32"
    with pytest.warns(UserWarning, match=told) as caught:
        model.fit(X, data[1])
    assert len(caught) == 1


def test_root_mean_square_by_hand():
    X = check_features([np.array([[0.0, 60.0], [0.0, 80.0]]), np.zeros((9, 2))])
    # Mean squares of the first video are 0 and 5000, of both 0 and 2500, of all 1250.
    with pytest.warns(UserWarning, match=r"of 35 \(feature 1 the largest, 50; median 25\)"):
        warn_of_scale(X)


@pytest.mark.parametrize("scale", [0.3, 1, 10])
def test_features_of_the_usual_scale_are_fine(data, scale):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_scale(check_features([scale * x for x in data[0]]))


def test_features_are_judged_once_where_training_begins(data):
    X = [100 * x for x in data[0]]
    model = DGAMLocalizer(standardize=False, precision="float32", random_state=0)
    with pytest.warns(UserWarning, match="square of"):
        model.partial_fit(X, data[1])
    model.partial_fit(X, data[1])


def test_a_fit_that_made_attention_vanish_says_so(data):
    model = DGAMLocalizer(
        **PAPER | {"learning_rate": 0.2, "max_epochs": 20}, precision="float32", random_state=0
    )
    with pytest.warns(UserWarning, match="near 0 everywhere in 100% .* Lower learning_rate, or tr"):
        model.fit(*data)


REMEDIES = {0: "raise gamma2", 1: "raise alpha"}


def silent(attention):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_attention([np.array(of_video) for of_video in attention], REMEDIES)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.05, "near 0 everywhere in 100% of .* Lower learning_rate, or raise gamma2.$"),
        (0.95, "near 1 everywhere in 100% of .* Lower learning_rate, or raise alpha.$"),
    ],
)
def test_attention_near_0_or_1_everywhere_is_told_with_its_remedy(value, told):
    with pytest.warns(UserWarning, match=told):
        warn_of_attention([np.full(5, value)] * 3, REMEDIES)


def test_attention_that_is_high_somewhere_and_low_somewhere_is_fine():
    silent([[0.01, 0.99, 0.01]] * 3)


def test_attention_in_between_is_fine():
    silent([[0.5, 0.5]] * 3)


def test_attention_may_vanish_in_half_of_the_videos():
    silent([[0.01, 0.01], [0.01, 0.9]])


def test_attention_that_vanishes_in_most_videos_is_told():
    attention = [np.array(of_video) for of_video in ([0.01, 0.01], [0.01, 0.05], [0.01, 0.9])]
    with pytest.warns(UserWarning, match="near 0 everywhere in 67% of the videos"):
        warn_of_attention(attention, REMEDIES)


def test_attention_is_judged_in_videos_that_have_a_label(data, monkeypatch):
    judged = []
    monkeypatch.setattr(base, "warn_of_attention", lambda attention, _: judged.append(attention))
    X, y = list(data[0][:6]), [list(labels) for labels in data[1][:6]]
    y[1] = y[4] = []
    X[1] = np.concatenate([X[1]] * 3)
    model = DGAMLocalizer(max_epochs=1, precision="float32", random_state=0).fit(X, y)
    (attention,) = judged
    labelled = [X[i] for i in (0, 2, 3, 5)]
    for ours, theirs in zip(attention, model.attention(labelled), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_looked_at_are_the_middles_of_videos_evenly_spaced():
    videos = check_features([np.arange(i, i + 1000.0)[:, None] for i in range(200)])
    found = list(some_snippets(videos))
    assert {video.shape for video in found} == {(512, 1)}
    firsts = [int(video[0, 0]) - 244 for video in found]  # 244 are before the middle, and behind
    assert len(firsts) == 32
    assert (firsts[0], firsts[-1]) == (0, 199)
    assert set(np.diff(firsts)) <= {6, 7}


def test_few_short_videos_are_looked_at_as_a_whole():
    videos = check_features([np.full((n, 1), n) for n in (3, 600, 512)])
    assert [len(video) for video in some_snippets(videos)] == [3, 512, 512]


def test_few_steps_of_many_epochs_are_told(data):
    told = "max_epochs=40 makes 40 steps on 24 videos, with 1 in an epoch; .* Leave max_epochs out"
    with pytest.warns(UserWarning, match=told):
        DGAMLocalizer(max_epochs=40, random_state=0).fit(*data)


@pytest.mark.parametrize(
    ("n_epochs", "n_videos", "batch_size"),
    [(39, 16, 16), (100, 16, 16), (100, 3, 16), (50, 39, 16), (40, 48, 16)],
)
def test_trials_and_trainings_of_enough_steps_are_fine(n_epochs, n_videos, batch_size):
    warn_of_few_steps(n_epochs, n_videos, batch_size, 100)


def test_few_steps_may_be_enough_for_the_attention_of_the_paper(data):
    DGAMLocalizer(**PAPER | {"max_epochs": 40, "latent_dim": 2}, random_state=0).fit(*data)


def test_a_single_video_is_told(data):
    with pytest.warns(UserWarning, match="X has one video.* Pass several") as caught:
        model = DGAMLocalizer(max_epochs=1, random_state=0).fit(data[0][:1], data[1][:1])
    assert len(caught) == 1
    model.partial_fit(data[0][:1], data[1][:1])  # which may get one after the other
