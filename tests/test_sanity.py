"""Warnings of trainings that cannot come to any good, and silence about those that can."""

import warnings

import numpy as np
import pytest
import torch

from skdgam import DGAMLocalizer
from skdgam._features import check_features
from skdgam._sanity import warn_of_attention, warn_of_scale
from skdgam.datasets import make_untrimmed
from skdgam.networks import DGAM


@pytest.fixture(scope="module")
def data():
    return make_untrimmed(n_videos=24, n_classes=2, n_features=8, random_state=0)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_features_of_another_order_are_told_with_their_statistics(data, scale):
    X = [scale * x for x in data[0]]
    rms = np.sqrt(np.mean(np.square(np.concatenate(X)), axis=0))
    told = rf"square of .* \(feature {rms.argmax()} the largest, .*SnippetTransformer\(StandardSc"
    with pytest.warns(UserWarning, match=told) as caught:
        DGAMLocalizer(max_epochs=1, random_state=0).fit(X, data[1])
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
    model = DGAMLocalizer(random_state=0)
    with pytest.warns(UserWarning, match="square of"):
        model.partial_fit(X, data[1])
    model.partial_fit(X, data[1])


def test_a_fit_that_made_attention_vanish_says_so(data):
    model = DGAMLocalizer(learning_rate=0.2, max_epochs=20, random_state=0)
    with pytest.warns(UserWarning, match="near 0 everywhere in 100% .* Lower learning_rate, raise"):
        model.fit(*data)


def network_of(logit):
    """A network whose attention is the sigmoid of some logit, or of the only feature."""
    network = DGAM(1, 1, latent_dim=1)
    first, _, second = network.attention_head
    weight = 1.0 if logit is None else 0.0
    with torch.no_grad():
        first.weight.fill_(weight / len(first.weight))
        first.bias.fill_(0.0)
        second.weight.fill_(weight)
        second.bias.fill_(logit or 0.0)
    return network


@pytest.mark.parametrize(
    ("logit", "match"), [(-9.0, "near 0 .* pooling='released'"), (9.0, "near 1 .* raise alpha")]
)
def test_attention_near_0_or_1_everywhere_is_told(logit, match):
    with pytest.warns(UserWarning, match=match):
        warn_of_attention(network_of(logit), check_features(np.ones((3, 5, 1))), np.ones((3, 1)))


def test_attention_is_judged_in_videos_that_have_a_label():
    # Attention is 0.99 in the action of two videos; two others are background and 0.5 at most.
    videos = check_features([[[0.0], [5.0]], [[5.0], [0.0]], [[9.0]], [[9.0]]])
    is_labelled = np.array([[1], [1], [0], [0]], dtype=bool)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_attention(network_of(None), videos, is_labelled)
    with pytest.warns(UserWarning, match="near 1 everywhere in 100%"):
        warn_of_attention(network_of(None), videos, ~is_labelled)
