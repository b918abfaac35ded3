"""Each loss against a worked example or scipy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from skdgam import _stages, losses
from skdgam._batches import SMOOTHING_RADIUS
from skdgam.sampling import mirrored_window


def test_pooling_is_the_weighted_mean_of_each_video():
    values = torch.tensor([[1.0], [2.0], [4.0], [10.0]])
    attention = torch.tensor([1.0, 0.5, 0.0, 0.1])
    membership = torch.tensor([[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    foreground = losses.pool(values, attention, membership)
    torch.testing.assert_close(foreground, torch.tensor([[2.0 / 1.5], [10.0]]))
    background = losses.pool(values, 1 - attention, membership)
    torch.testing.assert_close(background, torch.tensor([[5.0 / 1.5], [10.0]]))
    released = losses.pool(values, attention, membership, offset=1.0)
    torch.testing.assert_close(released, torch.tensor([[2.0 / 2.5], [1.0 / 1.1]]))


def test_pooling_without_any_attention_is_finite():
    pooled = losses.pool(torch.ones(2, 3), torch.zeros(2), torch.ones(1, 2))
    assert torch.equal(pooled, torch.zeros(1, 3))


def test_pooled_features_are_those_of_the_released_implementation(released):
    # Taken before the step of stage (a), and stage (b) leaves attention alone.
    x = torch.from_numpy(released["step.x"])
    attention = torch.from_numpy(released["step.attention"]).flatten()
    membership = torch.eye(5).repeat_interleave(40, dim=1)
    foreground = losses.pool(x.flatten(0, 1), attention, membership, offset=1.0)
    background = losses.pool(x.flatten(0, 1), 1 - attention, membership, offset=1e-6)
    np.testing.assert_allclose(foreground, released["step.foreground"], atol=1e-6)
    np.testing.assert_allclose(background, released["step.background"], atol=1e-6)


def test_weights_count_as_repetitions():
    values, attention = torch.randn(3, 2), torch.rand(3)
    twice = losses.pool(values, attention, torch.tensor([[2.0, 1.0, 1.0]]))
    rows = torch.tensor([0, 0, 1, 2])
    repeated = losses.pool(values[rows], attention[rows], torch.ones(1, 4))
    torch.testing.assert_close(twice, repeated)


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_smoothing_is_that_of_scipy(n):
    values = np.random.default_rng(n).random((n, 3), dtype=np.float32)
    neighbours = torch.tensor(mirrored_window(n, SMOOTHING_RADIUS).tolist())
    kernel = _stages._smoothing_kernel(torch.device("cpu"))
    ours = losses.smooth(torch.from_numpy(values), neighbours, kernel)
    theirs = gaussian_filter1d(values, sigma=1, axis=0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_cross_entropy_of_each_video():
    logits = torch.tensor([[1.0, 1.0, 1.0], [2.0, 1.0, 1.0]]).log()
    target = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    expected = torch.tensor([np.log(3.0), np.log(2.0)], dtype=torch.float32)
    torch.testing.assert_close(losses.classification_loss(logits, target), expected)
    # σ(log 2) = 2/3; of the classes that are there -log p, of the others -log (1 - p).
    target = target.ceil()
    expected = torch.tensor([3 * np.log(2.0), np.log(1.5) + 2 * np.log(2.0)], dtype=torch.float32)
    torch.testing.assert_close(losses.multilabel_loss(logits, target), expected)


def test_guidance_takes_the_greatest_labelled_class():
    probability = torch.tensor([[0.1, 0.3, 0.4, 0.2]])
    foreground, background = losses.guidance(probability, torch.tensor([[1.0, 1.0, 0.0, 0.0]]))
    torch.testing.assert_close(foreground, torch.tensor([0.3]))
    torch.testing.assert_close(background, torch.tensor([0.8]))


def test_guidance_of_an_unlabelled_video_calls_for_no_attention():
    foreground, _ = losses.guidance(torch.tensor([[0.6, 0.4]]), torch.zeros(1, 2))
    assert foreground == 0


def test_models_may_lead():
    generator = torch.Generator().manual_seed(0)
    values, attention = torch.rand(2, 6, 3, generator=generator), torch.rand(2, 6)
    membership = torch.eye(2).repeat_interleave(3, dim=1)
    neighbours, kernel = torch.arange(6)[:, None].expand(-1, 2), torch.tensor([0.5, 0.5])
    target = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    together = (
        losses.pool(values, attention, membership),
        losses.smooth(values, neighbours, kernel),
        losses.classification_loss(losses.pool(values, attention, membership), target),
    )
    for k in range(2):
        pooled = losses.pool(values[k], attention[k], membership)
        torch.testing.assert_close(together[0][k], pooled)
        torch.testing.assert_close(together[1][k], losses.smooth(values[k], neighbours, kernel))
        torch.testing.assert_close(together[2][k], losses.classification_loss(pooled, target))
