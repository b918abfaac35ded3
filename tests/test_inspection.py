"""What attention has learned: sets of snippets by hand, and weights of two models."""

import numpy as np
import pytest

from skdgam import DGAMLocalizer
from skdgam.datasets import make_untrimmed
from skdgam.dgam import swap_attention
from skdgam.inspection import attention_statistics
from skdgam.presets import PAPER


@pytest.fixture(scope="module")
def data():
    return make_untrimmed(n_videos=20, n_classes=2, n_features=12, random_state=0)


def quick(**changes):
    return DGAMLocalizer(
        **(PAPER | {"max_epochs": 2, "latent_dim": 4, "random_state": 0} | changes)
    )


@pytest.fixture(scope="module")
def old_and_new(data):
    return quick(gamma1=0.0).fit(*data), quick(random_state=1).fit(*data)


@pytest.fixture
def by_hand():
    """A localizer that attends to snippets with x0 = 1, and whose classifier sees x1 = 1."""
    model = quick(latent_dim=1, snippet_seconds=2.0, snippet_offset=1.0)
    shapes = model._blank_network(2, 2, model._asked_architecture()).state_dict()
    weights = {name: np.zeros(tuple(value.shape), "f4") for name, value in shapes.items()}
    weights["attention_head.0.weight"][0, 0] = 1.0
    weights["attention_head.2.weight"][0, 0] = 20.0
    weights["attention_head.2.bias"][:] = -10.0
    weights["classifier.weight"][0, 1] = 20.0
    return model._set_weights(np.array(["jump", "run"]), weights, n_features=2)


# Middles are at 2, 4, … seconds; the second video has no action.
#       att |  xx x  |   | x
#       cls |   xxx  |   | xx
#        gt | xxx  x |   |
X = [
    np.array([[0, 0], [1, 0], [1, 1], [0, 1], [1, 1], [0, 0]], dtype=float),
    np.array([[1, 1], [0, 1]], dtype=float),
]
Y = [[(1, 6.5, "jump"), (11.5, 12.5, "run")], []]


def test_sets_of_snippets_by_hand(by_hand):
    statistics = attention_statistics(by_hand, X, Y)
    assert statistics == {
        "false_attention": 2 / 4,
        "missed_attention": 2 / 4,
        "filtered": 2 / 4,
        "recovered": 1 / 4,
    }


def test_the_threshold_is_of_attention_and_classes(by_hand):
    statistics = attention_statistics(by_hand, X, Y, threshold=0.0)  # all is above it
    assert statistics == {
        "false_attention": 4 / 4,
        "missed_attention": 0.0,
        "filtered": 0.0,
        "recovered": 0.0,
    }


def test_an_interval_holds_its_start_and_not_its_end(by_hand):
    statistics = attention_statistics(by_hand, X[:1], [[(4, 6, "jump")]])
    assert statistics.missed_attention == 0.0
    assert statistics.false_attention == 2.0


def test_statistics_need_actions(by_hand):
    with pytest.raises(ValueError, match="No snippet of X has its middle in an action"):
        attention_statistics(by_hand, X, [[(2.5, 3.5, "jump")], []])
    with pytest.raises(ValueError, match="2 videos"):
        attention_statistics(by_hand, X, Y[:1])


def test_attention_is_of_one_model_and_classes_of_the_other(data, old_and_new):
    old, new = old_and_new
    swapped = swap_attention(old, new)
    for one, other in zip(swapped.attention(data[0]), new.attention(data[0]), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(
        swapped.class_activation(data[0]), old.class_activation(data[0]), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert swapped.get_params() == old.get_params()


def test_a_model_swapped_with_itself_finds_the_same(data, old_and_new):
    old, _ = old_and_new
    for one, other in zip(
        swap_attention(old, old).predict(data[0]), old.predict(data[0]), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_the_two_stay_as_they_are(data, old_and_new):
    old, new = old_and_new
    before = {name: value.copy() for name, value in (old.weights_ | new.weights_).items()}
    swap_attention(old, new).partial_fit(*data)
    for name, value in (old.weights_ | new.weights_).items():
        np.testing.assert_array_equal(before[name], value)


def test_the_way_of_classification_is_that_of_the_classifier(data, old_and_new):
    old, _ = old_and_new
    other = quick(classification="sigmoid").fit(*data)
    swapped = swap_attention(old, other)
    for one, theirs in zip(
        swapped.class_activation(data[0]), old.class_activation(data[0]), strict=True
    ):
        np.testing.assert_array_equal(one, theirs)
    assert other.architecture_["classification"] == "sigmoid"


def test_what_does_not_fit_together_is_refused(data, old_and_new):
    old, _ = old_and_new
    features, y = data
    with pytest.raises(ValueError, match="temporal_context=0, but one has 'head' and 1"):
        swap_attention(old, quick(temporal_context=1).fit(features, y))
    with pytest.raises(ValueError, match="takes 12 features, the other 5"):
        swap_attention(old, quick().fit([x[:, :5] for x in features], y))
    with pytest.raises(ValueError, match="classes"):
        swap_attention(old, quick().fit(features, [["jump"]] * len(features)))
