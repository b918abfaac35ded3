"""Background modeling: each loss worked out by hand, and actions that it finds."""

import numpy as np
import pytest
from released_methods import batch_of, total
from scipy.special import expit, softmax

from skdgam.datasets import make_untrimmed
from skdgam.methods import BackgroundModelingLocalizer

# Of two features, the first one is the logit of attention.
WEIGHTS = {
    "attention.0.weight": [[1.0, 0.0], [-1.0, 0.0]],  # relu(x) and relu(-x) make x again
    "attention.0.bias": [0.0, 0.0],
    "attention.1.weight": [[1.0, -1.0]],
    "attention.1.bias": [0.0],
    "classifier.weight": [[0.0, 1.0], [0.0, -1.0], [0.5, 0.0]],
    "clusters.weight": [[0.0, 2.0], [1.0, 0.0]],
}
X = np.array([[1.0, 2.0], [-2.0, 0.5], [0.0, -1.0]])
ATTENTION = expit(X[:, 0])
LOGITS = X @ np.array(WEIGHTS["classifier.weight"]).T


def fitted(**params):
    arrays = {name: np.array(value, dtype=np.float32) for name, value in WEIGHTS.items()}
    model = BackgroundModelingLocalizer(attention_width=2, min_snippets=1, **params)
    return model._set_weights(np.arange(2), arrays, 2)


def terms_of(labels, **params):
    model = fitted(**params)
    return model._losses(model._fitted_network(), batch_of([X], [labels]))


def pooled(values, weight):
    return weight @ values / weight.sum()


@pytest.mark.parametrize(
    ("labels", "target"),
    [([1, 0], [1, 0, 0]), ([1, 1], [0.5, 0.5, 0]), ([0, 0], [0, 0, 1])],
)
def test_foreground_and_background_by_hand(labels, target):
    terms = terms_of(labels)
    foreground = -np.array(target) @ np.log(softmax(pooled(LOGITS, ATTENTION)))
    background = -np.log(softmax(pooled(LOGITS, 1 - ATTENTION)))[2]
    assert terms["foreground"][1].item() == pytest.approx(foreground, rel=1e-5)
    assert terms["background"][1].item() == pytest.approx(background, rel=1e-5)


def test_clusters_by_hand():
    u = X @ np.array(WEIGHTS["clusters.weight"]).T
    expected = -np.log(softmax(pooled(u, ATTENTION))[0] * softmax(pooled(u, 1 - ATTENTION))[1])
    assert terms_of([1, 0])["cluster"][1].item() == pytest.approx(expected, rel=1e-5)


def test_guide_by_hand():
    p = softmax(LOGITS, axis=1)
    # So narrow a Gaussian smooths nothing.
    guide = terms_of([0, 1], smoothing=0.1)["guide"][1].item()
    expected = np.abs(ATTENTION - p[:, 1]) + np.abs(ATTENTION - p[:, :2].sum(axis=1))
    assert guide == pytest.approx(expected.mean(), rel=1e-5)
    assert terms_of([0, 1], smoothing=1.0)["guide"][1].item() != pytest.approx(guide, rel=1e-2)


def test_each_loss_has_its_weight():
    terms = terms_of([1, 0], alpha=2.0, beta=3.0, gamma=4.0)
    weights = {name: weight for name, (weight, _) in terms.items()}
    assert weights == {"foreground": 1.0, "background": 2.0, "guide": 3.0, "cluster": 4.0}


def test_no_gradient_flows_through_what_guides():
    model = fitted(alpha=0.0, gamma=0.0)
    network = model._fitted_network().requires_grad_(True)
    terms = model._losses(network, batch_of([X], [[1, 0]]))
    total({"guide": terms["guide"]}).backward()
    assert network.classifier.weight.grad is None
    assert network.attention[1].weight.grad.abs().sum() > 0


def test_a_video_is_classified_by_its_foreground():
    expected = softmax(pooled(LOGITS, ATTENTION))[:2]
    np.testing.assert_allclose(fitted().predict_proba([X])[0], expected, rtol=1e-5)


def test_actions_without_context_are_found():
    X, y = make_untrimmed(
        n_videos=60, n_classes=2, n_features=12, context=0.0, noise=0.2, random_state=2
    )
    model = BackgroundModelingLocalizer(max_epochs=80, min_snippets=1, random_state=2)
    model.fit(X[:40], y[:40])
    for name in ("foreground", "background", "cluster"):
        assert model.history_[name][-1] < 0.9 * model.history_[name][0], name
    assert model.set_params(tiou_thresholds=0.3).score(X[40:], y[40:]) > 0.3
